"""The server: JSON API, metrics, labels in, and who may do what."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
