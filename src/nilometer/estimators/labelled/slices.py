"""Label-free estimates and labels of many slices put together."""

from collections.abc import Iterable

from ..estimate import Estimate, NotEnoughData, SliceEstimates
from ..responses import Responses
from .posterior import combine_slices
from .ppi_slices import ppi_slices
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
    >>> responses = as_responses(pa.table({"max": [1.0] * 4}), ["a"] * 4, correct=[1, 0, 1, None])
    >>> with_labels([few], responses)[0].method
    'ppi++'
    """
    rows = list(estimates)
    levels = [row.confidence_level if isinstance(row, Estimate) else confidence_level for row in rows]
    place = {name: i for i, name in enumerate(responses.slices.names)}
    sums = ppi_slices(responses.correct, responses.p_correct, responses.slices, finite=finite)
    at = [place.get(row.slice, -1) for row in rows]
    counted = [i for i, own in enumerate(at) if own >= 0 and sums.n_labels[own] > 1]
    alone = sums.take([at[i] for i in counted]).accuracies([levels[i] for i in counted])
    found = dict(zip(counted, alone, strict=True))
    known = [(i, row) for i in counted if isinstance(row := rows[i], Estimate)]
    combined = combine_slices(
        [row for _, row in known],
        [found[i] for i, _ in known],
        confidence_levels=[levels[i] for i, _ in known],
        finite=finite,
    )
    found |= dict(zip((i for i, _ in known), combined, strict=True))
    realized = sums.realized.tolist()
    return SliceEstimates(_with(row, found[i], realized[at[i]]) if i in found else row for i, row in enumerate(rows))


def _with(row: Estimate | NotEnoughData, found: LabelledAccuracy, realized: float) -> Estimate:
    known = row if isinstance(row, Estimate) else None
    return Estimate(
        slice=row.slice,
        n=row.n,
        n_labels=found.n_labels,
        realized_accuracy=realized,
        accuracy=found.accuracy,
        low=found.low,
        high=found.high,
        confidence_level=found.confidence_level,
        method=found.method,
        in_support=known is None or known.in_support,
        note="" if known is None else known.note,
        spread=found.standard_error,
        degrees=float("inf"),
    )
