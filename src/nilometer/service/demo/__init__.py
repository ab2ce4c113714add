"""A live system to look at: a server that replays recorded answers, traffic for it, and a change after a minute."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
