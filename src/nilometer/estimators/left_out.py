"""Probabilities for labelled responses from rules that never saw their slice."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .sentinel import Sentinel

__all__ = ["left_out_probabilities"]


def left_out_probabilities(sentinel: "Sentinel") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (probability of a correct answer, label) of the labelled responses, each slice left out once.

    Slices whose absence leaves labels of one kind only are not among them.
    """
    parts = [(np.empty(0), np.empty(0))]
    for name, (rule, *_) in sentinel.left_out_.items():
        own = sentinel.groups_ == name
        parts.append((sentinel.p_correct(sentinel.reference_.rows(own), rule), sentinel.labels_[own]))
    probabilities, labels = zip(*parts, strict=True)
    return np.concatenate(probabilities), np.concatenate(labels)
