"""Numbers read off a trace: pure functions, arrays in and arrays out."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
