"""Slices estimated from what other models, or earlier versions, were measured to do on them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..estimate import Estimate, NotEnoughData, SliceEstimates
from ..intervals import LEAST_SLICES, Residuals, fit_residuals, prediction_interval
from .cross_model import cross_model_accuracy
from .sentinel import Sentinel

__all__ = ["WithOthers", "labelled_accuracies", "with_other_models"]

Floats = NDArray[np.float64]

_LEAST_LABELS = 5
_SPREAD = 0.1
"""Of predictions from other models; on the choice half of MMLU-Pro's subjects this gave .89 to .96 at nominal .9."""


class WithOthers(NamedTuple):
    """Estimates, and what was decided about the other models."""

    estimates: SliceEstimates
    note: str
    n_replaced: int


def labelled_accuracies(sentinel: Sentinel) -> dict[str, float]:
    """Accuracy by labels of every slice that a sentinel was fitted on.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> import pyarrow as pa
    >>> data = pa.table({"max": rng.random(40)})
    >>> sentinel = Sentinel(method="constant").fit(data, np.tile([1, 1, 1, 0], 10), groups=np.repeat(["a", "b"], 20))
    >>> labelled_accuracies(sentinel)
    {'a': 0.75, 'b': 0.75}
    """
    return sentinel.labelled_.accuracies


def with_other_models(
    estimates: Iterable[Estimate | NotEnoughData],
    others: Sequence[Mapping[str, float]],
    *,
    confidence_level: float = 0.95,
) -> WithOthers:
    """Estimates of slices from the labels that other models have on them, where that is closer to the truth.

    Every slice of this model with 5 labels or more is predicted from the others without its own labels
    (``cross_model_accuracy``), as every estimate was made without them. If those predictions were closer on average
    than the estimates, every slice that another model has labels on gets the prediction, with the interval of
    ``prediction_interval`` from these residuals. Slices of this model that it has no estimate of can be known so.

    Parameters
    ----------
    estimates
        Of this model, with ``realized_accuracy`` where there are labels.
    others
        Accuracy by slice of each other model or version; see ``labelled_accuracies``.
    confidence_level
        Of the intervals, in (0, 1).

    Examples
    --------
    >>> rows = [
    ...     Estimate(slice=name, n=200, accuracy=0.5, low=0.1, high=0.9, confidence_level=0.95, method="x",
    ...              n_labels=50 * (name < "e"), realized_accuracy=share if name < "e" else None)
    ...     for name, share in zip("abcde", (0.8, 0.7, 0.4, 0.6, 0.3), strict=True)
    ... ]
    >>> found = with_other_models(rows, [{"a": 0.75, "b": 0.66, "c": 0.35, "d": 0.55, "e": 0.3}])
    >>> found.n_replaced, round(found.estimates[4].accuracy, 2), found.estimates[4].method
    (5, 0.35, 'cross_model[1]')
    """
    rows = list(estimates)
    own = np.array([_own(row) for row in rows])
    table = np.array([[other.get(row.slice, np.nan) for row in rows] for other in others]).reshape(-1, len(rows))
    table = table[(~np.isnan(table) & ~np.isnan(own)).sum(axis=1) >= 2]  # one is left when one is left out
    given = ~np.isnan(table).all(axis=0)
    shared = given & ~np.isnan(own)
    if shared.sum() < LEAST_SLICES:
        note = f"{int(shared.sum())} slices have labels of this model and of another; {LEAST_SLICES} are needed"
        return WithOthers(SliceEstimates(rows), f"other models were not used: {note}", 0)
    own = np.where(shared, own, np.nan)
    left_out = _left_out(own[given], table[:, given])
    realized, n = own[shared], np.array([row.n_labels for row in rows], dtype=np.float64)[shared]
    predicted = left_out[shared[given]]
    error, before = float(np.abs(predicted - realized).mean()), _error_before(rows, shared)
    said = f"predicted from {_count(len(table))} the labelled slices are off by {error:.3f}"
    if before is not None and error >= before:
        return WithOthers(SliceEstimates(rows), f"other models were not used: {said}, estimated by {before:.3f}", 0)
    residuals = fit_residuals(predicted, realized, n)._replace(prior_spread=_SPREAD)
    final = np.full(len(rows), np.nan)
    final[given] = np.where(shared[given], left_out, cross_model_accuracy(own[given], table[:, given]).accuracy)
    replaced = [
        row
        if np.isnan(value)
        else _replaced(row, float(value), residuals, confidence_level=confidence_level, n_others=len(table))
        for row, value in zip(rows, final.tolist(), strict=True)
    ]
    note = said + ("" if before is None else f", estimated by {before:.3f}")
    return WithOthers(SliceEstimates(replaced), note, int(given.sum()))


def _own(row: Estimate | NotEnoughData) -> float:
    if row.realized_accuracy is None or row.n_labels < _LEAST_LABELS:
        return float("nan")
    return row.realized_accuracy


def _left_out(own: Floats, table: Floats) -> Floats:
    """Every labelled slice predicted without its own labels; NaN elsewhere."""
    found = np.full(own.size, np.nan)
    for i in np.flatnonzero(~np.isnan(own)):
        masked = own.copy()
        masked[i] = np.nan
        found[i] = cross_model_accuracy(masked, table).accuracy[i]
    return found


def _error_before(rows: list[Estimate | NotEnoughData], shared: NDArray[np.bool_]) -> float | None:
    errors = [
        abs(row.accuracy - row.realized_accuracy)
        for row, use in zip(rows, shared, strict=True)
        if use and isinstance(row, Estimate) and row.realized_accuracy is not None
    ]
    return float(np.mean(errors)) if errors else None


def _replaced(
    row: Estimate | NotEnoughData, accuracy: float, residuals: Residuals, *, confidence_level: float, n_others: int
) -> Estimate:
    low, high = prediction_interval(accuracy, residuals, n=row.n, confidence_level=confidence_level)
    return Estimate(
        slice=row.slice,
        n=row.n,
        accuracy=accuracy,
        low=low,
        high=high,
        confidence_level=confidence_level,
        method=f"cross_model[{n_others}]",
        n_labels=row.n_labels,
        realized_accuracy=row.realized_accuracy,
        note=f"from the labels of {_count(n_others)}",
    )


def _count(n: int) -> str:
    return "one other model" if n == 1 else f"{n} other models"
