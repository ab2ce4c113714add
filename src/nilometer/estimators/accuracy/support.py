"""Whether a slice looks like the labelled ones: the hull of their scores, feature by feature."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Outside", "Support", "fit_support", "outside_every_support", "outside_support"]

Floats = NDArray[np.float64]

_MARGIN = 0.1
_REFUSED = 0.5


class Support(NamedTuple):
    """Hull of the labelled slices: of their median scores, and of all their scores."""

    low: float
    high: float
    least: float = -np.inf
    most: float = np.inf


class Outside(NamedTuple):
    """How a slice lies outside the hull of one feature."""

    note: str
    """In words."""
    beyond: float
    """Share of the scores beyond every labelled one."""
    needed: str
    """Which labels would bring it inside."""

    @property
    def is_refused(self) -> bool:
        """Tell whether most of the slice is like nothing that was labelled."""
        return self.beyond > _REFUSED


def fit_support(scores: Sequence[Floats]) -> Support:
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


def outside_support(score: Floats, support: Support, *, name: str = "score") -> Outside | None:
    """Say how a slice lies outside the hull; None if it does not.

    Outside is a median beyond the medians of the labelled slices by more than a tenth of their range, or more
    than a tenth of the responses beyond every labelled response. With more than half of them beyond, nothing
    that was labelled speaks for the slice.

    Examples
    --------
    >>> outside_support(np.array([9.0]), Support(1.0, 2.0)).note
    'median score 9 is above every labelled slice'
    """
    if not score.size or np.isinf(support.low):
        return None
    margin = _MARGIN * (support.high - support.low)
    centre = float(np.median(score))
    beyond = float(((score < support.least) | (score > support.most)).mean())
    inside = support.low - margin <= centre <= support.high + margin
    if inside and beyond <= _MARGIN:
        return None
    side = "above" if centre > support.high else "below"
    needed = f"Label slices whose median {name} is near {centre:.3g}, or 30 responses of this one."
    if inside:
        return Outside(f"{beyond:.0%} of {name} is beyond every labelled response", beyond, needed)
    return Outside(f"median {name} {centre:.3g} is {side} every labelled slice", beyond, needed)


def outside_every_support(scores: Mapping[str, Floats], supports: Mapping[str, Support]) -> Outside | None:
    """Return the worst of the features; None if the slice lies inside all hulls."""
    found = [outside_support(scores[name], support, name=name) for name, support in supports.items()]
    outside = [one for one in found if one is not None]
    return max(outside, key=lambda one: one.beyond) if outside else None
