"""Accuracy that may be looked at after every label: confidence sequences by betting, and a monitor for a drop."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import Bools, Floats

from .ppi import check_predictions
from .sample import check_sample

__all__ = ["ConfidenceSequence", "RiskMonitor", "confidence_sequence", "start_monitor", "update_monitor"]

_GRID = 1001
_TRUNCATION = 0.5
_STAKES = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
"""Shares of the largest allowed bet; the wealth is the mean over players who bet one of them each."""


class ConfidenceSequence(NamedTuple):
    """Intervals after each label that hold the accuracy all at once."""

    low: Floats
    """Shape (n,)."""
    high: Floats
    """Shape (n,)."""


def confidence_sequence(
    correct: Floats, *, n_responses: int | None = None, confidence_level: float = 0.95
) -> ConfidenceSequence:
    r"""Intervals for the accuracy after each label, all of which hold at once with the confidence level.

    One may look after every label and stop whenever one likes. A candidate accuracy m is dropped when a
    player who bets against it has multiplied the stake by :math:`1/\alpha`:

    .. math:: K_t^{\pm}(m) = \prod_{i \le t} \big(1 \pm \lambda_i (y_i - m)\big), \qquad
              \tfrac12 \max(K_t^+, K_t^-) < 1/\alpha

    with predictable plug-in bets, cut at half of what could lose everything. With ``n_responses`` = N the labels
    are drawn without replacement from N responses: m is replaced by what the others would have to have,
    :math:`(N m - \sum_{j < i} y_j) / (N - i + 1)`, and the interval closes at the last.

    Parameters
    ----------
    correct
        Shape (n,), labels in [0, 1] in the (random) order in which they came.
    n_responses
        Responses of the slice, None for unlimited traffic.
    confidence_level
        In (0, 1).

    Raises
    ------
    NotEnoughDataError
        If there is no label.
    ValueError
        If a label is missing or outside [0, 1], or there are more labels than responses.

    References
    ----------
    Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", JRSS-B 86,
    arXiv 2010.09686, sec. 4 (hedged capital) and 5 (without replacement).

    Examples
    --------
    >>> found = confidence_sequence(np.ones(100))
    >>> bool(found.low[-1] > 0.9), float(found.high[-1])
    (True, 1.0)
    """
    known = check_sample(correct, least=1, confidence_level=confidence_level)
    if not known.all():
        raise ValueError(f"`correct` must have no NaN, got {int((~known).sum())}.")
    n = len(correct)
    if n_responses is not None and n_responses < n:
        raise ValueError(f"`n_responses` must be >= {n}, the labels there are, got {n_responses}.")
    alpha = 1 - confidence_level
    bets = _plug_in_bets(correct, alpha)
    candidates = np.linspace(0, 1, _GRID)
    means, possible = _conditional_means(correct, candidates, n_responses)
    up = np.minimum(bets[:, None], _TRUNCATION / np.maximum(means, 1e-9))
    down = np.minimum(bets[:, None], _TRUNCATION / np.maximum(1 - means, 1e-9))
    gap = correct[:, None] - means
    capital = np.maximum(np.cumsum(np.log1p(up * gap), axis=0), np.cumsum(np.log1p(-down * gap), axis=0))
    inside = np.logical_and.accumulate((capital < np.log(2 / alpha)) & possible, axis=0)
    step = 1 / (_GRID - 1)
    some = inside.any(axis=1)
    low = np.where(some, candidates[np.argmax(inside, axis=1)] - step, np.nan)
    high = np.where(some, candidates[_GRID - 1 - np.argmax(inside[:, ::-1], axis=1)] + step, np.nan)
    middle = np.cumsum(correct) / np.arange(1, n + 1)  # where no candidate of the grid is left
    low, high = np.where(some, low, middle - step), np.where(some, high, middle + step)
    return ConfidenceSequence(np.clip(low, 0, 1), np.clip(high, 0, 1))


def _plug_in_bets(correct: Floats, alpha: float) -> Floats:
    t = np.arange(1, len(correct) + 1)
    means = (0.5 + np.cumsum(correct)) / (t + 1)
    spread = (0.25 + np.cumsum((correct - means) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], spread[:-1]])
    return np.asarray(np.sqrt(2 * np.log(2 / alpha) / (before * t * np.log1p(t))))


def _conditional_means(correct: Floats, candidates: Floats, n_responses: int | None) -> tuple[Floats, Bools]:
    """Mean of each next label if the accuracy is each candidate, shape (n, grid), and whether that is possible."""
    n = len(correct)
    if n_responses is None:
        means = np.broadcast_to(candidates, (n, len(candidates)))
        return np.asarray(means), np.ones(means.shape, dtype=bool)
    seen = np.concatenate([[0.0], np.cumsum(correct)])
    left = n_responses - np.arange(n + 1)
    rest = n_responses * candidates - seen[:, None]
    half = 0.5 * n_responses / (_GRID - 1)  # a candidate stands for all accuracies nearest to it
    possible = (rest[1:] >= -half) & (rest[1:] <= left[1:, None] + half)
    return np.clip(rest[:-1] / left[:-1, None], 0, 1), possible


class RiskMonitor(NamedTuple):
    """What a monitor knows after some batches; start with ``start_monitor``."""

    least: float
    """Alert when accuracy falls below this."""
    log_wealth: Floats
    """Shape (8,), one player per stake."""
    most_wealth: float
    """Largest mean wealth so far."""
    n_batches: int
    n_labels: int
    moments: Floats
    """Shape (5,): number, sums of y, f, f y and f² of all labels so far, for the weight of the predictions."""

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value of "accuracy never fell below ``least``"."""
        return min(1.0, 1.0 / self.most_wealth)

    def has_fallen(self, confidence_level: float = 0.95) -> bool:
        """Whether the accuracy has fallen below ``least``; false alarms, over all time, are 1 − level at most."""
        return self.p_value <= 1 - confidence_level


