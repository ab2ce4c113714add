"""The scores that label-free estimators read: of the labelled responses, and of the slice to estimate."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SourceScores", "TargetScores"]

Floats = NDArray[np.float64]


class SourceScores(NamedTuple):
    """What is known of the labelled responses."""

    p: Floats
    """Shape (n,), probability of a correct answer under the classifier."""
    score: Floats
    """Shape (n,), the single feature of ``atc``."""
    correct: Floats
    """Shape (n,), labels in [0, 1]."""
    weights: Floats
    """Shape (n,), equal sums for all families, n in total."""
    accuracy: float
    """Weighted share of correct answers."""
    slices: NDArray[np.int64]
    """Shape (n,), number of the slice of each response."""
    X: Floats
    """Shape (n, features), what the classifier sees."""
    left_out: Floats = np.empty((0, 2))
    """Shape (pairs, 2): mean p of a slice by a classifier that never saw its family, and its accuracy."""
    sequence_weight: float = 0.0
    """Weight of ``TargetScores.sequence`` in ``combined``; see ``sequence_weight``."""


class TargetScores(NamedTuple):
    """Scores of the unlabelled slice to estimate; same columns as `SourceScores`."""

    p: Floats
    score: Floats
    X: Floats
    sequence: Floats = np.empty(0)
    """Shape (n,), probability that the model itself gave its answer, NaN where not known."""
