"""Whether the model behind an endpoint changed, from log-probabilities of fixed prompts asked again."""

from collections.abc import Mapping
from math import comb, prod
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats
from nilometer.errors import NotEnoughDataError

__all__ = ["CanaryResult", "canary_test"]


class CanaryResult(NamedTuple):
    """What the canary says."""

    p_value: float
    """Chance of a statistic as large if nothing changed."""
    statistic: float
    shift: float
    """Mean absolute difference of the mean log-probabilities, in nats."""
    shifts: dict[str, float]
    """The same per prompt, largest first."""
    n_before: int
    n_after: int


def canary_test(
    before: Mapping[str, Floats],
    after: Mapping[str, Floats],
    *,
    rng: np.random.Generator,
    n_permutations: int = 1999,
    least_p_value: float = 0.05,
    tolerance: float = 1e-5,
) -> CanaryResult:
    r"""Permutation test of the mean log-probabilities of the k best first tokens.

    .. math:: T = \frac1P \sum_{p} \frac1k \sum_{j=1}^k \frac{|\bar x_{pj} - \bar y_{pj}|}{s_{pj}}

    x are the answers before and y after, :math:`s` is the standard deviation of both together. The answers of each
    prompt are shuffled between before and after, all prompts anew each time: if nothing changed, every shuffle is as
    likely as what was seen, so the p-value holds in finite samples for whatever noise the server has, as long as the
    noise of an answer does not depend on when it was asked. On a server without noise any change is seen.

    Differs from [Chauvin]: several prompts, each coordinate in units of its own noise, and the k best in order
    instead of by token, because traces do not name the alternatives; what was seen counts among the shuffles, so no
    p-value is 0.

    Parameters
    ----------
    before, after
        By prompt, shape (answers, k): log-probabilities of the first token, best first, NaN where not given.
    rng
        Of the shuffles.
    n_permutations
        Shuffles; the p-value is 1 / (n + 1) at least.
    least_p_value
        Refuse if the answers are too few to reach it.
    tolerance
        Standard deviations below this many nats are rounding and count as none.

    Raises
    ------
    NotEnoughDataError
        If no prompt is on both sides, or there are too few answers for the p-value to become that small.
    ValueError
        If a prompt has another k before and after.

    References
    ----------
    [Chauvin] Chauvin et al. (2025), "Log Probability Tracking of LLM APIs", arXiv 2512.03816, sec. 3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before = {"x": rng.normal(-1, 0.01, (10, 5)), "y": rng.normal(-2, 0.01, (10, 5))}
    >>> after = {name: values + 0.1 for name, values in before.items()}
    >>> canary_test(before, before, rng=rng).p_value, canary_test(before, after, rng=rng).p_value
    (1.0, 0.0005)
    """
    prompts = sorted(set(before) & set(after))
    if not prompts:
        raise NotEnoughDataError("no prompt was asked both before and after.", "Ask the prompts of the record again.")
    pairs = [_censored(before[name], after[name], name) for name in prompts]
    sizes = [(len(before[name]), len(after[name])) for name in prompts]
    # exchanging before and after leaves the statistic as it is, so equal numbers count half
    ways = prod(min(comb(a + b, a) // (1 + (a == b)), n_permutations) for a, b in sizes)
    if ways * least_p_value < 1:
        raise NotEnoughDataError(
            f"{sum(a for a, _ in sizes)} answers before and {sum(b for _, b in sizes)} after allow no p-value below "
            f"{1 / ways:.2g}.",
            "Ask more prompts, or each more often.",
        )
    totals, shifts = np.zeros(n_permutations + 1), {}
    for name, values, (n_before, n_after) in zip(prompts, pairs, sizes, strict=True):
        apart = _differences(values, n_before, n_after, rng=rng, n_permutations=n_permutations)
        spread = values.std(axis=0)
        known = spread > tolerance
        scaled = np.zeros_like(apart)
        scaled[:, known] = apart[:, known] / spread[known]
        totals += scaled.mean(axis=1) / len(prompts)
        shifts[name] = float(apart[0].mean())
    as_large = int((totals[1:] >= totals[0] * (1 - 1e-9)).sum())
    return CanaryResult(
        (1 + as_large) / (1 + n_permutations),
        float(totals[0]),
        float(np.mean(list(shifts.values()))),
        dict(sorted(shifts.items(), key=lambda item: -item[1])),
        sum(a for a, _ in sizes),
        sum(b for _, b in sizes),
    )


def _censored(before: Floats, after: Floats, name: str) -> Floats:
    """Both sides, one above the other; what was not given counts as the smallest that was."""
    if before.shape[1] != after.shape[1]:
        raise ValueError(
            f"`after` must have k = {before.shape[1]} like `before`, got {after.shape[1]} for the prompt {name!r}. "
            "Ask with the same number of alternatives."
        )
    values = np.concatenate([before, after]).astype(np.float64)
    if np.isnan(values).all(axis=1).any():
        raise ValueError(f"every answer to {name!r} must have log-probabilities, got one without.")
    least = np.nanmin(values, axis=1, keepdims=True)
    return np.where(np.isnan(values), least, values)


def _differences(
    values: Floats, n_before: int, n_after: int, *, rng: np.random.Generator, n_permutations: int
) -> Floats:
    """Absolute differences of the means: as seen in row 0, then of shuffles; shape (1 + permutations, k)."""
    contrast = np.concatenate([np.full(n_before, 1 / n_before), np.full(n_after, -1 / n_after)])
    shuffled = rng.permuted(np.tile(contrast, (n_permutations, 1)), axis=1)
    return np.abs(np.concatenate([contrast[None], shuffled]) @ values)
