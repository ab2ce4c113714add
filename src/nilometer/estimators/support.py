"""Whether a slice looks like the labelled ones: the hull of their median scores."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Support", "fit_support", "outside_support"]

_MARGIN = 0.1


class Support(NamedTuple):
    """Hull of the labelled slices: of their median scores, and of all their scores."""

    low: float
    high: float
    least: float = -np.inf
    most: float = np.inf


def fit_support(scores: Sequence[NDArray[np.float64]]) -> Support:
    """Take the hull of the scores of the labelled slices; endless if none has a score.

    Examples
    --------
    >>> fit_support([np.array([1.0, 2.0, 9.0]), np.array([4.0])])
    Support(low=2.0, high=4.0, least=1.0, most=9.0)
    """
    known = [score for score in scores if score.size]
    if not known:
        return Support(-np.inf, np.inf)
    medians = [float(np.median(score)) for score in known]
    least, most = min(float(score.min()) for score in known), max(float(score.max()) for score in known)
    return Support(min(medians), max(medians), least, most)


def outside_support(score: NDArray[np.float64], support: Support) -> str:
    """Say in words how a slice lies outside the hull; empty if it does not.

    Outside is a median beyond the medians of the labelled slices by more than a tenth of their range, or more
    than a tenth of the responses beyond every labelled response.

    Examples
    --------
    >>> outside_support(np.array([9.0]), Support(1.0, 2.0))
    'median score 9 is above every labelled slice; interval widened'
    """
    if not score.size or np.isinf(support.low):
        return ""
    margin = _MARGIN * (support.high - support.low)
    centre = float(np.median(score))
    beyond = float(((score < support.least) | (score > support.most)).mean())
    if support.low - margin <= centre <= support.high + margin:
        return f"{beyond:.0%} of the scores are beyond every labelled one; interval widened" if beyond > _MARGIN else ""
    side = "above" if centre > support.high else "below"
    return f"median score {centre:.3g} is {side} every labelled slice; interval widened"
