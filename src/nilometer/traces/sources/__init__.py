"""From paths to numbered JSON objects: folders and globs, pipes, compression, documents, archives."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
