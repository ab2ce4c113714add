"""Label-free estimates and labels of many slices put together."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nilometer.traces import index_slices

from ..estimate import Estimate, NotEnoughData, SliceEstimates
from .posterior import combine
from .ppi import ppi_mean
from .sample import LabelledAccuracy

__all__ = ["with_labels"]

Floats = NDArray[np.float64]


def with_labels(
    estimates: Iterable[Estimate | NotEnoughData],
    names: Any,
    *,
    correct: Floats,
    p_correct: Floats,
    finite: bool = True,
) -> SliceEstimates:
    """Estimates of slices from the label-free ones and the labels of each slice (``ppi_mean``, ``combine``).

    A slice with fewer than 2 labels keeps its estimate; one that could not be estimated gets the accuracy of its
    labels. Labels must have been drawn at random inside each slice.

    Parameters
    ----------
    estimates
        Label-free, made without the labels of their slice.
    names
        Shape (n,), slice of each response.
    correct
        Shape (n,), labels, NaN where there is none.
    p_correct
        Shape (n,), NaN where not known.
    finite
        Whether the accuracy of just these responses is asked for, or that of the traffic they came from.

    Examples
    --------
    >>> few = NotEnoughData(slice="a", n=4, reason="no sentinel.", needed="Fit one.")
    >>> names, correct = np.full(4, "a"), np.array([1, 0, 1, np.nan])
    >>> with_labels([few], names, correct=correct, p_correct=np.full(4, np.nan))[0].method
    'ppi++'
    """
    rows = dict(index_slices(names).rows())
    none = np.empty(0, dtype=np.int64)
    return SliceEstimates(
        _one(row, correct[rows.get(row.slice, none)], p_correct[rows.get(row.slice, none)], finite=finite)
        for row in estimates
    )


def _one(
    row: Estimate | NotEnoughData, correct: Floats, p_correct: Floats, *, finite: bool
) -> Estimate | NotEnoughData:
    known = ~np.isnan(correct)
    if known.sum() < 2:
        return row
    given = ~np.isnan(p_correct)
    filled = np.where(given, p_correct, p_correct[given].mean() if given.any() else 0.5)
    found: LabelledAccuracy = ppi_mean(correct, filled, finite=finite)
    seen: dict[str, Any] = {
        "slice": row.slice,
        "n": row.n,
        "n_labels": int(known.sum()),
        "realized_accuracy": float(correct[known].mean()),
    }
    level = found.confidence_level
    if isinstance(row, Estimate):
        level = row.confidence_level
        found = combine(row, found, confidence_level=level, finite=finite)
        seen |= {"in_support": row.in_support, "note": row.note}
    return Estimate(
        **seen, accuracy=found.accuracy, low=found.low, high=found.high, confidence_level=level, method=found.method
    )
