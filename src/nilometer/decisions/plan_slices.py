"""Which slices to label first when there are no labels: those that span the difficulty."""

from collections.abc import Mapping

import numpy as np

from nilometer.errors import NotEnoughDataError

__all__ = ["choose_slices"]


def choose_slices(scores: Mapping[str, float], k: int) -> tuple[str, ...]:
    r"""Choose k slices to label first from unlabelled traffic alone, in the order in which to label them.

    First the two ends of the score, then always the slice in the middle of the largest gap. The variance of the
    slope that turns scores into accuracies is :math:`\sigma^2 / \sum_d (x_d - \bar x)^2`: slices at both ends teach
    it most, and the ones between show whether it is a line.

    Parameters
    ----------
    scores
        Mean score by slice, such as the mean of the largest token entropy.
    k
        Slices to choose.

    Raises
    ------
    NotEnoughDataError
        If there are fewer slices, or fewer than 2 are asked for.

    References
    ----------
    Memoli Buffa and Del Corro (2026), arXiv 2601.09001, where the best pair is the easiest with the hardest benchmark.

    Examples
    --------
    >>> choose_slices({"a": 0.1, "b": 0.2, "c": 0.6, "d": 1.0}, 3)
    ('a', 'd', 'c')
    """
    if not 2 <= k <= len(scores):
        raise NotEnoughDataError(
            f"{k} slices cannot be chosen of {len(scores)}.", f"Ask for 2 to {len(scores)}, or cut finer slices."
        )
    names = sorted(scores, key=lambda name: (scores[name], name))
    values = np.array([scores[name] for name in names])
    chosen = [0, len(names) - 1]
    while len(chosen) < k:
        away = np.abs(values[:, None] - values[chosen]).min(axis=1)
        away[chosen] = -1.0
        chosen.append(int(np.argmax(away)))
    return tuple(names[i] for i in chosen)
