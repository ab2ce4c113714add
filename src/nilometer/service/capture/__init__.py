"""Capture at the serving point: an ASGI middleware that asks for log-probabilities, spools them and strips them."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
