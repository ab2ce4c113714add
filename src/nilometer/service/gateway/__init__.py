"""One OpenAI-compatible address before several models: routes, cascades, votes and decisions on live traffic."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
