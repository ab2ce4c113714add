"""Labelling by people: frozen plans, a blind queue in random order, an append-only log, and what the labels say."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
