"""Answers that arrive in pieces, put together again, whatever protocol sent them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
