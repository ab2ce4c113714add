"""The published estimator, triplet by triplet: what ``paper=True`` computes."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import ArrayLike, Floats

__all__ = ["paper_distances", "triplet_errors"]


def paper_distances(embeddings: ArrayLike) -> NDArray[Any]:
    """(models, models, prompts) squared norms in the precision of the input, as published."""
    x = np.asarray(embeddings)
    if x.ndim == 4:  # the g-th generation of one model with the g-th of the other
        return np.asarray(np.mean([paper_distances(x[:, :, g]) for g in range(x.shape[2])], axis=0))
    n, m = x.shape[:2]
    distances = np.zeros((m, m, n), dtype=x.dtype if x.dtype.kind == "f" else np.float64)
    for i, j in combinations(range(m), 2):
        distances[i, j] = distances[j, i] = np.linalg.norm(x[:, i] - x[:, j], axis=1) ** 2
    return distances


def triplet_errors(distances: ArrayLike) -> Floats:
    r"""Mean over all pairs (j, k) of :math:`(d_{ij} + d_{ik} - d_{jk}) / 2`, for each model i.

    Equal to least squares on :math:`d_{ij} = v_i + v_j`. Fewer than three models have no triplet: NaN.

    Parameters
    ----------
    distances
        (models, models) mean squared distances.

    Examples
    --------
    >>> triplet_errors([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [4.0, 1.0, 0.0]])
    array([ 2., -1.,  2.])
    """
    d = np.asarray(distances)
    m = len(d)
    errors = np.full(m, np.nan)
    for i in range(m) if m > 2 else ():
        pairs = combinations([j for j in range(m) if j != i], 2)
        triplets = [(d[i, j] + d[i, k] - d[j, k]) / 2 for j, k in pairs]
        errors[i] = np.mean(triplets)
    return errors
