"""Real input: models run in process or over HTTP, and suites of verifiable questions to record them on."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
