"""Label-free estimates and labels of many slices put together."""

from collections.abc import Iterable

import numpy as np

from nilometer.arrays import Floats

from ..estimate import Estimate, NotEnoughData, SliceEstimates
from ..responses import Responses
from .posterior import combine
from .ppi import ppi_mean
from .sample import LabelledAccuracy

__all__ = ["with_labels"]


def with_labels(
    estimates: Iterable[Estimate | NotEnoughData],
    responses: Responses,
    *,
    finite: bool = True,
    confidence_level: float = 0.95,
) -> SliceEstimates:
    """Estimates of slices from the label-free ones and the labels of each slice (``ppi_mean``, ``combine``).

    A slice with fewer than 2 labels keeps its estimate; one that could not be estimated gets the accuracy of its
    labels. Labels must have been drawn at random inside each slice.

    Parameters
    ----------
    estimates
        Label-free, made without the labels of their slice.
    responses
        With slices, labels and probabilities; a probability that is not known counts as the mean of its slice.
    finite
        Whether the accuracy of just these responses is asked for, or that of the traffic they came from.
    confidence_level
        Of the intervals of slices that have no estimate; the others keep the level of theirs.

    Examples
    --------
    >>> from nilometer.estimators import as_responses
    >>> import pyarrow as pa
    >>> few = NotEnoughData(slice="a", n=4, reason="no sentinel.", needed="Fit one.")
    >>> responses = as_responses(pa.table({"max": np.ones(4)}), ["a"] * 4, correct=[1, 0, 1, None])
    >>> with_labels([few], responses)[0].method
    'ppi++'
    """
    rows = dict(responses.slices.rows())
    none = np.empty(0, dtype=np.int64)
    return SliceEstimates(
        _one(
            row,
            responses.correct[rows.get(row.slice, none)],
            responses.p_correct[rows.get(row.slice, none)],
            finite=finite,
            confidence_level=confidence_level,
        )
        for row in estimates
    )


def _one(
    row: Estimate | NotEnoughData, correct: Floats, p_correct: Floats, *, finite: bool, confidence_level: float
) -> Estimate | NotEnoughData:
    known = ~np.isnan(correct)
    if known.sum() < 2:
        return row
    given = ~np.isnan(p_correct)
    filled = np.where(given, p_correct, p_correct[given].mean() if given.any() else 0.5)
    level = row.confidence_level if isinstance(row, Estimate) else confidence_level
    found: LabelledAccuracy = ppi_mean(correct, filled, finite=finite, confidence_level=level)
    in_support, note = True, ""
    if isinstance(row, Estimate):
        found = combine(row, found, confidence_level=level, finite=finite)
        in_support, note = row.in_support, row.note
    return Estimate(
        slice=row.slice,
        n=row.n,
        n_labels=int(known.sum()),
        realized_accuracy=float(correct[known].mean()),
        accuracy=found.accuracy,
        low=found.low,
        high=found.high,
        confidence_level=level,
        method=found.method,
        in_support=in_support,
        note=note,
        spread=found.standard_error,
        degrees=float("inf"),
    )
