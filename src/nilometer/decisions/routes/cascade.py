"""Ask cheap models first and stop when they agree: the cascade, its curve and its calibrated stopping rule."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nilometer.arrays import AnyFloats, Bools, Floats, Ints

from .selection import Selection, select_medoid

__all__ = [
    "Cascade",
    "CascadeRun",
    "StopRule",
    "calibrate_stop",
    "cascade_for_budget",
    "cheap_models",
    "run_cascade",
]


TIE = 1e-9
_STEPS = 64


class Cascade(NamedTuple):
    """Which models are asked at once, which one is asked if they disagree, and how near is agreement."""

    first: tuple[int, ...]
    last: int
    least_closeness: float
    """Stop where minus the mean squared distance of the consensus answer to the others is at least this."""


class CascadeRun(NamedTuple):
    """What a cascade does on recorded answers."""

    models: Ints
    """(prompts,) model whose answer is given."""
    asked: Bools
    """(prompts, models) which were called."""
    closeness: Floats
    """(prompts,) of the consensus answer of the first models."""
    stopped: Bools
    """(prompts,) answered by the first models."""

    def costs(self, prices: ArrayLike) -> Floats:
        """(prompts,) cost of all calls, from the (models,) price of one."""
        return np.asarray(self.asked @ np.asarray(prices, dtype=np.float64))

    def reason(self, row: int, cascade: Cascade, models: Sequence[str]) -> str:
        """Why this answer was given, in one line."""
        first = ", ".join(models[j] for j in cascade.first)
        near, least = self.closeness[row], cascade.least_closeness
        if self.stopped[row]:
            return f"{first} agree ({near:.3g} >= {least:.3g}); the answer is that of {models[self.models[row]]}"
        if self.models[row] < 0:
            return "no model answered"
        given = models[self.models[row]]
        return f"{first} do not agree ({near:.3g} < {least:.3g}); {models[cascade.last]} was asked, {given} answers"


class StopRule(NamedTuple):
    """How near the first models must agree, and what that was certified for."""

    least_closeness: float
    """``inf`` if no stopping could be certified."""
    stopped: float
    """Share of the labelled prompts that stop."""
    harm: float
    """Mean score lost by stopping, on the labelled prompts."""
    harm_bound: float
    """Upper confidence bound of it."""


def run_cascade(cascade: Cascade, embeddings: ArrayLike, *, weights: ArrayLike | None = None) -> CascadeRun:
    """Apply a cascade to recorded answers.

    A prompt stops only if two or more of the first models answered. Where the last model gave no answer, the
    consensus of the first is given all the same.

    Parameters
    ----------
    embeddings
        (prompts, models, dim); only NaN for a missing answer.
    weights
        (models,) of the consensus; equal by default.

    Raises
    ------
    ValueError
        If the first models are fewer than two or hold the last.
    """
    x = np.asarray(embeddings)
    first = _checked_first(cascade, x.shape[1])
    chosen, enough = _consensus(x, first, weights)
    closeness = np.where(enough, chosen.closeness(), -np.inf)
    stopped = closeness >= cascade.least_closeness - TIE
    answered = ~np.isnan(x[:, cascade.last]).all(axis=1)
    local = np.asarray(first)[np.maximum(chosen.models, 0)]
    local = np.where(chosen.models >= 0, local, -1)
    last = np.where(answered, cascade.last, local)
    asked = np.zeros(x.shape[:2], dtype=bool)
    asked[:, list(first)] = True
    asked[:, cascade.last] = ~stopped
    return CascadeRun(np.where(stopped, local, last), asked, closeness, stopped)


def cheap_models(costs: ArrayLike, quality: ArrayLike, *, last: int, most: float = 0.25) -> list[int]:
    """Models to ask first: those that cost at most a share of the last one, best estimated quality first.

    The cheapest of all are often the worst, and their agreement means little. Where fewer than two are that
    cheap, all others count, cheapest first.

    Examples
    --------
    >>> cheap_models([1, 2, 2, 9, 10], [-0.9, -0.2, -0.4, -0.1, 0.0], last=4)
    [1, 2, 0]
    """
    price, value = np.asarray(costs, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    others = [j for j in np.argsort(price, kind="stable").tolist() if j != last]
    cheap = [j for j in others if price[j] <= most * price[last]]
    return sorted(cheap, key=lambda j: -value[j]) if len(cheap) > 1 else others


def cascade_for_budget(
    embeddings: ArrayLike, costs: ArrayLike, *, first: Sequence[int], last: int, budget: float
) -> Cascade:
    """Strictest cascade whose mean cost on these prompts stays within the budget; no labels are needed.

    Raises
    ------
    ValueError
        If even stopping always costs more, or the models do not fit.

    Examples
    --------
    >>> answers = [[[0.0], [0.0], [5.0]], [[0.0], [3.0], [5.0]]]
    >>> cascade_for_budget(answers, [1, 1, 10], first=[0, 1], last=2, budget=7)
    Cascade(first=(0, 1), last=2, least_closeness=0.0)
    """
    x, price = np.asarray(embeddings), np.asarray(costs, dtype=np.float64)
    chosen = _checked_first(Cascade(tuple(first), last, 0.0), x.shape[1])
    base, extra = float(price[list(chosen)].sum()), float(price[last])
    if budget < base:
        raise ValueError(f"`budget` must be >= {base:g}, the cost of the first models, got {budget:g}.")
    share = min(1.0, (budget - base) / extra) if extra > 0 else 1.0
    closeness = run_cascade(Cascade(chosen, last, np.inf), x).closeness
    n_stop = int(np.ceil((1.0 - share) * len(closeness) - TIE))
    if n_stop <= 0:
        return Cascade(chosen, last, float("inf"))
    return Cascade(chosen, last, float(np.sort(closeness)[::-1][n_stop - 1]) + 0.0)


def calibrate_stop(
    closeness: ArrayLike, harm: ArrayLike, *, max_harm: float, confidence_level: float = 0.95
) -> StopRule:
    r"""Loosest stopping rule that loses at most ``max_harm`` with the stated confidence.

    The harm of stopping on a prompt is :math:`\max(s_{last} - s_{consensus}, 0)`, in [0, 1] and 0 where the
    cascade goes on. Rules are tested from the strictest to the loosest, each with the Hoeffding-Bentkus p-value
    of :math:`H: E[harm] > h`, until the first that cannot be rejected; testing in this order keeps the error
    of all together at :math:`1 - confidence`.

    Parameters
    ----------
    closeness
        (labelled prompts,) as in `CascadeRun`.
    harm
        (labelled prompts,) score lost if this prompt stops.
    max_harm
        Largest mean loss allowed, in (0, 1).

    Raises
    ------
    ValueError
        If a harm lies outside [0, 1] or ``max_harm`` outside (0, 1).

    References
    ----------
    Angelopoulos et al. (2021), "Learn then Test", sec. 2, arXiv:2110.01052. Bates et al. (2021),
    "Distribution-Free, Risk-Controlling Prediction Sets", thm 5 and prop. 9, arXiv:2101.02703.

    Examples
    --------
    >>> rule = calibrate_stop(np.arange(400), np.arange(400) < 100, max_harm=0.1)
    >>> rule.stopped, rule.least_closeness
    (0.81, 76.0)
    """
    c, h = np.asarray(closeness, dtype=np.float64), np.asarray(harm, dtype=np.float64)
    if not 0.0 < max_harm < 1.0:
        raise ValueError(f"`max_harm` must lie in (0, 1), got {max_harm}.")
    if c.shape != h.shape or c.ndim != 1 or (h.size and not (h.min() >= 0.0 and h.max() <= 1.0)):
        raise ValueError("`harm` must hold one number in [0, 1] per entry of `closeness`.")
    order = np.sort(c[np.isfinite(c)])[::-1]
    found = StopRule(float("inf"), 0.0, 0.0, 1.0)
    for place in np.unique(np.linspace(0, len(order) - 1, min(_STEPS, len(order))).astype(int)) if len(order) else ():
        threshold = float(order[place])
        lost = np.where(c >= threshold - TIE, h, 0.0)
        if _p_value(float(lost.mean()), len(h), max_harm) > 1.0 - confidence_level:
            break
        found = StopRule(threshold, float((c >= threshold - TIE).mean()), float(lost.mean()), 1.0)
    return found._replace(harm_bound=_upper_bound(found.harm, len(h), confidence_level))


def _consensus(x: AnyFloats, first: tuple[int, ...], weights: ArrayLike | None) -> tuple[Selection, Bools]:
    own = x[:, list(first)]
    w = None if weights is None else np.asarray(weights, dtype=np.float64)[list(first)]
    return select_medoid(own, weights=w), (~np.isnan(own).all(axis=2)).sum(axis=1) >= 2


def _checked_first(cascade: Cascade, n_models: int) -> tuple[int, ...]:
    first = tuple(int(i) for i in cascade.first)
    numbers = {*first, cascade.last}
    if len(first) < 2 or len(numbers) != len(first) + 1 or min(numbers) < 0 or max(numbers) >= n_models:
        raise ValueError(
            f"`first` must be two or more different models of 0..{n_models - 1} without the last, got {first} and "
            f"{cascade.last}."
        )
    return first


def _p_value(mean: float, n: int, limit: float) -> float:
    """Hoeffding-Bentkus p-value of a mean in [0, 1] of n prompts being above the limit."""
    from scipy.special import bdtr

    if mean >= limit or n == 0:
        return 1.0
    tail = mean * np.log(mean / limit) if mean > 0 else 0.0
    divergence = tail + (1 - mean) * np.log((1 - mean) / (1 - limit))
    return float(min(np.exp(-n * divergence), np.e * float(bdtr(np.ceil(n * mean), n, limit))))


def _upper_bound(mean: float, n: int, confidence_level: float) -> float:
    """Smallest limit that the p-value rejects, by bisection."""
    low, high = mean, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        rejected = 0.0 < middle < 1.0 and _p_value(mean, n, middle) <= 1.0 - confidence_level
        low, high = (low, middle) if rejected else (middle, high)
    return high
