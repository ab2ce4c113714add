"""Accuracy of a slice from labels: samples, strata, predictions as control variates, sequences, priors."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
