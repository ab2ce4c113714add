"""Accuracy of a slice without labels of its own: the sentinel, its rules and its intervals."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
