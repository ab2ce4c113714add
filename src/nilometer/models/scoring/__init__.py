"""Probabilities of given answers, scored by a model in place of drawing them."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
