"""What a rule is: a metric, the answer that is best for it in expectation, and how far that statement reaches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Float, Floats

__all__ = ["Batch", "BatchAnswers", "Floats", "Parameter", "Rule", "loss_quantile", "tail_mean"]


class Parameter(NamedTuple):
    """The one number that a metric can depend on."""

    name: str
    default: float | None
    """None: it must be given."""
    low: float
    high: float
    """Exclusive bounds."""
    about: str


class Batch(NamedTuple):
    """The posteriors of many prompts side by side."""

    values: Floats
    """Shape (prompts, m): numbers, or places in ``labels``."""
    weights: Floats
    """Shape (prompts, m), rows sum to 1."""
    labels: tuple[Any, ...]
    """The scale, in order."""


class BatchAnswers(NamedTuple):
    """One answer per prompt and the value of the metric expected of them together."""

    answers: Sequence[Any] | Floats
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of the table of rules.

    ``solve`` is the rule: for numbers ``(values (n, m), weights (n, m), parameter) -> answers (n,)``; for sets and
    labels ``(values, weights (n, m), parameter) -> [answers]`` with one tuple of values for all rows; for metrics of a
    whole batch ``(Batch, parameter) -> BatchAnswers``.
    """

    name: str
    kind: str
    """``number``, ``label``, ``set``, ``text`` or ``any``."""
    metric: str
    """Formula of the loss (smaller is better) or of the batch metric; ``a`` answer, ``y`` truth."""
    answer: str
    """Formula of the best answer; expectations are under the posterior."""
    exactness: str
    reference: str
    solve: Callable[..., Any]
    loss: Callable[..., Any] | None = None
    """``loss(answers, truths, parameter)``; broadcasts for numbers, takes single values otherwise."""
    losses: Callable[..., Floats] | None = None
    """``losses(answers, truths, parameter)`` as a table, where that is quicker than one by one."""
    solve_rows: Callable[..., Floats] | None = None
    """The rule for numbers in an array, where ``solve`` takes any kind of answer."""
    summary: Callable[[Floats, Floats, Any], Floats] | None = None
    """``summary(losses (n, m), weights (n, m), parameter) -> risks (n,)``; the expected loss if None."""
    score: Callable[..., float] | None = None
    """``score(answers, truths, parameter)``: the metric on a data set; the mean loss if None."""
    measure: str = "mean loss"
    """Name of the score."""
    higher_is_better: bool = False
    domain: str = "any"
    in_domain: Callable[[Floats, Any], Any] | None = None
    """Which numbers the metric is defined for."""
    is_batch: bool = False
    candidates: tuple[Any, ...] | None = None
    """What may be answered, where the user names it."""
    over_scale: bool = False
    """Whether the answer may be any label of the scale, also one that has no weight."""
    parameter: Parameter | None = None
    aliases: tuple[str, ...] = ()

    def risks(
        self, losses: Float[Floats, "#n m"], weights: Float[Floats, "#n m"], parameter: Any = None
    ) -> Float[Floats, "#n"]:
        """Return the risk of each row of losses, shapes (n, m) and (n, m), smaller is better."""
        if self.summary is not None:
            return self.summary(losses, weights, parameter)
        risks: Floats = (losses * weights).sum(axis=-1)
        return risks

    def realized(self, answers: Sequence[Any], truths: Sequence[Any], parameter: Any = None) -> float:
        """Return the metric of answers whose truths are known."""
        if self.score is not None:
            return float(self.score(answers, truths, parameter))
        assert self.loss is not None, "a rule has a loss or a score"
        if self.kind == "number":
            return float(np.mean(self.loss(np.asarray(answers, float), np.asarray(truths, float), parameter)))
        return float(np.mean([self.loss(a, y, parameter) for a, y in zip(answers, truths, strict=True)]))


def tail_mean(losses: Float[Floats, "#n m"], weights: Float[Floats, "#n m"], share: float) -> Float[Floats, "#n"]:
    """Return the mean of the largest ``share`` of each row of losses (conditional value at risk), shape (n,)."""
    losses, weights = np.broadcast_arrays(losses, weights)
    order = np.argsort(-losses, axis=-1)
    ordered = np.take_along_axis(losses, order, -1)
    reached = np.minimum(np.cumsum(np.take_along_axis(weights, order, -1), axis=-1), share)
    found: Floats = (ordered * np.diff(reached, axis=-1, prepend=0.0)).sum(axis=-1) / share
    return found


def loss_quantile(losses: Float[Floats, "#n m"], weights: Float[Floats, "#n m"], level: float) -> Float[Floats, "#n"]:
    """Return the smallest loss that is not exceeded with probability ``level`` (value at risk), shape (n,)."""
    losses, weights = np.broadcast_arrays(losses, weights)
    order = np.argsort(losses, axis=-1)
    reached = np.cumsum(np.take_along_axis(weights, order, -1), axis=-1)
    first = np.argmax(reached >= level - 1e-12, axis=-1)
    found: Floats = np.take_along_axis(np.take_along_axis(losses, order, -1), first[..., None], -1)[..., 0]
    return found
