"""What to do: reports, and later plans, answers and routes."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
