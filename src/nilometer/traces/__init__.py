"""What was said: traces with log-probabilities, read from every common wire format."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