def start_monitor(least: float) -> RiskMonitor:
    """Begin to watch whether accuracy falls below ``least``.

    Examples
    --------
    >>> start_monitor(0.8).p_value
    1.0
    """
    if not 0 < least < 1:
        raise ValueError(f"`least` must lie in (0, 1), got {least}.")
    return RiskMonitor(least, np.zeros(len(_STAKES)), 1.0, 0, 0, np.zeros(5))


def update_monitor(state: RiskMonitor, correct: Floats, p_correct: Floats, *, rng: np.random.Generator) -> RiskMonitor:
    r"""Take in a batch of responses, some of them labelled at random (prediction-powered risk monitoring).

    While the accuracy of every batch is at least c, the wealth

    .. math:: W = \prod_i \big(1 + \kappa \frac{r_i - e_i}{1 - r_i}\big), \qquad e_i = y_i - \eta f_i, \qquad
              r_i = \frac{N (c - \eta \bar f) - \sum_{j < i} e_j}{N - i + 1}

    of a player who bets on a fall cannot be expected to grow: given the labels seen, the next :math:`e_i` of
    the batch averages at least :math:`r_i`. So :math:`P(\exists t: W_t \ge 1/\alpha) \le \alpha`, whatever the
    predictions are and however often one looks. The weight :math:`\eta` in [0, 1] comes from earlier batches only.

    Differs from [Zhang]: bets on single labels drawn without replacement instead of a bound on batch means,
    so that a few labels a batch suffice.

    Parameters
    ----------
    state
        From ``start_monitor`` or an earlier update.
    correct
        Shape (N,), labels, NaN where there is none; the labelled ones drawn at random from the batch.
    p_correct
        Shape (N,), predictions made without these labels.
    rng
        Puts the labels of the batch in random order.

    References
    ----------
    [Zhang] Zhang et al. (2026), arXiv 2602.02229. Podkopaev and Ramdas (2021), arXiv 2110.06177.
    Waudby-Smith and Ramdas (2024), arXiv 2010.09686, sec. 5.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> state = start_monitor(0.9)
    >>> for _ in range(10):
    ...     state = update_monitor(state, (rng.random(20) < 0.6).astype(float), np.full(20, 0.9), rng=rng)
    >>> state.has_fallen()
    True
    """
    known = check_sample(correct, least=0)
    check_predictions(p_correct, correct)
    weight = _past_weight(state.moments)
    rows = rng.permutation(np.flatnonzero(known))
    y, f = correct[rows], p_correct[rows]
    residual = y - weight * f
    size = len(correct)
    before = np.concatenate([[0.0], np.cumsum(residual)[:-1]]) if rows.size else np.empty(0)
    least = (size * (state.least - weight * float(p_correct.mean() if size else 0.0)) - before) / (
        size - np.arange(rows.size)
    )
    least = np.clip(least, -weight, 1 - 1e-6)  # a player who cannot lose bets nothing more
    growth = np.log1p(_STAKES[:, None] * np.maximum((least - residual) / (1 - least), -1.0 + 1e-9))
    paths = state.log_wealth[:, None] + np.cumsum(growth, axis=1)
    wealth = np.exp(np.minimum(paths, 500.0)).mean(axis=0)
    added = np.array([rows.size, y.sum(), f.sum(), (f * y).sum(), (f * f).sum()])
    return RiskMonitor(
        state.least,
        paths[:, -1] if rows.size else state.log_wealth,
        max(state.most_wealth, float(wealth.max()) if rows.size else 1.0),
        state.n_batches + 1,
        state.n_labels + int(rows.size),
        state.moments + added,
    )


def _past_weight(moments: Floats) -> float:
    n, y, f, fy, ff = moments
    if n < 10:
        return 0.0
    variance = ff / n - (f / n) ** 2
    return float(np.clip((fy / n - f * y / n**2) / variance, 0, 1)) if variance > 1e-12 else 0.0
