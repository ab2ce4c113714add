"""From the text of an answer to the value it states: numbers, labels, items, texts, or nothing at all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
