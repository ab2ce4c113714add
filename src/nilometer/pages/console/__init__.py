"""The pages of the console: templates filled with plain values, and the files that they link to."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
