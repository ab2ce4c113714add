"""Which slices to label first when there are no labels: those that span the difficulty."""

from collections.abc import Mapping

import numpy as np

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import Responses

__all__ = ["choose_slices", "mean_scores"]


def mean_scores(responses: Responses) -> dict[str, float]:
    """Mean of ``Profiles.score`` by slice; a slice without any is left out.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from nilometer.estimators import as_responses
    >>> mean_scores(as_responses(pa.table({"max": [0.5, 1.5, 2.0]}), ["a", "a", "b"]))
    {'a': 1.0, 'b': 2.0}
    """
    score, index = responses.profiles.score, responses.slices
    known = ~np.isnan(score)
    counts = np.bincount(index.codes[known], minlength=len(index.names))
    sums = np.bincount(index.codes[known], score[known], len(index.names))
    return {name: float(sums[i] / counts[i]) for i, name in enumerate(index.names) if counts[i]}


def choose_slices(scores: Mapping[str, float], k: int) -> tuple[str, ...]:
    """Choose k slices to label first from unlabelled traffic alone: the middles of k equal parts of its difficulty.

    The slices are put in order of the score and cut into k parts of equal number; from each part the one in the
    middle is taken. So the labels span the difficulty and stand for it. The easiest and the hardest slice span it
    too, but their answers are nearly all right or all wrong and teach little: on the recorded corpus they are among the
    worst pairs (studies/plan.py).

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
    Cochran (1977), "Sampling Techniques", sec. 8.1 (systematic sampling, centrally located).

    Examples
    --------
    >>> choose_slices({"a": 0.1, "b": 0.2, "c": 0.6, "d": 1.0, "e": 1.1, "f": 2.0}, 2)
    ('b', 'e')
    """
    if not 2 <= k <= len(scores):
        cure = f"Ask for 2 to {len(scores)}, or cut finer slices." if len(scores) > 1 else "Cut finer slices."
        raise NotEnoughDataError(f"{k} slices cannot be chosen of {len(scores)}.", cure)
    names = sorted(scores, key=lambda name: (scores[name], name))
    return tuple(names[(2 * i + 1) * len(names) // (2 * k)] for i in range(k))
