"""Slices estimated from what other models, or earlier versions, were measured to do on them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Bools, Floats

from ..estimate import Estimate, NotEnoughData, SliceEstimates
from ..intervals import interval_spread, spread_interval
from ..residuals import LEAST_SLICES, Residuals, fit_residuals, logit
from .sentinel import Sentinel

__all__ = ["CrossModel", "WithOthers", "cross_model_accuracy", "labelled_accuracies", "with_other_models"]


_LEAST_MODELS = 3
"""Other models from which an interval is made: with two, one degree of freedom says next to nothing."""
_LEAST_LABELS = 5
"""Labels of a slice from which its accuracy is compared with a prediction."""
_SPREAD = 0.1
"""Of predictions from other models; on the choice half of MMLU-Pro's subjects this gave 0.89 to 0.96 at nominal .9."""


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


def _error_before(rows: list[Estimate | NotEnoughData], shared: Bools) -> float | None:
    errors = [
        abs(row.accuracy - row.realized_accuracy)
        for row, use in zip(rows, shared, strict=True)
        if use and isinstance(row, Estimate) and row.realized_accuracy is not None
    ]
    return float(np.mean(errors)) if errors else None


def _replaced(
    row: Estimate | NotEnoughData, accuracy: float, residuals: Residuals, *, confidence_level: float, n_others: int
) -> Estimate:
    spread, degrees = interval_spread(accuracy, residuals, n=row.n, confidence_level=confidence_level)
    low, high = spread_interval(accuracy, spread, degrees, confidence_level=confidence_level)
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
        spread=spread,
        degrees=degrees,
    )


def _count(n: int) -> str:
    return "one other model" if n == 1 else f"{n} other models"


class CrossModel(NamedTuple):
    """Accuracies of one model on every slice, predicted from other models."""

    accuracy: Floats
    """Shape (slices,)."""
    low: Floats | None
    """Shape (slices,), lower ends of the intervals; None from fewer than three other models."""
    high: Floats | None


def cross_model_accuracy(own: Floats, others: Floats, *, confidence_level: float = 0.95) -> CrossModel:
    r"""Predict the accuracy of a model on slices where only other models have labels.

    An additive model on the logit scale, as in item response theory: slice s has an ease :math:`b_s`, the model
    an ability :math:`\theta` that the slices with labels of its own tell.

    .. math:: \operatorname{logit} a_s = \theta + b_s, \quad
        \hat a_s = \operatorname{logit}^{-1} \Big( \bar l + \frac1J \sum_j (l_{js} - \bar l_j) \Big)

    with :math:`l_{js}` the logit accuracy of model j, bars for means over the slices that this model has labels
    of. The interval is t over the J models, each predicted from the others on the same slices.

    Parameters
    ----------
    own
        Shape (slices,), accuracies of the model, NaN where it has no labels.
    others
        Shape (models, slices), accuracies of the others, NaN where they have no labels.
    confidence_level
        In (0, 1).

    Raises
    ------
    ValueError
        If the model has no labelled slice, or a slice has no model with labels on it and on a slice of its own.

    References
    ----------
    Rasch (1960), "Probabilistic Models for Some Intelligence and Attainment Tests", ch. 5.

    Examples
    --------
    >>> others = np.array([[0.9, 0.5, 0.2], [0.8, 0.4, 0.1]])
    >>> cross_model_accuracy(np.array([0.7, np.nan, np.nan]), others).accuracy.round(2).tolist()
    [0.7, 0.26, 0.05]
    """
    known = ~np.isnan(own)
    if not known.any():
        raise ValueError("`own` must hold the accuracy of at least one slice, got none.")
    if others.ndim != 2 or others.shape[1] != own.size:
        raise ValueError(f"`others` must have shape (models, {own.size}), got {others.shape}.")
    accuracy = _predict(own, others)
    if len(others) < _LEAST_MODELS:
        return CrossModel(accuracy, None, None)
    masked = np.where(known, others, np.nan)
    left = [_predict(masked[j], np.delete(others, j, axis=0)) for j in range(len(others))]
    residuals = logit(others) - logit(np.array(left))
    low, high = _band(accuracy, residuals[:, ~known], confidence_level)
    return CrossModel(accuracy, np.where(known, own, low), np.where(known, own, high))


def _predict(own: Floats, others: Floats) -> Floats:
    known = ~np.isnan(own)
    ability = logit(own[known]).mean()
    logits = np.full(others.shape, np.nan)
    given = ~np.isnan(others)
    logits[given] = logit(others[given])
    shared = given[:, known].sum(axis=1)
    if not (given & (shared > 0)[:, None]).any(axis=0).all():
        raise ValueError("every slice must have another model with labels on it and on a labelled slice of this one.")
    base = np.where(given[:, known], logits[:, known], 0).sum(axis=1) / np.maximum(shared, 1)
    use = given & (shared > 0)[:, None]
    ease = np.where(use, logits - base[:, None], 0).sum(axis=0) / use.sum(axis=0)
    return np.where(known, own, _from_logit(ability + ease))


def _band(accuracy: Floats, residuals: Floats, confidence_level: float) -> tuple[Floats, Floats]:
    """Ends of t intervals over models, from the mean square of their left-out residuals."""
    from scipy.stats import t

    per_model = np.array([np.mean(row[~np.isnan(row)] ** 2) for row in residuals if (~np.isnan(row)).any()])
    if not per_model.size:
        return accuracy, accuracy
    half = float(t.ppf(0.5 + confidence_level / 2, max(per_model.size - 1, 1)) * np.sqrt(per_model.mean()))
    centre = logit(accuracy)
    return _from_logit(centre - half), _from_logit(centre + half)


def _from_logit(value: Floats) -> Floats:
    """Undo ``logit``, cut to [0, 1]."""
    from scipy.special import expit

    return np.asarray(np.clip((expit(value) * 11 - 0.5) / 10, 0.0, 1.0))
