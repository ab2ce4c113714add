"""What to acquire: for which slices to collect data so that most errors go away, and examples of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from nilometer.arrays import Floats, Ints
from nilometer.errors import ConfigError
from nilometer.estimators import Estimate, NotEnoughData, Responses, draw_accuracies
from nilometer.signals import FEATURE_NAMES

__all__ = [
    "AcquireOptions",
    "SliceAcquisition",
    "SliceCost",
    "cover_slice",
    "exponent_sensitivity",
    "moved_share",
    "plan_acquisition",
    "slice_examples",
]


_STEPS = 200
"""Equal parts in which the budget is spent: each is 0.5 % of it, finer than the learning curves are known."""
_ROWS = 64
"""Slices, or draws, that are taken together: what they need fits the cache."""
_OTHER_EXPONENTS = (0.2, 0.5)
_EXPONENT_SPREAD = 0.47
"""Standard deviation of the logarithm of an exponent, a factor of 1.6: log(1.6) = 0.47."""


class SliceCost(NamedTuple):
    """What is known of a slice beside its accuracy."""

    cost: float = 1.0
    """Of one more example, in the unit of the budget."""
    examples: float = 100.0
    """Examples of the slice that the model has learned from."""
    exponent: float = 0.3
    """g of the learning curve; 0.3 is typical of published curves."""


class AcquireOptions(NamedTuple):
    """How to plan."""

    target: float = 1.0
    """Accuracy that is wanted; errors beyond it do not count."""
    worst: int = 3
    """For the probability of being among so many worst slices."""
    n_draws: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceAcquisition:
    """One slice of the plan, most errors closed first."""

    slice: str
    n: int
    share: float
    accuracy: float | None
    p_worst: float
    """Probability of being among the ``worst`` slices with the lowest accuracy."""
    n_new: int
    """Examples to collect."""
    cost: float
    errors_closed: float
    """Expected errors fewer in 1,000 responses of all traffic."""
    errors_closed_per_cost: float
    """Of the first example, in a million responses of all traffic, per unit of cost."""


def plan_acquisition(
    estimates: Sequence[Estimate | NotEnoughData],
    budget: float,
    *,
    costs: Mapping[str, SliceCost] | None = None,
    options: AcquireOptions | None = None,
    rng: np.random.Generator,
) -> tuple[SliceAcquisition, ...]:
    r"""Divide a budget among slices by the errors that more data is expected to remove.

    .. math:: \text{err}_s(m) = \text{err}_s \Big(\frac{m_s + m}{m_s}\Big)^{-g_s}, \qquad
              \text{worth}_s(m) = w_s\, E\big[\min(\text{err}_s(0), e) - \min(\text{err}_s(m), e)\big]

    with the traffic share w, the examples :math:`m_s` learned from, and e the errors above ``1 - target``. Accuracies
    are drawn from the intervals of the estimates and exponents from a log-normal around :math:`g_s` (factor 1.6),
    so an uncertain slice counts by all it may be. Money goes in 200 steps to where it closes most.

    The learning curve is an assumption unless its exponent was measured; the ranking by ``p_worst`` is not.

    Parameters
    ----------
    estimates
        One per slice; of one that is not known the accuracy is drawn uniformly.
    budget
        In the unit of the costs, examples if there are none.
    costs
        By slice; every slice needs one if any is given.
    options
        Target and worst.
    rng
        Of the draws.

    Raises
    ------
    ConfigError
        If the budget or a cost is not positive, or a slice has no cost.

    References
    ----------
    Tae and Whang (2021), "Slice Tuner", arXiv 2003.04549, sec. 4 (power-law learning curves per slice).

    Examples
    --------
    >>> shared = {"n": 100, "confidence_level": 0.95, "method": "atc"}
    >>> good = Estimate(slice="good", accuracy=0.95, low=0.9, high=0.98, **shared)
    >>> bad = Estimate(slice="bad", accuracy=0.5, low=0.4, high=0.6, **shared)
    >>> [row.slice for row in plan_acquisition([good, bad], 100, rng=np.random.default_rng(0))]
    ['bad', 'good']
    """
    options = options or AcquireOptions()
    _check_budget(budget)
    draws = _Draws.of(estimates, options.n_draws, rng=rng)
    return _planned(estimates, budget, draws, costs=costs, options=options)


class _Draws(NamedTuple):
    """Draws of what is not known of S slices, each of shape (S, draws)."""

    accuracies: Floats
    factors: Floats
    """Of the exponents."""

    @classmethod
    def of(cls, estimates: Sequence[Estimate | NotEnoughData], n: int, *, rng: np.random.Generator) -> Self:
        accuracies = np.empty((len(estimates), n))
        for i, row in enumerate(estimates):
            accuracies[i] = draw_accuracies(row, n, rng=rng)
        factors = rng.normal(0, _EXPONENT_SPREAD, accuracies.shape)
        return cls(accuracies, np.exp(factors, out=factors))


def _planned(
    estimates: Sequence[Estimate | NotEnoughData],
    budget: float,
    draws: _Draws,
    *,
    costs: Mapping[str, SliceCost] | None,
    options: AcquireOptions,
) -> tuple[SliceAcquisition, ...]:
    known = [_cost(row.slice, costs) for row in estimates]
    exponent = np.array([one.exponent for one in known])
    share = np.array([row.n for row in estimates], dtype=np.float64)
    examples = np.array([one.examples for one in known])
    curves = _Curves(draws, exponent, examples, share / share.sum(), 1 - options.target)
    price = np.array([one.cost for one in known])
    first = curves.closed(np.ones(len(price))) / price
    new = np.floor(_spend(curves, budget, price) + 1e-9)
    closed, worst = curves.closed(new), _p_worst(draws.accuracies, options.worst)
    rows = [
        SliceAcquisition(
            slice=row.slice,
            n=row.n,
            share=float(curves.share[i]),
            p_worst=float(worst[i]),
            n_new=int(new[i]),
            accuracy=row.accuracy if isinstance(row, Estimate) else None,
            cost=float(new[i] * price[i]),
            errors_closed=float(closed[i]) * 1000,
            errors_closed_per_cost=float(first[i]) * 1e6,
        )
        for i, row in enumerate(estimates)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.errors_closed, -row.errors_closed_per_cost)))


class _Curves(NamedTuple):
    """Learning curves of S slices, over draws of what is not known of them."""

    draws: _Draws
    exponents: Floats
    """Shape (S,), means."""
    examples: Floats
    """Shape (S,), examples learned from."""
    share: Floats
    """Shape (S,), of the traffic."""
    least: float
    """Errors below this share do not count."""

    def closed(self, new: Floats) -> Floats:
        """Errors that ``new`` examples of every slice are expected to close, as shares of all traffic, shape (S,)."""
        parts = [slice(i, i + _ROWS) for i in range(0, len(new), _ROWS)]
        return np.concatenate([self.rows(own)._closed(new[own]) for own in parts])

    def _closed(self, new: Floats) -> Floats:
        error, exponents = 1 - self.draws.accuracies, self.exponents[:, None] * self.draws.factors
        after = error * ((self.examples + new) / self.examples)[:, None] ** -exponents
        fewer = np.maximum(error, self.least) - np.maximum(after, self.least)
        return np.asarray(self.share * fewer.mean(axis=1))

    def rows(self, own: slice) -> "_Curves":
        """Return some of the slices."""
        draws = _Draws(*(one[own] for one in self.draws))
        return _Curves(draws, self.exponents[own], self.examples[own], self.share[own], self.least)


def _spend(curves: _Curves, budget: float, price: Floats) -> Floats:
    """Share the budget out in equal steps, each to the slice where it closes most; examples by slice, shape (S,).

    A step changes one slice, so only that one is evaluated again.
    """
    step = budget / _STEPS / price
    new = np.zeros(len(price))
    now, following = curves.closed(new), curves.closed(step)
    for _ in range(_STEPS):
        best = int(np.argmax(following - now))
        own = slice(best, best + 1)
        new[best] += step[best]
        now[best] = following[best]
        following[own] = curves.rows(own).closed(new[own] + step[own])
    return new


def exponent_sensitivity(
    estimates: Sequence[Estimate | NotEnoughData],
    budget: float,
    *,
    costs: Mapping[str, SliceCost] | None = None,
    options: AcquireOptions | None = None,
    rng: np.random.Generator,
) -> dict[float, float]:
    """Share of the budget that goes to other slices if the learning curves have another exponent, by exponent.

    Exponents of 0.2 and 0.5, the ends of what is published, replace the usual one where none was measured. All plans
    use the same draws.

    Examples
    --------
    >>> shared = {"n": 100, "confidence_level": 0.95, "method": "atc"}
    >>> rows = [Estimate(slice=s, accuracy=a, low=a - 0.1, high=a + 0.1, **shared) for s, a in (("a", 0.5), ("b", 0.7))]
    >>> sorted(exponent_sensitivity(rows, 100, rng=np.random.default_rng(0)))
    [0.2, 0.5]
    """
    usual, options = SliceCost().exponent, options or AcquireOptions()
    _check_budget(budget)
    draws = _Draws.of(estimates, options.n_draws, rng=np.random.default_rng(int(rng.integers(2**32))))

    def plan(exponent: float) -> tuple[SliceAcquisition, ...]:
        known = costs or {row.slice: SliceCost() for row in estimates}
        other = {k: c._replace(exponent=exponent) if c.exponent == usual else c for k, c in known.items()}
        return _planned(estimates, budget, draws, costs=other, options=options)

    found = plan(usual)
    return {exponent: moved_share(found, plan(exponent)) for exponent in _OTHER_EXPONENTS}


def moved_share(plan: Sequence[SliceAcquisition], other: Sequence[SliceAcquisition]) -> float:
    r"""Share of the money that another plan of the same slices spends elsewhere, in [0, 1].

    .. math:: \tfrac12 \sum_s \Big| \frac{c_s}{\sum c} - \frac{c'_s}{\sum c'} \Big|

    with the cost c of each slice: 0 if both spend alike, 1 if they have no slice in common. It shows how far a plan
    depends on an assumption, such as the exponent of the learning curve.

    Examples
    --------
    >>> shared = {"n": 9, "share": 0.5, "accuracy": None, "p_worst": 1.0, "errors_closed": 1.0}
    >>> def row(name, cost):
    ...     return SliceAcquisition(slice=name, n_new=cost, cost=cost, errors_closed_per_cost=1.0, **shared)
    >>> moved_share([row("a", 8), row("b", 2)], [row("b", 4), row("a", 6)])
    0.2
    """
    spent = [{row.slice: row.cost for row in rows} for rows in (plan, other)]
    total = [sum(by_slice.values()) or 1.0 for by_slice in spent]
    apart = (abs(spent[0][name] / total[0] - spent[1][name] / total[1]) for name in spent[0])
    return round(sum(apart) / 2, 9)


def _check_budget(budget: float) -> None:
    if not budget > 0:
        raise ConfigError(f"`budget` must be > 0, got {budget:g}.")


def _cost(name: str, costs: Mapping[str, SliceCost] | None) -> SliceCost:
    if costs is None:
        return SliceCost()
    if name not in costs:
        raise ConfigError(f"`cost` must name every slice, {name!r} is missing. Add a line for it.")
    found = costs[name]
    if not (found.cost > 0 and found.examples > 0 and found.exponent > 0):
        raise ConfigError(f"`cost`, `examples` and `exponent` of {name!r} must be > 0, got {tuple(found)}.")
    return found


def _p_worst(accuracies: Floats, worst: int) -> Floats:
    """Share of draws in which each slice is among the lowest."""
    n_slices, n_draws = accuracies.shape
    if worst >= n_slices:
        return np.ones(n_slices)
    counts = np.zeros(n_slices)
    for start in range(0, n_draws, _ROWS):
        lowest = np.argpartition(accuracies[:, start : start + _ROWS], worst - 1, axis=0)[:worst]
        counts += np.bincount(lowest.ravel(), minlength=n_slices)
    return np.asarray(counts / n_draws)


def cover_slice(features: Floats, n: int) -> Ints:
    """Rows of n examples that cover a slice: each next one is farthest from those chosen (greedy k-centre).

    Features are scaled to unit variance; the first is the one nearest the middle. At most twice as far from any
    response as the best choice.

    Parameters
    ----------
    features
        Shape (responses, features): profiles, or embeddings of the prompts. NaN counts as the mean.

    References
    ----------
    Gonzalez (1985), "Clustering to minimize the maximum intercluster distance".

    Examples
    --------
    >>> cover_slice(np.array([[0.0], [0.1], [5.0], [9.0]]), 3).tolist()
    [2, 0, 3]
    """
    if not len(features):
        return np.empty(0, dtype=np.int64)
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(features)
        count = np.maximum(known.sum(axis=0), 1)
        values = np.where(known, features, 0.0)
        centred = np.where(known, features - values.sum(axis=0) / count, 0.0)
    spread = centred.std(axis=0)
    scaled = centred / np.where(spread > 0, spread, 1.0)
    chosen = [int(np.argmin((scaled**2).sum(axis=1)))]
    away = ((scaled - scaled[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(n, len(scaled)) and away.max() > 0:
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, ((scaled - scaled[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen, dtype=np.int64)


def slice_examples(responses: Responses, name: str, n: int) -> list[str]:
    """Ids of n responses that cover a slice, by all its features; see :func:`cover_slice`."""
    own = responses.rows(responses.slices.is_in(name))
    features = np.stack([own.profiles.column(f) for f in FEATURE_NAMES if f in own.profiles.names], axis=1)
    return [str(own.trace_ids[row]) for row in cover_slice(features, n)] if n else []
