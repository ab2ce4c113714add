"""Whether a slice is surer than anything that was labelled, feature by feature.

Answers that are less sure than every labelled one are no danger: their accuracy is low and the estimate says so.
Answers that are surer than every labelled one may all be wrong, and nothing that was labelled shows it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Bools, Floats

__all__ = [
    "Outside",
    "Support",
    "SupportCounts",
    "count_columns",
    "fit_support",
    "may_be_outside",
    "outside_counts",
    "outside_support",
]


_MARGIN = 0.1
"""By how much of the range of the labelled medians a median may lie outside; share of responses below all labelled."""
_REFUSED = 0.5
"""With more than half of the responses below every labelled one, the labels are silent about most of the slice."""


class Support(NamedTuple):
    """Range of the median scores of the labelled slices, and the least of all their scores; low scores are sure."""

    low: float
    high: float
    least: float = -np.inf


class Outside(NamedTuple):
    """How a slice is surer than what was labelled, by one feature."""

    note: str
    """In words."""
    beyond: float
    """Share of the scores below every labelled one."""
    needed: str
    """Which labels would bring it inside."""

    @property
    def is_refused(self) -> bool:
        """Return whether most of the slice is like nothing that was labelled."""
        return self.beyond > _REFUSED


def fit_support(scores: Sequence[Floats]) -> Support:
    """Take the range of the scores of the labelled slices; unbounded if no slice has a score.

    Examples
    --------
    >>> fit_support([np.array([1.0, 2.0, 9.0]), np.array([4.0])])
    Support(low=2.0, high=4.0, least=1.0)
    """
    known = [score for score in scores if score.size]
    if not known:
        return Support(-np.inf, np.inf)
    medians = [float(np.median(score)) for score in known]
    return Support(min(medians), max(medians), min(float(score.min()) for score in known))


class SupportCounts(NamedTuple):
    """How many responses of a slice lie where, by one feature: all that the check needs, and a sum over responses."""

    n: float
    """Responses with the feature."""
    below: float
    """Below the medians of the labelled slices, by more than the margin."""
    beyond: float
    """Below every labelled response."""


def count_columns(score: Floats, support: Support) -> dict[str, Floats]:
    """What each response adds to the fields of ``SupportCounts``, each of shape (n,); a NaN score adds nothing."""
    margin = _MARGIN * (support.high - support.low) if np.isfinite(support.low) else 0.0
    columns = {
        "n": ~np.isnan(score),
        "below": score < support.low - margin,
        "beyond": score < support.least,
    }
    return {name: column.astype(np.float64) for name, column in columns.items()}


def may_be_outside(counts: Sequence[Floats], support: Support) -> Bools:
    """Return which slices :func:`outside_counts` describes, from the fields of ``SupportCounts`` of all of them."""
    n, below, beyond = counts
    if np.isinf(support.low):
        return np.zeros(len(n), dtype=bool)
    return np.asarray((n > 0) & ((2 * below > n) | (beyond > _MARGIN * n * (1 - 1e-9))))


def outside_counts(
    counts: SupportCounts, support: Support, *, name: str = "score", centre: float | None = None
) -> Outside | None:
    """Describe how a slice is surer than what was labelled; None if it is not.

    That is more than half of the responses below the medians of the labelled slices by more than a tenth of their
    range, or more than a tenth of the responses below every labelled response. With more than half of them below,
    nothing that was labelled speaks for the slice. ``centre``, the median, is named where it is known.
    """
    if not counts.n or np.isinf(support.low):
        return None
    beyond = counts.beyond / counts.n
    below = 2 * counts.below > counts.n
    if not below and beyond <= _MARGIN:
        return None
    near = f"whose median {name} is near {centre:.3g}" if centre is not None else f"with such values of {name}"
    needed = f"Label slices {near}, or 30 responses of this one."
    if not below:
        return Outside(f"{beyond:.0%} of {name} is below every labelled response", beyond, needed)
    value = f" {centre:.3g}" if centre is not None else ""
    return Outside(f"median {name}{value} is below every labelled slice", beyond, needed)


def outside_support(score: Floats, support: Support, *, name: str = "score") -> Outside | None:
    """Describe how the scores of a slice are surer than what was labelled; see :func:`outside_counts`.

    Examples
    --------
    >>> outside_support(np.array([0.1]), Support(1.0, 2.0)).note
    'median score 0.1 is below every labelled slice'
    >>> outside_support(np.array([9.0]), Support(1.0, 2.0)) is None
    True
    """
    counts = SupportCounts(**{name: float(column.sum()) for name, column in count_columns(score, support).items()})
    known = score[~np.isnan(score)]
    return outside_counts(counts, support, name=name, centre=float(np.median(known)) if known.size else None)
