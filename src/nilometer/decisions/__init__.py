"""What to do: reports, alerts, plans, answers, texts and routes."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
