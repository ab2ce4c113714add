"""What we believe, with uncertainty: estimators over signals."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
