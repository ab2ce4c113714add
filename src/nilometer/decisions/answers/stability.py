"""How firmly a decision stands: resampled draws, or every place that missing probability could take."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nilometer.arrays import Floats
from nilometer.estimators import NotEnoughData, Posterior

from .rule import Batch, Rule
from .scale import within_domain

__all__ = ["answers_of", "batch_stability", "stability"]

_RESAMPLES, _LEAST_RESAMPLES, _BATCH_RESAMPLES = 200, 20, 50
_WORK = 20_000_000
_NARROW = 0.05
"""Share of the range within which two numbers count as the same decision."""


class _Unseen:
    """An answer that no draw has shown yet."""


def answers_of(rule: Rule, values: Sequence[Any], weights: Floats, *, parameter: Any) -> list[Any]:
    """Return the best answer for each row of weights over the same values."""
    if rule.kind != "number":
        return list(rule.solve(values, weights, parameter))
    found = rule.solve(np.asarray(values, dtype=np.float64)[None, :], weights, parameter)
    return [tuple(row.tolist()) if row.ndim else float(row) for row in found]


def stability(
    rule: Rule, posterior: Posterior, value: Any, *, parameter: Any, tolerance: float | None, seed: int
) -> float | NotEnoughData:
    """Return the probability that unlimited samples would lead to the same decision, in [0, 1].

    For draws: the share of posteriors from a Dirichlet distribution over the counts, plus one sample's worth of what
    was not seen (both ends of the scale for numbers, the whole scale for labels, an empty set, or another answer),
    that give the same answer. For log-probabilities: the share of open labels that could take up their largest share
    of the missing mass without a change; 1 where nothing is open.
    """
    same = _same(rule, posterior, value, tolerance=tolerance)
    if posterior.n_samples == 1:
        return _one_sample()
    if posterior.n_samples is None:
        values, weights = _placements(rule, posterior, parameter)
    else:
        values, weights = _resampled(rule, posterior, parameter, seed=seed)
    if not len(weights):
        return 1.0
    answers = answers_of(rule, values, weights, parameter=parameter)
    return float(np.mean([same(answer) for answer in answers]))


def _same(rule: Rule, posterior: Posterior, value: Any, *, tolerance: float | None) -> Any:
    if rule.kind != "number":
        return lambda answer: answer is value or bool(answer == value)
    scale = [v for v in posterior.labels or posterior.values if isinstance(v, int | float)]
    within = _NARROW * float(max(scale) - min(scale)) if tolerance is None else tolerance
    return lambda answer: bool(np.max(np.abs(np.subtract(answer, value))) <= within + 1e-12)


def _placements(rule: Rule, posterior: Posterior, parameter: Any) -> tuple[tuple[Any, ...], Floats]:
    """A row of weights per open label, which holds as much of the missing mass as it can."""
    opened = within_domain(rule, posterior.open_labels, parameter)
    values = posterior.values + tuple(label for label in opened if label not in posterior.values)
    rows = np.zeros((len(opened), len(values)))
    rows[:, : len(posterior.values)] = posterior.weights * (1 - posterior.missing_mass)
    for row, label in zip(rows, opened, strict=True):
        row[values.index(label)] += min(posterior.missing_mass, posterior.largest_open)
    return values, rows / rows.sum(axis=1, keepdims=True)


def _resampled(rule: Rule, posterior: Posterior, parameter: Any, *, seed: int) -> tuple[tuple[Any, ...], Floats]:
    unseen = _unseen(rule, posterior, parameter)
    values = posterior.values + tuple(label for label in unseen if label not in posterior.values)
    counts = np.zeros(len(values))
    counts[: len(posterior.values)] = posterior.weights * (posterior.n_effective or 1.0)
    for label in unseen:
        counts[values.index(label)] += 1 / len(unseen)
    size = sum(map(len, values)) if posterior.kind == "set" else len(values)
    n = int(np.clip(_WORK // max(size * 100, 1), _LEAST_RESAMPLES, _RESAMPLES))
    drawn = np.random.default_rng(seed).standard_gamma(counts, (n, len(values)))
    return values, drawn / drawn.sum(axis=1, keepdims=True)


def _unseen(rule: Rule, posterior: Posterior, parameter: Any) -> list[Any]:
    """Where the mass of one more sample goes."""
    if rule.name == "cost":
        return list(parameter.labels)
    if posterior.kind == "set":
        return [type(posterior.values[0])()]
    if rule.kind == "number":
        scale = within_domain(rule, posterior.labels or posterior.values, parameter)
        return sorted({min(scale), max(scale)}) if scale else [posterior.values[0]]
    if posterior.labels is not None:
        return list(posterior.labels)
    return [_Unseen()] if rule.name == "zero_one" else list(posterior.values)


def batch_stability(
    rule: Rule, batch: Batch, posteriors: Sequence[Posterior], *, answers: Sequence[Any] | Floats, seed: int
) -> list[float | NotEnoughData]:
    """Return per prompt the share of resampled batches that leave its answer, in [0, 1].

    Draws are resampled as in ``stability`` without an unseen sample; posteriors from log-probabilities stay as they
    are. Numbers count as the same within a twentieth of the range of the answers.
    """
    rng = np.random.default_rng(seed)
    counts = np.array([one.n_effective or 0.0 for one in posteriors])[:, None]
    if not counts.any():
        return [1.0] * len(posteriors)
    fixed = [label for label in answers if not isinstance(label, int | float | np.floating)]
    numbers = np.asarray(answers, dtype=float) if not fixed and rule.kind == "number" else None
    within = _NARROW * float(np.ptp(numbers)) + 1e-12 if numbers is not None else 0.0
    n = int(np.clip(_WORK // batch.weights.size, 10, _BATCH_RESAMPLES))
    kept = np.zeros(len(posteriors))
    for _ in range(n):
        drawn = rng.standard_gamma(np.maximum(batch.weights * counts, 1e-12))
        drawn = np.where((counts > 0) & (batch.weights > 0), drawn, batch.weights)
        total = drawn.sum(axis=1, keepdims=True)
        again = rule.solve(
            batch._replace(weights=np.where(total > 0, drawn / np.maximum(total, 1e-300), batch.weights))
        )
        if numbers is not None:
            kept += np.abs(np.asarray(again.answers, dtype=float) - numbers) <= within
        else:
            kept += [one == other for one, other in zip(again.answers, answers, strict=True)]
    return [
        float(share) if one.n_samples != 1 else _one_sample() for share, one in zip(kept / n, posteriors, strict=True)
    ]


def _one_sample() -> NotEnoughData:
    return NotEnoughData(
        slice="stability", n=1, reason="one sample says nothing of the next.", needed="Draw at least two."
    )
