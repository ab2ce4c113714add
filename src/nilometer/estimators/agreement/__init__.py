"""Quality of models from how far their answers agree (Smoothie), with and without labels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
