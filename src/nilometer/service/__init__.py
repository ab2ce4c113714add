"""Live: capture at the serving point, a store that loses nothing, running estimates, and who may see them."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
