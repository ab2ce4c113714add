"""Prediction-powered accuracy: labels of some responses, a probability of being correct for all."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Float, Floats

from .sample import Found, LabelledAccuracy, check_sample, cluster_sums, finish, size_by_design

__all__ = ["LEAST_FOR_WEIGHT", "check_predictions", "ppi_mean", "prediction_weight"]

LEAST_FOR_WEIGHT = 4
"""Labels from which predictions get a weight."""


def prediction_weight(
    correct: Float[Floats, " responses"], p_correct: Float[Floats, " responses"], *, finite: bool = True
) -> float:
    r"""Weight :math:`\lambda` in [0, 1] of the predictions that makes the variance of :func:`ppi_mean` smallest.

    .. math:: \lambda = \frac{\operatorname{Cov}_n(y, f)}{\operatorname{Var}_N f \,(1 + n/(N - n))}

    With ``finite`` the bracket vanishes, since the mean of all N predictions is then known. The variance is that of
    all predictions: among a few labels it can be tiny by chance, and the weight would explode. The weight is 0
    where the correlation is below :math:`1/\sqrt{n - 2}`: there predictions cost more than they bring.

    References
    ----------
    Angelopoulos, Duchi and Zrnic (2023), "PPI++", arXiv 2311.01453, sec. 6. Mani et al. (2025), "No free
    lunch", arXiv 2505.20178, for the bound on the correlation. Cochran (1977), ch. 7, for the finite case.

    Examples
    --------
    >>> prediction_weight(np.array([0, 1, 0, 1, np.nan]), np.array([0.1, 0.9, 0.1, 0.9, 0.5])).__round__(2)
    1.0
    """
    known = ~np.isnan(correct)
    y, f = correct[known], p_correct[known]
    if y.size < LEAST_FOR_WEIGHT or y.std() == 0 or f.std() == 0:
        return 0.0
    covariance = float(np.cov(y, f, ddof=1)[0, 1])
    if abs(covariance) / (y.std(ddof=1) * f.std(ddof=1)) < 1 / np.sqrt(y.size - 2):
        return 0.0
    apart = 1.0 if finite or known.all() else 1 + y.size / int((~known).sum())
    return float(np.clip(covariance / (float(p_correct.var(ddof=1)) * apart), 0, 1))


def ppi_mean(
    correct: Floats,
    p_correct: Floats,
    *,
    clusters: NDArray[Any] | None = None,
    finite: bool = True,
    weight: float | None = None,
    confidence_level: float = 0.95,
) -> LabelledAccuracy:
    r"""Accuracy of a slice from n labels drawn at random and predictions for all its N responses (PPI++).

    .. math:: \hat a = \lambda \bar f_N + \frac1n \sum_{i \in L} (y_i - \lambda f_i)

    With ``finite`` the mean of f over all N is known and the variance is :math:`(1 - n/N)\, s^2_{y - \lambda f}/n`.
    Otherwise the mean is over the N − n without labels and adds :math:`\lambda^2 s^2_f / (N - n)`. The weight
    takes a degree of freedom. The predictions may be biased in any way; only how they vary with the labels helps.

    Parameters
    ----------
    correct
        Shape (N,), labels in [0, 1], NaN where there is none; the labelled ones drawn at random.
    p_correct
        Shape (N,), made without these labels.
    clusters
        Shape (N,); see ``labelled_mean``.
    finite
        Whether the accuracy of just these N responses is asked for.
    weight
        Fixes :math:`\lambda`; None takes ``prediction_weight``.
    confidence_level
        In (0, 1).

    Raises
    ------
    NotEnoughDataError
        If fewer than 2 responses have labels.
    ValueError
        If a prediction is missing or infinite.

    References
    ----------
    Angelopoulos, Duchi and Zrnic (2023), arXiv 2311.01453. Cochran (1977), ch. 7 (regression estimator).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> p = rng.random(400)
    >>> correct = np.where(np.arange(400) < 80, (rng.random(400) < p).astype(float), np.nan)
    >>> found = ppi_mean(correct, p)
    >>> found.low < 0.5 < found.high, found.n_effective > 100
    (True, True)
    """
    known = check_sample(correct, confidence_level=confidence_level)
    check_predictions(p_correct, correct)
    chosen = prediction_weight(correct, p_correct, finite=finite) if weight is None else weight
    n, size = int(known.sum()), len(correct)
    residual = correct[known] - chosen * p_correct[known]
    rest = p_correct if finite or n == size else p_correct[~known]
    accuracy = chosen * float(rest.mean()) + float(residual.mean())
    lost = 1 + (weight is None and chosen != 0)
    if clusters is None:
        df, inside = float(n - lost), float(((residual - residual.mean()) ** 2).sum()) / max(n - lost, 1) / n
    else:
        sums, _ = cluster_sums(residual - residual.mean(), np.asarray(clusters)[known])
        df = float(len(sums) - 1)
        inside = len(sums) / df * float((sums**2).sum()) / n**2
    variance = (1 - n / size) * inside if finite else inside + _outside(rest, chosen, n=n, size=size)
    effective = size_by_design(float(correct[known].mean()), variance, n, size=size, finite=finite)
    found = Found(accuracy, variance, effective, df if chosen or clusters is not None else np.inf, chosen)
    return finish(found, known, method="ppi++", confidence_level=confidence_level)


def check_predictions(p_correct: Floats, correct: Floats) -> None:
    """Refuse predictions that are missing, infinite, or not one per response."""
    if len(p_correct) != len(correct):
        raise ValueError(f"`p_correct` must have {len(correct)} values like `correct`, got {len(p_correct)}.")
    if not np.isfinite(p_correct).all():
        raise ValueError(f"`p_correct` must be finite, got {int((~np.isfinite(p_correct)).sum())} that are not.")


def _outside(rest: Floats, weight: float, *, n: int, size: int) -> float:
    return 0.0 if n == size or rest.size < 2 else weight**2 * float(rest.var(ddof=1)) / rest.size
