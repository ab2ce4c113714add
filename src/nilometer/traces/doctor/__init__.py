"""Whether a set of traces is fit for use, and what to change if not."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
