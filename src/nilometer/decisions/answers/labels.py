"""Rules that choose among finitely many answers: labels, costs of every confusion, and the user's own metric."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nilometer.arrays import Floats
from nilometer.errors import ConfigError
from nilometer.signals import number_or_text

from .minimisers import number_mode
from .rule import Rule, tail_mean

__all__ = ["LABEL_RULES", "CostMatrix", "first_best", "read_cost_matrix", "user_rule"]

_TIE = 1e-12
_CANDIDATES = 256
"""A metric of the user's is asked for so many of the posterior's heaviest answers at most."""


def first_best(risks: Floats) -> np.ndarray:
    """Place of the smallest risk in each row; the first of equals."""
    found: np.ndarray = np.argmax(risks <= risks.min(axis=1, keepdims=True) + _TIE, axis=1)
    return found


def _heaviest(values: Sequence[Any], weights: Floats, _: object = None) -> list[Any]:
    return [values[place] for place in first_best(-weights)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostMatrix:
    """What every answer costs under every truth.

    Parameters
    ----------
    costs
        Shape (answers, labels), smaller is better, in any unit.
    labels
        The true answers, one per column.
    answers
        What may be answered, one per row; the labels by default. More answers than labels are fine: "ask a person".
    tail
        1 for the expected cost; below, the mean of the worst ``tail`` share of it (averse to risk).

    Raises
    ------
    ValueError
        If the shape does not fit, a cost is not finite, or `tail` is not in (0, 1].
    """

    costs: Any
    labels: tuple[Any, ...]
    answers: tuple[Any, ...] = ()
    tail: float = 1.0

    def __post_init__(self) -> None:
        costs = np.array(self.costs, dtype=np.float64)
        answers = tuple(self.answers) or tuple(self.labels)
        if costs.shape != (len(answers), len(self.labels)):
            raise ValueError(
                f"`costs` must have one row per answer and one column per label, {len(answers)} by "
                f"{len(self.labels)}, got shape {costs.shape}."
            )
        if not np.isfinite(costs).all():
            raise ValueError("`costs` must be finite.")
        if not 0 < self.tail <= 1:
            raise ValueError(f"`tail` must lie in (0, 1], got {self.tail:g}.")
        object.__setattr__(self, "costs", costs)
        object.__setattr__(self, "answers", answers)
        object.__setattr__(self, "labels", tuple(self.labels))

    def columns(self, values: Sequence[Any]) -> Floats:
        """Costs of the values, shape (answers, values)."""
        outside = [value for value in values if value not in self.labels]
        if outside:
            raise ValueError(f"the cost matrix must name every answer of the posterior, {outside[0]!r} is missing.")
        found: Floats = self.costs[:, [self.labels.index(value) for value in values]]
        return found


def _summary(losses: Floats, weights: Floats, tail: float) -> Floats:
    expected: Floats = (losses * weights).sum(axis=-1)
    return expected if tail >= 1 else tail_mean(losses, weights, tail)


def _least_risk(losses: Floats, weights: Floats, tail: float) -> np.ndarray:
    """Place of the candidate with the least risk for each row of weights; losses (candidates, values)."""
    if tail >= 1:
        return first_best(weights @ losses.T)
    return first_best(np.stack([_summary(losses, row[None, :], tail) for row in weights]))


def _cheapest(values: Sequence[Any], weights: Floats, matrix: CostMatrix) -> list[Any]:
    return [matrix.answers[place] for place in _least_risk(matrix.columns(values), weights, matrix.tail)]


def _cost(answer: Any, truth: Any, matrix: CostMatrix) -> float:
    return float(matrix.columns([truth])[matrix.answers.index(answer), 0])


def user_rule(
    function: Callable[[Any, Any], float],
    *,
    name: str = "user",
    higher_is_better: bool = False,
    candidates: Sequence[Any] | None = None,
    tail: float = 1.0,
) -> Rule:
    """Make a rule of your own metric: the candidate with the least expected loss.

    Parameters
    ----------
    function
        ``function(answer, truth)``: a loss, or a utility if `higher_is_better`.
    name
        Shown in decisions.
    higher_is_better
        Whether the function is a utility; risks are then its negative.
    candidates
        What may be answered; by default the posterior's own answers, the 256 heaviest at most.
    tail
        Below 1, the mean of the worst ``tail`` share of the loss instead of all of it.

    Examples
    --------
    >>> rule = user_rule(lambda answer, truth: abs(len(answer) - len(truth)), name="length")
    >>> rule.solve(("a", "abc", "abcde"), np.array([[0.4, 0.3, 0.3]]), None)
    ['abc']
    """
    if not callable(function):
        raise TypeError(f"`function` must be callable, got {function!r}.")
    if not 0 < tail <= 1:
        raise ValueError(f"`tail` must lie in (0, 1], got {tail:g}.")
    sign = -1.0 if higher_is_better else 1.0

    def loss(answer: Any, truth: Any, _: object = None) -> float:
        return sign * float(function(answer, truth))

    def solve(values: Sequence[Any], weights: Floats, _: object = None) -> list[Any]:
        heaviest = np.sort(np.argsort(-weights.sum(axis=0), kind="stable")[:_CANDIDATES])
        chosen = [values[place] for place in heaviest] if candidates is None else list(candidates)
        losses = np.array([[loss(answer, truth) for truth in values] for answer in chosen])
        if not np.isfinite(losses).all():
            raise ValueError(f"`{name}` must give finite numbers, got {losses[~np.isfinite(losses)][0]}.")
        return [chosen[place] for place in _least_risk(losses, weights, tail)]

    return Rule(
        name=name,
        kind="any",
        metric=f"{name}(a, y)",
        answer="best candidate",
        solve=solve,
        loss=loss,
        summary=lambda losses, weights, _: _summary(losses, weights, tail),
        measure=name,
        score=lambda a, y, _: float(np.mean([function(x, t) for x, t in zip(a, y, strict=True)])),
        higher_is_better=higher_is_better,
        exactness="exact over the candidates; the first of equals",
        reference="minimum Bayes risk; Kumar and Byrne (2004)",
    )


LABEL_RULES = (
    Rule(
        name="zero_one",
        kind="any",
        metric="1[a ≠ y]",
        answer="heaviest class of equal answers",
        solve=_heaviest,
        solve_rows=number_mode,
        loss=lambda a, y, _: float(a != y),
        measure="accuracy",
        higher_is_better=True,
        score=lambda a, y, _: float(np.mean([x == t for x, t in zip(a, y, strict=True)])),
        exactness="exact; equality is that of the parser; the first of equals",
        reference="self-consistency: Wang et al. (2023), arXiv 2203.11171",
        aliases=("accuracy", "exact_match", "mode"),
    ),
    Rule(
        name="cost",
        kind="any",
        metric="C[a, y]",
        answer="row of C with the least expected (or worst-tail) cost",
        solve=_cheapest,
        loss=_cost,
        summary=lambda losses, w, matrix: _summary(losses, w, matrix.tail),
        measure="mean cost",
        domain="parameter: CostMatrix",
        exactness="exact over the rows; the first of equals",
        reference="Elkan (2001), The foundations of cost-sensitive learning",
    ),
)
"""Rules for any kind of answer."""


def read_cost_matrix(path: Path, *, tail: float = 1.0) -> CostMatrix:
    r"""Read a cost matrix: CSV with the labels in the first line and an answer before each row, or JSON.

    JSON is ``{"answer": {"label": cost, ...}, ...}``. Names that are numbers become numbers.

    Parameters
    ----------
    path
        The file.
    tail
        As in ``CostMatrix``.

    Raises
    ------
    ConfigError
        If a row lacks a label or a cost is no number.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "costs.csv"
    ...     _ = path.write_text("answer,ok,fraud\nok,0,100\nask,2,2\n")
    ...     matrix = read_cost_matrix(path)
    >>> matrix.answers, matrix.labels, matrix.costs.tolist()
    (('ok', 'ask'), ('ok', 'fraud'), [[0.0, 100.0], [2.0, 2.0]])
    """
    text = path.read_text(encoding="utf-8-sig")
    rows = _json_rows(path, text) if text.lstrip()[:1] == "{" else _csv_rows(path, text)
    labels = tuple(dict.fromkeys(label for row in rows.values() for label in row))
    costs = [
        [_cost_cell(path, row.get(label), f"{answer} under {label}") for label in labels]
        for answer, row in rows.items()
    ]
    if not rows or not labels:
        raise ConfigError(f"{path}: a cost matrix must have at least one answer and one label, got none.")
    return CostMatrix(
        costs=costs, labels=tuple(map(number_or_text, labels)), answers=tuple(map(number_or_text, rows)), tail=tail
    )


def _json_rows(path: Path, text: str) -> dict[str, Mapping[str, Any]]:
    try:
        rows = json.loads(text)
    except ValueError as exc:
        raise ConfigError(f"{path}: costs must be a JSON object of answers, or CSV ({exc}).") from exc
    if not all(isinstance(row, dict) for row in rows.values()):
        raise ConfigError(f'{path}: every answer must hold its costs by label, {{"A": {{"A": 0}}}}.')
    return dict(rows)


def _csv_rows(path: Path, text: str) -> dict[str, Mapping[str, Any]]:
    header, *lines = [row for row in csv.reader(io.StringIO(text)) if row] or [[]]
    uneven = [number for number, row in enumerate(lines, start=2) if len(row) != len(header)]
    if uneven:
        raise ConfigError(f"{path}:{uneven[0]}: a row must have {len(header)} cells, an answer and its costs.")
    names = [name.strip() for name in header[1:]]
    return {row[0].strip(): dict(zip(names, row[1:], strict=True)) for row in lines}


def _cost_cell(path: Path, value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{path}: the cost of {where} must be a number, got {value!r}.") from None
