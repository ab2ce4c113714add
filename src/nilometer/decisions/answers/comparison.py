"""Rules against each other on answers whose truth is known: which wins on which metric, and by how much."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Floats, Ints
from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.estimators import Posterior

from .best_answer import best_answers
from .rule import Rule
from .rules import checked_parameter, find_rule

__all__ = ["USUAL", "Comparison", "ComparisonCell", "UsualRules", "compare"]

_LEAST = 10


class UsualRules(NamedTuple):
    """What is compared where nothing is asked for."""

    rules: tuple[str, ...]
    metrics: tuple[str, ...]


USUAL = {
    "number": UsualRules(
        ("zero_one", "absolute", "squared", "ccc"), ("squared", "absolute", "pearson", "spearman", "ccc")
    ),
    "set": UsualRules(("zero_one", "f1", "hamming", "jaccard"), ("zero_one", "f1", "hamming", "jaccard")),
    "text": UsualRules(("zero_one", "balanced_accuracy"), ("zero_one", "balanced_accuracy")),
}
"""By the kind of the answers."""


class ComparisonCell(NamedTuple):
    """One rule on one metric."""

    rule: str
    metric: str
    """Name of the measure, such as RMSE."""
    value: float
    higher_is_better: bool
    gain: float
    """How much better than the first rule, in the unit of the measure; > 0 is better."""
    low: float
    high: float
    """Paired bootstrap interval of the gain."""


class Comparison(NamedTuple):
    """Every rule on every metric; the first rule is the one that the others are compared with."""

    cells: tuple[ComparisonCell, ...]
    n: int
    confidence_level: float

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary per cell."""
        return [cell._asdict() for cell in self.cells]


def compare(
    posteriors: Sequence[Posterior],
    truths: Sequence[Any],
    *,
    answers: Mapping[str, Sequence[Any]] | None = None,
    metrics: Sequence[str | Rule | tuple[str | Rule, Any]] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Return the value of every metric for every rule, and its gain over the first with a paired bootstrap interval.

    Parameters
    ----------
    posteriors, truths
        One per prompt.
    answers
        Answers to compare by name, the baseline first; by default the usual rules for the kind of answer, the mode
        first.
    metrics
        Names, rules, or pairs with a parameter; by default the usual ones.
    confidence_level
        Of the intervals: percentiles of 1,000 resamples of the prompts, the same for all rules.
    seed
        Of the resamples.

    Raises
    ------
    NotEnoughDataError
        If there are fewer than 10 prompts with a truth.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truths = rng.integers(1, 6, 60)
    >>> said = [Posterior.from_samples(np.clip(t + rng.integers(-2, 3, 9), 1, 5)) for t in truths]
    >>> cells = compare(said, truths, metrics=["squared"]).cells
    >>> [(cell.rule, round(cell.value, 2)) for cell in cells if cell.rule in ("zero_one", "squared")]
    [('zero_one', 0.87), ('squared', 0.49)]
    """
    if len(posteriors) != len(truths):
        raise ValueError(f"`truths` must be one per posterior, got {len(truths)} for {len(posteriors)}.")
    if len(truths) < _LEAST:
        raise NotEnoughDataError(f"{len(truths)} answers with a known truth are too few.", f"At least {_LEAST} do.")
    kind = posteriors[0].kind
    rules, usual = USUAL[kind]
    given = answers or {name: best_answers(posteriors, name) for name in rules}
    measured = [_measure(metric) for metric in metrics or usual]
    picks = np.random.default_rng(seed).integers(0, len(truths), (1000, len(truths)))
    cells: list[ComparisonCell] = []
    for rule, parameter in measured:
        cells += _cells(rule, parameter, given, truths=truths, picks=picks, confidence_level=confidence_level)
    return Comparison(tuple(cells), len(truths), confidence_level)


def _measure(metric: str | Rule | tuple[str | Rule, Any]) -> tuple[Rule, Any]:
    named, parameter = metric if isinstance(metric, tuple) else (metric, None)
    rule = find_rule(named)
    return rule, checked_parameter(rule, parameter)


def _cells(
    rule: Rule,
    parameter: Any,
    given: Mapping[str, Sequence[Any]],
    *,
    truths: Sequence[Any],
    picks: Ints,
    confidence_level: float,
) -> list[ComparisonCell]:
    cells: list[ComparisonCell] = []
    sign = 1.0 if rule.higher_is_better else -1.0
    first: Floats | None = None
    for name, own in given.items():
        if len(own) != len(truths):
            raise ConfigError(f"the answers of {name} must be one per truth, got {len(own)} for {len(truths)}.")
        value = rule.realized(own, truths, parameter)
        again = _resampled(rule, parameter, (own, truths), picks=picks)
        first = again if first is None else first
        gains = sign * (again - first)
        tail = (1 - confidence_level) / 2
        low, high = np.quantile(gains, [tail, 1 - tail]).tolist()
        gain = sign * (value - cells[0].value) if cells else 0.0
        cells.append(ComparisonCell(name, rule.measure, value, rule.higher_is_better, gain, low, high))
    return cells


def _resampled(rule: Rule, parameter: Any, pair: tuple[Sequence[Any], Sequence[Any]], *, picks: Ints) -> Floats:
    """The metric on every resample, shape (resamples,)."""
    answers, truths = pair
    if not rule.is_batch and rule.kind != "number":
        each = np.array([rule.realized([a], [y], parameter) for a, y in zip(answers, truths, strict=True)])
        means: Floats = each[picks].mean(axis=1)
        return means
    a, y = _column(answers), _column(truths)
    return np.array([rule.realized(a[pick], y[pick], parameter) for pick in picks])


def _column(values: Sequence[Any]) -> NDArray[Any]:
    column = np.asarray(values)
    return column if column.dtype.kind in "biuf" else np.array([*values], dtype=object)
