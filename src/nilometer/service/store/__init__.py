"""The store: spool in, profiles and hourly sums out, nothing lost and nothing twice."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
