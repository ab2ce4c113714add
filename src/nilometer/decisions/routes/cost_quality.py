"""Policies in the plane of cost and quality: what each spends per prompt and how good its answers are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats
from nilometer.errors import NotEnoughDataError

__all__ = ["PolicyPoint", "cheapest_point", "compare_with_mixing", "fixed_points", "oracle_point", "policy_point"]


class PolicyPoint(NamedTuple):
    """Mean cost and score of one way to answer, over labelled prompts."""

    name: str
    kind: str
    """``model``, ``random``, ``oracle``, ``route``, ``select`` or ``cascade``."""
    cost: float
    """Mean cost per prompt; 0 where no costs are known."""
    quality: float
    low: float
    high: float
    n: int
    gain: float | None = None
    """Quality above the best random mix of single models at the same cost."""
    gain_low: float | None = None
    gain_high: float | None = None


def policy_point(
    name: str, kind: str, scores: Floats, *, costs: Floats | float = 0.0, confidence_level: float = 0.95
) -> PolicyPoint:
    """Mean score with a t interval over prompts, and mean cost.

    Parameters
    ----------
    scores
        (prompts,) score of the answer given, in [0, 1].
    costs
        (prompts,) spent on each, or one number.

    Raises
    ------
    NotEnoughDataError
        Without a prompt.

    Examples
    --------
    >>> policy_point("a", "model", np.array([1.0, 0.0, 1.0, 1.0]), costs=0.5)[2:4]
    (0.5, 0.75)
    """
    if not len(scores):
        raise NotEnoughDataError("No prompt has labels for all its answers.", "Label some prompts.")
    low, high = _interval(scores, confidence_level)
    mean = float(scores.mean())
    return PolicyPoint(name, kind, float(np.mean(costs)), mean, max(0.0, low), min(1.0, high), len(scores))


def fixed_points(
    models: Sequence[str], scores: Floats, *, costs: Floats | None = None, confidence_level: float = 0.95
) -> list[PolicyPoint]:
    """Point of each model alone, of a random choice among them, and of the oracle.

    Parameters
    ----------
    scores
        (prompts, models); NaN for no answer, which counts 0 for the model alone and is not drawn at random.
    costs
        (models,) per call.
    """
    price = np.zeros(len(models)) if costs is None else costs
    level = confidence_level
    points = [
        policy_point(name, "model", np.nan_to_num(scores[:, j]), costs=float(price[j]), confidence_level=level)
        for j, name in enumerate(models)
    ]
    drawn = np.nanmean(scores, axis=1)
    points.append(policy_point("random", "random", drawn, costs=float(price.mean()), confidence_level=level))
    return [*points, oracle_point(scores, price, confidence_level=level)]


def oracle_point(scores: Floats, costs: Floats, *, confidence_level: float = 0.95) -> PolicyPoint:
    """Point of the cheapest right answer to every prompt: one minus the rate at which all models fail."""
    best = np.nanmax(scores, axis=1)
    cheap = np.where(scores >= best[:, None], costs, np.inf).min(axis=1)
    return policy_point("oracle", "oracle", best, costs=cheap, confidence_level=confidence_level)


def compare_with_mixing(
    point: PolicyPoint, own: Floats, scores: Floats, *, costs: Floats, confidence_level: float = 0.95
) -> PolicyPoint:
    """The point with its gain over the best mix of two models at its cost, with a paired interval.

    The mix is chosen on the very prompts that it is judged on, which favours it.

    Parameters
    ----------
    own
        (prompts,) scores of the policy.
    scores
        (prompts, models) scores of the models, NaN for no answer.
    costs
        (models,) per call.
    """
    given = np.nan_to_num(scores)
    means = given.mean(axis=0)
    best: tuple[float, Floats] | None = None
    for i in range(len(costs)):
        for j in range(len(costs)):
            share = _share(point.cost, costs[i], costs[j])
            if share is None:
                continue
            mixed = (1 - share) * means[i] + share * means[j]
            if best is None or mixed > best[0]:
                best = mixed, (1 - share) * given[:, i] + share * given[:, j]
    if best is None:  # cheaper than the cheapest model
        return point
    gap = own - best[1]
    low, high = _interval(gap, confidence_level)
    return point._replace(gain=float(gap.mean()), gain_low=low, gain_high=high)


def cheapest_point(
    points: Sequence[PolicyPoint], *, budget: float | None = None, target: float | None = None
) -> PolicyPoint:
    """The best point within a budget, or the cheapest at or above a target quality; the oracle never counts.

    Raises
    ------
    NotEnoughDataError
        If no point is that cheap or that good.
    ValueError
        If neither or both are given.
    """
    if (budget is None) == (target is None):
        raise ValueError("exactly one of `budget` and `target` must be given.")
    real = [point for point in points if point.kind not in ("oracle", "random")]
    if budget is not None:
        fit = [point for point in real if point.cost <= budget * (1 + 1e-12)]
        if not fit:
            least = min((point.cost for point in real), default=float("nan"))
            raise NotEnoughDataError(f"Nothing costs {budget:g} or less.", f"The cheapest costs {least:g} per prompt.")
        return max(fit, key=lambda point: (point.quality, -point.cost))
    good = [point for point in real if target is not None and point.quality >= target]
    if not good:
        top = max((point.quality for point in real), default=float("nan"))
        raise NotEnoughDataError(f"Nothing reaches {target:g}.", f"The best reaches {top:.3f}.")
    return min(good, key=lambda point: (point.cost, -point.quality))


def _share(cost: float, cheap: float, expensive: float) -> float | None:
    """Share of the expensive model at which a mix costs as much; None if it cannot."""
    if not cheap <= cost * (1 + 1e-12):
        return None
    if cost >= expensive:
        return 1.0
    return (cost - cheap) / (expensive - cheap) if expensive > cheap else None


def _interval(values: Floats, confidence_level: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    n = len(values)
    mean = float(values.mean())
    if n < 2:
        return -1.0, 1.0
    error = float(values.std(ddof=1)) / np.sqrt(n)
    reach = float(stdtrit(n - 1, 0.5 + confidence_level / 2)) * error
    return mean - reach, mean + reach
