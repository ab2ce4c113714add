"""Minimum Bayes risk where every score costs: a race that stops paying for hypotheses that cannot win."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nilometer.arrays import Float, Floats, Int, Ints

from .confidence import posterior_surpluses
from .distinct import DistinctTexts, distinct_texts
from .exact import Texts, Utility, rank_order
from .scores import score_block, score_pairs, text_blocks
from .utilities import TextUtility, resolve_utility

__all__ = ["MBRRace", "race_mbr"]


FIRST_REFERENCES = 8
"""Random pseudo-references of the first round; each further round doubles them."""


@dataclass(frozen=True)
class MBRRace:
    """The winner of a race and what it cost."""

    text: str
    """The answer."""
    index: int
    """Its first position among the hypotheses."""
    expected_utility: float
    """Estimated from the pseudo-references it met."""
    confidence: float
    """Estimated probability that `mbr` would choose it too; the level asked for if no budget interfered."""
    regret_bound: float
    """At the level asked for, how much better in expected utility the choice of `mbr` can be; 0 if no budget
    interfered."""
    n_calls: int
    """Scores asked for."""
    n_calls_exact: int
    """Scores that `mbr` would ask for."""
    survivors: tuple[int, ...]
    """Distinct hypotheses left after each round, the start included."""
    utility: str
    """Name of the utility."""


class _State(NamedTuple):
    """Hypotheses still in play and the scores seen so far."""

    alive: Ints
    """Hypotheses still in."""
    scores: Floats
    """(alive, references met)."""
    out: tuple[Floats, ...] = ()
    """Scores of each hypothesis put out, against the references met until then."""
    halved: bool = False
    """Whether one was put out for want of budget."""


class _Comparison(NamedTuple):
    """All hypotheses still in against the leader."""

    means: Floats
    """Estimated expected utility."""
    gaps: Floats
    """How far behind the leader."""
    errors: Floats
    """Standard error of that; infinite where there is no telling."""
    freedom: int
    """Degrees of freedom."""

    @property
    def p_values(self) -> Floats:
        """That each is as good as the leader."""
        from scipy.special import stdtr

        statistic = np.divide(self.gaps, self.errors, out=np.full(len(self.gaps), np.inf), where=self.errors > 0)
        return np.asarray(np.where(self.gaps > 0, stdtr(self.freedom, -statistic), 1.0))


class _Pool(NamedTuple):
    """The pseudo-references in the order in which they are met."""

    order: Ints
    """Those of any weight at all."""
    weights: Floats
    """In that order."""
    n_heavy: int
    """The first so many weigh at least twice the mean: all of them are met in the first round."""

    @property
    def n_rounds(self) -> int:
        """Rounds until all have been met, without a budget."""
        n, target, rounds = len(self.order), 0, 0
        while target < n:
            target, rounds = self.after(target), rounds + 1
        return rounds

    def after(self, met: int) -> int:
        """How many to have met after the next round."""
        light = max(FIRST_REFERENCES, 2 * (met - self.n_heavy))
        return min(self.n_heavy + light, len(self.order))


class _Calls:
    """Scores each pair once, and an unordered pair once if the utility is symmetric."""

    def __init__(self, utility: TextUtility, texts: list[str]) -> None:
        self.utility, self.texts, self.n_calls = utility, texts, 0
        self.known: dict[tuple[int, int], float] = {}

    def key(self, i: int, j: int) -> tuple[int, int]:
        return (min(i, j), max(i, j)) if self.utility.symmetric else (i, j)

    def unknown(self, rows: Ints, columns: Ints) -> list[tuple[int, int]]:
        pairs = ((i, j) for i in rows.tolist() for j in columns.tolist())
        seen = dict.fromkeys(self.key(i, j) for i, j in pairs)
        return [pair for pair in seen if pair not in self.known]

    def cost(self, rows: Ints, columns: Ints) -> int:
        return len(rows) * len(columns) if self.utility.matrix is not None else len(self.unknown(rows, columns))

    def block(self, rows: Int[Ints, " h"], columns: Int[Ints, " r"]) -> Float[Floats, "h r"]:
        texts = self.texts
        if self.utility.matrix is not None:
            hypotheses, references = [texts[i] for i in rows], [texts[j] for j in columns]
            self.n_calls += len(rows) * len(columns)
            parts = [score_block(self.utility, hypotheses[part], references)[0] for part in text_blocks(hypotheses)]
            return np.concatenate(parts)
        pairs = self.unknown(rows, columns)
        values = score_pairs(self.utility, [(texts[i], texts[j]) for i, j in pairs])
        self.n_calls += len(pairs)
        self.known.update(zip(pairs, values.tolist(), strict=True))
        return np.array([[self.known[self.key(i, j)] for j in columns.tolist()] for i in rows.tolist()])


def race_mbr(
    hypotheses: Texts,
    utility: Utility,
    *,
    rng: np.random.Generator,
    confidence_level: float = 0.95,
    budget: int | None = None,
    weights: ArrayLike | None = None,
) -> MBRRace:
    r"""Find the winner of `mbr` with few calls to an expensive utility.

    Every hypothesis meets the same pseudo-references: those of at least twice the mean weight, then 8, 16, 32, ...
    drawn from the others without replacement. After each round a hypothesis is out if the leader's mean paired
    advantage ``D`` is sure:

    .. math:: D > t_{k-1,\,1-\delta}\; W \sqrt{\Big(1 - \frac{k}{K}\Big)
              \Big(\frac{s^2}{k} + \frac{\max |d|^2}{k^2}\Big)},
              \qquad \delta = \frac{1 - \text{confidence level}}{(n - 1)\,\text{rounds}}

    with ``d`` the advantage over the k of K drawn references, s their (weighted, ratio-estimator) deviation and W
    their share of the weight. By the union bound the exact winner is lost with probability at most 1 − confidence
    level, as far as t holds; the second term stands for references not yet met that differ as much as the worst
    one. If all are met the result is exact.

    A ``budget`` makes it correlated sequential halving: where an equal share of what is left for each halving to
    come does not pay for the next references, the worse half goes. Then the confidence is an estimate, from
    `posterior_surpluses` of those given up, and so is the bound on the regret.

    Parameters
    ----------
    hypotheses
        Samples for one prompt, which are their own pseudo-references. Equal ones are merged.
    utility
        As `mbr`; `batched_utility` lets one call score a whole round.
    rng
        Draws the order of the references.
    confidence_level
        Wanted probability of the exact winner, in (0, 1).
    budget
        Most calls, at least two per distinct hypothesis; unlimited by default.
    weights
        As `mbr`.

    Raises
    ------
    ValueError
        As `mbr`, or if the level or the budget is out of range.

    References
    ----------
    Cheng and Vlachos (2023), "Faster MBR with Confidence-based Pruning", arXiv:2311.14919. Baharav and Tse (2019),
    "Ultra Fast Medoid Identification via Correlated Sequential Halving", arXiv:1906.04356. Cochran (1977),
    *Sampling Techniques*, sec. 6.3, for the ratio estimator.

    Examples
    --------
    >>> texts = [f"answer {'a' * (i % 40)}" for i in range(200)]
    >>> def closeness(h: str, r: str) -> float:
    ...     return -float(abs(len(h) - len(r)))
    >>> race = race_mbr(texts, closeness, rng=np.random.default_rng(0))
    >>> len(race.text), race.n_calls < race.n_calls_exact
    (26, True)
    """
    if not 0 < confidence_level < 1:
        raise ValueError(f"`confidence_level` must be in (0, 1), got {confidence_level}.")
    distinct = distinct_texts(hypotheses, (weights, None))
    n = len(distinct.texts)
    if budget is not None and budget < 2 * n:
        raise ValueError(f"`budget` must be >= {2 * n}, two calls for each of {n} distinct hypotheses, got {budget}.")
    calls = _Calls(resolve_utility(utility), distinct.texts)
    pool = _pool(distinct, rng)
    state, survivors = _State(np.arange(n), np.zeros((n, 0))), [n]
    level = (1 - confidence_level) / (max(n - 1, 1) * pool.n_rounds)
    while len(state.alive) > 1 or not state.scores.size:
        plan = _Plan(None if budget is None else budget - calls.n_calls, calls)
        state = _out(_met(_afford(state, pool, plan), pool, plan), pool, (level, distinct.weights))
        survivors.append(len(state.alive))
    return _result(state, pool, (distinct, calls, confidence_level, survivors))


class _Plan(NamedTuple):
    """Budget of one elimination round."""

    left: int | None
    """Calls left."""
    calls: _Calls

    def target(self, n_alive: int, met: int, pool: _Pool) -> int:
        """References to have met after it: a share of the budget for each halving that may be to come."""
        target = pool.after(met)
        if self.left is None or met > pool.n_heavy:
            return target
        share = self.left // (n_alive * max(1, (n_alive - 1).bit_length()))
        return min(target, max(2 * met, 2, share))

    def pays(self, alive: Ints, references: Ints) -> bool:
        """Whether the budget allows it, with as much left for each halving to come."""
        if self.left is None:
            return True
        return self.calls.cost(alive, references) * max(1, (len(alive) - 1).bit_length()) <= self.left


def _pool(distinct: DistinctTexts, rng: np.random.Generator) -> _Pool:
    drawn = rng.permutation(np.flatnonzero(distinct.weights))
    heavy = distinct.weights[drawn] >= 2.0 / len(drawn)
    first = drawn[heavy]
    order = np.concatenate((first[np.argsort(-distinct.weights[first], kind="stable")], drawn[~heavy]))
    return _Pool(order, distinct.weights[order], int(heavy.sum()))


def _afford(state: _State, pool: _Pool, plan: _Plan) -> _State:
    """Put the worse half out until the rest can meet the next references within the budget."""
    met = state.scores.shape[1]
    while met and len(state.alive) > 1:
        if plan.pays(state.alive, pool.order[met : plan.target(len(state.alive), met, pool)]):
            break
        ranked = rank_order(_compare(state.scores, pool).means, np.zeros(len(state.alive)))
        half = (len(ranked) + 1) // 2
        keep, gone = np.sort(ranked[:half]), ranked[half:]
        state = _State(state.alive[keep], state.scores[keep], (*state.out, *state.scores[gone]), halved=True)
    return state


def _met(state: _State, pool: _Pool, plan: _Plan) -> _State:
    """Scores against the next references."""
    met = state.scores.shape[1]
    if len(state.alive) == 1 and met:
        return state
    new = pool.order[met : plan.target(len(state.alive), met, pool)]
    return state._replace(scores=np.hstack((state.scores, plan.calls.block(state.alive, new))))


def _out(state: _State, pool: _Pool, rule: tuple[float, Floats]) -> _State:
    """Drop hypotheses that are significantly behind the leader, and all others once every reference has been used."""
    level, weights = rule
    found = _compare(state.scores, pool)
    keep = (found.p_values >= level) & (state.scores.shape[1] < len(pool.order))
    keep[rank_order(found.means, weights[state.alive])[0]] = True
    return _State(state.alive[keep], state.scores[keep], (*state.out, *state.scores[~keep]), state.halved)


def _compare(scores: Float[Floats, "alive met"], pool: _Pool) -> _Comparison:
    """Estimate expected utilities, and how sure each is behind the leader."""
    met, n = scores.shape[1], len(pool.order)
    heavy, light = scores[:, : pool.n_heavy], scores[:, pool.n_heavy :]
    w_heavy, w_light = pool.weights[: heavy.shape[1]], pool.weights[pool.n_heavy : met]
    k, n_light, rest = light.shape[1], n - pool.n_heavy, float(pool.weights[pool.n_heavy :].sum())
    light_means = light @ w_light / w_light.sum() if k else np.zeros(len(scores))
    means = heavy @ w_heavy + rest * light_means
    leader = rank_order(means, np.zeros(len(means)))[0]
    gaps = means[leader] - means
    if met < n and k < 2:
        return _Comparison(means, gaps, np.full(len(means), np.inf), 1)
    advantage = light[leader] - light
    residual = w_light * (advantage - (light_means[leader] - light_means)[:, None]) / w_light.mean()
    unmet = (np.abs(advantage).max(axis=1) / k) ** 2
    variance = (1 - k / n_light) * ((residual**2).sum(axis=1) / (k * max(k - 1, 1)) + unmet)
    return _Comparison(means, gaps, rest * np.sqrt(variance), max(k - 1, 1))


def _result(state: _State, pool: _Pool, run: tuple[DistinctTexts, _Calls, float, list[int]]) -> MBRRace:
    distinct, calls, confidence_level, survivors = run
    winner = int(state.alive[0])
    n, m = len(distinct.texts), len(pool.order)
    symmetric = calls.utility.symmetric and calls.utility.matrix is None
    confidence, regret_bound = confidence_level, 0.0
    if state.halved:
        surpluses = posterior_surpluses([state.scores[0], *state.out], pool.weights)
        confidence = max(0.0, confidence_level - float(surpluses.chance_above(0.0).sum()))
        regret_bound = surpluses.bound(1 - confidence_level)
    return MBRRace(
        distinct.texts[winner],
        int(distinct.first[winner]),
        float(_compare(state.scores, pool).means[0]),
        confidence,
        regret_bound,
        calls.n_calls,
        m * (m + 1) // 2 + (n - m) * m if symmetric else n * m,
        tuple(survivors),
        calls.utility.name,
    )
