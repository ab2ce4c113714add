"""Files and answers of every server and tool, read into traces; the only place that knows a provider's keys."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
