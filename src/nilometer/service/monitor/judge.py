"""Whether the mean of a closed window differs from a reference, for many slices at one rate of false alarms."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.estimators import holm

__all__ = ["SCALES", "Judgement", "Scale", "judge_windows"]

Floats = NDArray[np.float64]

_LEAST_N = 30
_LEAST_WINDOWS = 5


class Scale(NamedTuple):
    """A length of windows and what it may spend."""

    name: str
    hours: int
    share: float
    """Of the false alarms of a month."""

    def level(self, per_month: float) -> float:
        """Chance of a false alarm that one window may have, over all slices: the share spread over 30 days."""
        return self.share * per_month * self.hours / 720


SCALES = (Scale("hour", 1, 0.5), Scale("day", 24, 0.5))
"""Hours find large changes fast, days find small ones."""


class Judgement(NamedTuple):
    """What windows of several slices say, each of shape (slices,)."""

    before: Floats
    """Mean over the reference, NaN where there is none."""
    after: Floats
    """Mean of the window."""
    p_value: Floats
    """Of no change, alone; 1 where there is too little to judge."""
    adjusted: Floats
    """The same, for all slices together (Holm)."""
    is_judged: NDArray[np.bool_]


def judge_windows(reference: Floats, window: Floats) -> Judgement:
    r"""Test whether the mean of one window differs from that of reference windows of the same length.

    .. math:: t = \frac{\bar x - \bar x_0}{\sqrt{v + v_0}}, \qquad v = \frac{s^2}{n} + \tau^2, \qquad
              v_0 = \frac{s^2}{N} + \frac{\tau^2}{W}

    with :math:`\tau^2` the variance between the W reference windows beyond what their sizes explain (DerSimonian and
    Laird), so that a rhythm of the day is no change. The degrees of freedom are Satterthwaite's, W − 1 for the part
    between windows. The p-value is the larger of that of t and of Bennett's bound for values in [0, 1],
    :math:`2 \exp(-\frac{n \sigma^2}{b^2} h(\frac{b\,|\bar x - \bar x_0|}{\sigma^2}))` with
    :math:`h(u) = (1 + u) \log(1 + u) - u`, :math:`\sigma^2 = n (v + v_0)` and b the distance from the mean to the end
    of [0, 1]: far out in the tail the mean of a hundred skewed values is not normal. A slice needs 30 units in the
    window and 5 reference windows of 30; units are prompts, since answers to one prompt err together.

    Parameters
    ----------
    reference
        Shape (slices, W, 3): number, sum and sum of squares of each reference window.
    window
        Shape (slices, 3): the same of the window.

    References
    ----------
    DerSimonian and Laird (1986), "Meta-analysis in clinical trials". Satterthwaite (1946). Holm (1979).
    Bennett (1962), "Probability inequalities for the sum of independent random variables".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.random((1, 11, 100))
    >>> moments = np.stack([np.full((1, 11), 100.0), x.sum(2), (x**2).sum(2)], axis=2)
    >>> found = judge_windows(moments[:, :10], moments[:, 10])
    >>> bool(found.adjusted[0] > 0.01)
    True
    """
    from scipy.special import stdtr

    usable = reference[..., 0] >= _LEAST_N
    n_windows = usable.sum(axis=1)
    is_judged = (n_windows >= _LEAST_WINDOWS) & (window[:, 0] >= _LEAST_N)
    n_slices = len(window)
    before, after, p_value = (np.full(n_slices, fill) for fill in (np.nan, np.nan, 1.0))
    for i in np.flatnonzero(is_judged):
        before[i], variance_0, tau2, spread2 = _reference(reference[i][usable[i]])
        n = float(window[i, 0])
        after[i] = window[i, 1] / n
        within = spread2 / n
        between = tau2
        variance = within + between + variance_0
        counts = reference[i][usable[i], 0]
        degrees = _degrees(within, between, n_units=float(counts.sum()), n_windows=len(counts))
        gap = abs(after[i] - before[i])
        if variance == 0:
            p_value[i] = float(gap == 0)
            continue
        furthest = 1 - before[i] if after[i] > before[i] else before[i]
        by_t = 2 * float(stdtr(degrees, -gap / np.sqrt(variance)))
        p_value[i] = max(by_t, _bennett(gap, variance, furthest=furthest, n=n))
    adjusted = np.ones(n_slices)
    if is_judged.any():
        adjusted[is_judged] = holm(p_value[is_judged])
    return Judgement(before, after, p_value, adjusted, is_judged)


def _bennett(gap: float, variance: float, *, furthest: float, n: float) -> float:
    """Bound on the chance of a gap this large in the mean of n values that lie at most ``furthest`` beyond theirs."""
    spread2 = n * variance
    u = furthest * gap / spread2
    return min(2 * float(np.exp(-n * spread2 / furthest**2 * ((1 + u) * np.log1p(u) - u))), 1.0)


def _reference(windows: Floats) -> tuple[float, float, float, float]:
    """Mean of reference windows, its variance, the variance between windows, and the variance of one unit."""
    n, total, squares = windows.T
    means = total / n
    spread2 = max(float((squares - total * means).sum() / (n.sum() - len(n))), 0.0)
    if spread2 == 0:
        return float(means.mean()), 0.0, float(means.var(ddof=1)), 0.0
    pooled = total.sum() / n.sum()
    excess = float((n * (means - pooled) ** 2).sum() / spread2) - (len(n) - 1)
    tau2 = max(excess * spread2 / float(n.sum() - (n**2).sum() / n.sum()), 0.0)
    weights = 1 / (spread2 / n + tau2)
    return float(weights @ means / weights.sum()), float(1 / weights.sum()), tau2, spread2


def _degrees(within: float, between: float, *, n_units: float, n_windows: int) -> float:
    total = within + between
    if total == 0:
        return float(n_windows - 1)
    return total**2 / (within**2 / (n_units - n_windows) + between**2 / (n_windows - 1))
