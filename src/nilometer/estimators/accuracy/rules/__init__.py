"""How one fit on labelled responses becomes an estimate: classifiers, thresholds, slopes, and the table of methods."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
