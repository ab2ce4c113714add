"""Active inference: labels drawn with known, unequal probabilities, and the accuracy they give."""

import numpy as np

from nilometer.arrays import Floats, Ints

from .ppi import check_predictions
from .sample import Found, LabelledAccuracy, check_sample, finish, size_by_design

__all__ = ["draw_sample", "inclusion_probabilities", "weighted_mean"]


def inclusion_probabilities(p_correct: Floats, budget: int, *, uniform_share: float = 0.5) -> Floats:
    r"""Probability with which each response should be labelled, so that ``budget`` labels are most informative.

    .. math:: \pi_i \propto (1 - \tau) \frac{\sqrt{f_i (1 - f_i)}}{\sum_j \sqrt{f_j (1 - f_j)}} + \frac{\tau}{N},
              \qquad \sum_i \pi_i = \text{budget}, \quad \pi_i \le 1

    The uniform share :math:`\tau` keeps every probability away from 0, so that overconfident predictions
    cannot hide a part of the slice: no label weighs more than 1 / τ of one drawn at random.

    References
    ----------
    Zrnic and Candès (2024), "Active Statistical Inference", arXiv 2403.03208, sec. 3.

    Examples
    --------
    >>> inclusion_probabilities(np.array([0.5, 0.5, 0.99, 0.99]), 2).round(2).tolist()
    [0.67, 0.67, 0.33, 0.33]
    """
    if not 0 < budget <= len(p_correct):
        raise ValueError(f"`budget` must lie in 1 to {len(p_correct)}, the responses there are, got {budget}.")
    if not 0 < uniform_share <= 1:
        raise ValueError(f"`uniform_share` must lie in (0, 1], got {uniform_share}.")
    spread = np.sqrt(np.clip(p_correct * (1 - p_correct), 1e-6, None))
    rank = (1 - uniform_share) * spread / spread.sum() + uniform_share / len(spread)
    certain = np.zeros(len(rank), dtype=bool)
    while True:
        free = budget - certain.sum()
        found = np.where(certain, 1.0, free * rank / max(rank[~certain].sum(), 1e-300))
        over = (found > 1) & ~certain
        if not over.any():
            return found
        certain |= over


def draw_sample(inclusion: Floats, *, rng: np.random.Generator) -> Ints:
    """Draw rows with exactly these inclusion probabilities, as many as they sum up to (within one).

    Systematic sampling on a random order.

    References
    ----------
    Madow (1949), "On the theory of systematic sampling, II". Hájek (1981), "Sampling from a Finite Population".

    Examples
    --------
    >>> draw_sample(np.array([0.5, 0.5, 1.0]), rng=np.random.default_rng(0)).tolist()
    [0, 2]
    """
    order = rng.permutation(len(inclusion))
    ends = np.cumsum(inclusion[order])
    total = float(ends[-1])
    ticks = rng.random() + np.arange(int(np.ceil(total)))
    ticks = ticks[ticks < total - 1e-9]
    return np.sort(order[np.searchsorted(ends, ticks, side="right")])


def weighted_mean(
    correct: Floats,
    p_correct: Floats,
    inclusion: Floats,
    *,
    finite: bool = True,
    weight: float | None = None,
    confidence_level: float = 0.95,
) -> LabelledAccuracy:
    r"""Accuracy of a slice whose labels were drawn with known inclusion probabilities (active inference).

    .. math:: \hat a = \frac1N \sum_i \Big[ \lambda f_i + \frac{\xi_i}{\pi_i} (y_i - \lambda f_i) \Big]

    with :math:`\xi_i = 1` where a label was drawn. Unbiased whatever f is. With ``finite`` the variance is
    Hájek's for a sample of fixed size, otherwise that of the summands over N.

    Parameters
    ----------
    correct
        Shape (N,), labels in [0, 1], NaN where there is none.
    p_correct
        Shape (N,), made without these labels.
    inclusion
        Shape (N,), in (0, 1]; from ``inclusion_probabilities``, or constant inside each stratum.
    finite
        Whether the accuracy of just these N responses is asked for.
    weight
        Fixes :math:`\lambda`; None takes the one with the smallest variance.
    confidence_level
        In (0, 1).

    Raises
    ------
    NotEnoughDataError
        If fewer than 2 responses have labels.
    ValueError
        If a labelled response could not have been drawn, or a prediction is missing.

    References
    ----------
    Zrnic and Candès (2024), arXiv 2403.03208. Hájek (1964), Annals of Mathematical Statistics 35.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> p = rng.beta(4, 1, 1000)
    >>> truth = (rng.random(1000) < p).astype(float)
    >>> inclusion = inclusion_probabilities(p, 100)
    >>> correct = np.full(1000, np.nan)
    >>> drawn = draw_sample(inclusion, rng=rng)
    >>> correct[drawn] = truth[drawn]
    >>> found = weighted_mean(correct, p, inclusion)
    >>> bool(found.low < truth.mean() < found.high)
    True
    """
    known = check_sample(correct, confidence_level=confidence_level)
    check_predictions(p_correct, correct)
    if not ((inclusion > 0) & (inclusion <= 1 + 1e-9)).all():
        raise ValueError(f"`inclusion` must lie in (0, 1], got {inclusion.min():g} to {inclusion.max():g}.")
    pi, y, f = inclusion[known], correct[known], p_correct[known]
    chosen = _best_weight(correct, p_correct, inclusion) if weight is None else weight
    residual = (y - chosen * f) / pi
    size = len(correct)
    accuracy = float((chosen * p_correct.sum() + residual.sum()) / size)
    if finite:
        variance = _fixed_size_variance(residual, pi) / size**2
    else:
        each = chosen * p_correct
        each[known] += residual
        variance = float(each.var(ddof=1)) / size
    n = int(known.sum())
    effective = size_by_design(accuracy, variance, n, size=size, finite=finite)
    found = Found(accuracy, variance, effective, max(float((pi < 1).sum() - 2), 1.0), chosen)
    return finish(found, known, method="active", confidence_level=confidence_level)


def _best_weight(correct: Floats, p_correct: Floats, inclusion: Floats) -> float:
    """Slope of the weighted labels on the weighted predictions, as in power tuning of PPI++."""
    known = ~np.isnan(correct)
    drawn = np.where(known, 1 / inclusion, 0.0)
    a = p_correct * (drawn - 1)
    b = np.where(known, np.nan_to_num(correct), 0.0) * drawn
    covariance = np.cov(a, b, ddof=1)
    return float(covariance[0, 1] / covariance[0, 0]) if covariance[0, 0] > 0 else 0.0


def _fixed_size_variance(residual: Floats, pi: Floats) -> float:
    """Hájek's variance of a total; rows that were certain to be drawn add nothing."""
    open_rows = 1 - pi
    m = int((open_rows > 1e-12).sum())
    if m < 2:
        return 0.0
    centre = float((open_rows * residual).sum() / open_rows.sum())
    return m / (m - 1) * float((open_rows * (residual - centre) ** 2).sum())
