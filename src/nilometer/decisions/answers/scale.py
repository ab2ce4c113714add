"""Posteriors over their whole scale, and answers chosen from a list that the user gives."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nilometer.arrays import Floats
from nilometer.errors import ConfigError
from nilometer.estimators import Posterior

from .labels import first_best
from .rule import Rule
from .rules import find_rule

__all__ = ["among", "loss_table", "over_scale", "within_domain"]


def over_scale(rule: Rule, posterior: Posterior) -> Posterior:
    """Return a posterior that also lists the labels without weight, where a rule chooses among all labels."""
    if not rule.over_scale or posterior.labels is None:
        return posterior
    held = dict(zip(posterior.values, posterior.weights.tolist(), strict=True))
    values = sorted({*posterior.values, *posterior.labels})
    return replace(posterior, values=tuple(values), weights=np.array([held.get(value, 0.0) for value in values]))


def within_domain(rule: Rule, labels: Sequence[Any], parameter: Any) -> list[Any]:
    """Return the labels that a rule is defined for: 0 is none of them for a relative error."""
    if rule.kind != "number" or rule.in_domain is None:
        return list(labels)
    fine = np.broadcast_to(rule.in_domain(np.asarray(labels, dtype=np.float64), parameter), (len(labels),))
    return [label for label, is_fine in zip(labels, fine, strict=True) if is_fine]


Metric = str | Rule | Callable[[Any, Any], float]


def among(metric: Metric, candidates: Sequence[Any]) -> Rule:
    """Return a rule whose answer is the candidate with the least risk, the first of equals.

    Parameters
    ----------
    metric
        A name, a rule or a loss, as in ``decide``.
    candidates
        What may be answered, such as answers of another model beside the samples.

    Raises
    ------
    ConfigError
        If there is no candidate, or the rule has no loss of single answers.

    Examples
    --------
    >>> among("mse", [1, 5]).solve(np.array([[1.0, 2.0, 5.0]]), np.array([[0.4, 0.4, 0.2]]), None)
    array([1.])
    """
    rule = find_rule(metric)
    if not len(candidates):
        raise ConfigError("`candidates` must hold at least one answer, got none.")
    if rule.is_batch or (rule.loss is None and rule.losses is None) or rule.name in ("cost", "interval"):
        raise ConfigError(f"{rule.name} chooses no single answer from a list. Leave out `candidates`.")

    def solve_numbers(values: Floats, weights: Floats, parameter: Any) -> Floats:
        answers = np.asarray(candidates, dtype=np.float64)
        risks = [rule.risks(rule.loss(answer, values, parameter), weights, parameter) for answer in answers[:, None]]  # type: ignore[misc]
        return np.asarray(answers[first_best(np.stack(risks, axis=1))])

    def solve(values: Sequence[Any], weights: Floats, parameter: Any) -> list[Any]:
        losses = loss_table(rule, candidates, values, parameter=parameter)
        risks = np.stack([rule.risks(row[None, :], weights, parameter) for row in losses], axis=1)
        return [candidates[place] for place in first_best(risks)]

    return replace(
        rule,
        solve=solve_numbers if rule.kind == "number" else solve,
        solve_rows=None,
        candidates=tuple(candidates),
    )


def loss_table(rule: Rule, answers: Sequence[Any], truths: Sequence[Any], *, parameter: Any) -> Floats:
    """Losses of answers that are no numbers, shape (answers, truths)."""
    if rule.losses is not None:
        return rule.losses(answers, truths, parameter)
    assert rule.loss is not None, "rules of single answers have a loss"
    return np.array([[rule.loss(answer, truth, parameter) for truth in truths] for answer in answers])
