"""Accuracy of a slice from what other models, or earlier versions, get on the same slices."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..intervals import logit

__all__ = ["CrossModel", "cross_model_accuracy"]

Floats = NDArray[np.float64]

_LEAST_MODELS = 3


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
