"""From a posterior and a metric to the answer with the least expected loss."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nilometer.arrays import Floats
from nilometer.errors import ConfigError
from nilometer.estimators import Posterior

from .decision import Decision, Decisions
from .rule import Batch, Rule
from .rules import checked_parameter, find_rule
from .scale import loss_table, over_scale
from .stability import answers_of, batch_stability, stability

__all__ = ["ArrayDecisions", "Metric", "best_answers", "decide", "decide_arrays", "decide_many", "expected_losses"]

Metric = str | Rule | Callable[[Any, Any], float]
_RUNNERS_UP = 64


def decide(
    posterior: Posterior | Sequence[Any],
    metric: Metric,
    *,
    parameter: Any = None,
    abstain_cost: float | None = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> Decision:
    """Return the answer with the least expected loss under a posterior.

    Parameters
    ----------
    posterior
        What is believed about the answer, or a list of draws that count the same.
    metric
        A name of ``RULES`` or one of its other names, a rule, or a loss ``function(answer, truth)``.
    parameter
        The metric's parameter, such as the level of ``pinball``; a ``CostMatrix`` for ``cost``.
    abstain_cost
        What no answer costs, in the unit of the loss: answer only if the expected loss is smaller (Chow 1970).
    tolerance
        Numbers that differ by no more count as one decision in `stability`; a twentieth of the scale by default.
    seed
        Of the resampling behind `stability`.

    Raises
    ------
    ConfigError
        If the metric is unknown, is one of a whole batch, does not fit the answers, or its parameter is wrong.
    TypeError
        If ``posterior`` is neither a posterior nor a list.

    Examples
    --------
    >>> posterior = Posterior.from_samples([1, 1, 1, 2, 5])
    >>> decide(posterior, "squared").value, decide(posterior, "absolute").value
    (2.0, 1.0)
    >>> decision = decide(posterior, "pinball", parameter=0.75)
    >>> decision.value, round(decision.risk, 2)
    (2.0, 0.6)
    """
    rule = find_rule(metric)
    parameter = checked_parameter(rule, parameter)
    if rule.is_batch:
        raise ConfigError(f"{rule.name} is a metric of many answers together. Use `decide_many`.")
    posterior = _believed(posterior)
    _check_fits(rule, posterior, parameter)
    posterior = over_scale(rule, posterior)
    value = answers_of(rule, posterior.values, posterior.weights[None, :], parameter=parameter)[0]
    risk = expected_losses(rule, [value], posterior, parameter=parameter)[0]
    runner_up, regret = _runner_up(rule, posterior, (value, risk), parameter=parameter)
    firm = stability(rule, posterior, value, parameter=parameter, tolerance=tolerance, seed=seed)
    abstained = abstain_cost is not None and risk >= abstain_cost
    if abstained:
        runner_up, regret, value, risk = value, risk - float(abstain_cost or 0), None, float(abstain_cost or 0)
    return Decision(
        value=value,
        risk=risk,
        runner_up=runner_up,
        regret=regret,
        stability=firm,
        rule=rule.name,
        n_effective=posterior.n_effective,
        missing_mass=posterior.missing_mass,
        n_failures=posterior.n_failures,
        abstained=abstained,
    )


def decide_many(
    posteriors: Sequence[Posterior | Sequence[Any]],
    metric: Metric,
    *,
    parameter: Any = None,
    abstain_cost: float | None = None,
    seed: int = 0,
) -> Decisions:
    """Return the best answers to many prompts together, as the metrics of a whole batch need them.

    Parameters
    ----------
    posteriors
        One per prompt: what is believed about its answer, or a list of draws.
    metric, parameter, abstain_cost, seed
        As in ``decide``; metrics of a whole batch know no abstention.

    Examples
    --------
    >>> unsure = [Posterior.from_samples(draws) for draws in ([1, 1, 2, 3], [1, 3, 3, 3], [2, 3, 3, 3])]
    >>> decide_many(unsure, "qwk").values, decide_many(unsure, "squared_label").values
    ([1, 3, 3], [2.0, 3.0, 3.0])
    """
    rule = find_rule(metric)
    if not len(posteriors):
        return Decisions((), rule=rule.name, expected=0.0)
    if not rule.is_batch:
        rows = [
            decide(posterior, rule, parameter=parameter, abstain_cost=abstain_cost, seed=seed)
            for posterior in posteriors
        ]
        return Decisions(rows, rule=rule.name, expected=float(np.mean([row.risk for row in rows])))
    if abstain_cost is not None:
        raise ConfigError(f"{rule.name} is a metric of all answers together; `abstain_cost` has no meaning in it.")
    parameter = checked_parameter(rule, parameter)
    believed = [_believed(one) for one in posteriors]
    for posterior in believed:
        _check_fits(rule, posterior, parameter)
    batch = _batch(believed, rule)
    found = rule.solve(batch, parameter)
    firm = batch_stability(rule, batch, believed, answers=found.answers, seed=seed)
    rows = [
        Decision(
            value=answer.item() if hasattr(answer, "item") else answer,
            risk=None,
            runner_up=None,
            regret=None,
            stability=one,
            rule=rule.name,
            n_effective=posterior.n_effective,
            missing_mass=posterior.missing_mass,
            n_failures=posterior.n_failures,
        )
        for posterior, answer, one in zip(believed, found.answers, firm, strict=True)
    ]
    return Decisions(rows, rule=rule.name, expected=found.expected)


def best_answers(
    posteriors: Sequence[Posterior | Sequence[Any]], metric: Metric, *, parameter: Any = None
) -> list[Any]:
    """Return the best answer to each prompt and nothing else, for any metric; quicker than ``decide_many``.

    Examples
    --------
    >>> best_answers([Posterior.from_samples([1, 1, 4]), Posterior.from_samples([2, 6])], "squared")
    [2.0, 4.0]
    """
    rule = find_rule(metric)
    parameter = checked_parameter(rule, parameter)
    believed = [_believed(one) for one in posteriors]
    for posterior in believed:
        _check_fits(rule, posterior, parameter)
    if not believed:
        return []
    if rule.is_batch:
        found = rule.solve(_batch(believed, rule), parameter).answers
        return [answer.item() if hasattr(answer, "item") else answer for answer in found]
    if rule.kind != "number":
        rows = ((one.values, one.weights[None, :]) for one in believed)
        return [rule.solve(values, weights, parameter)[0] for values, weights in rows]
    batch = _batch([over_scale(rule, posterior) for posterior in believed], rule)
    solved = rule.solve(batch.values, batch.weights, parameter)
    return [tuple(row) if isinstance(row, list) else row for row in solved.tolist()]


def _believed(given: Posterior | Sequence[Any]) -> Posterior:
    """Take a posterior, or make one from draws.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(given, Posterior):
        return given
    if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str | bytes):
        return Posterior.from_samples(given if isinstance(given, Sequence) else given.tolist())
    raise TypeError(f"`posterior` must be a Posterior or a list of draws, got {type(given).__name__}.")


class ArrayDecisions(NamedTuple):
    """Answers to many prompts at once."""

    answers: Floats
    """Shape (prompts,); (prompts, 2) for intervals."""
    risks: Floats
    """Shape (prompts,), expected losses, smaller is better."""


def decide_arrays(
    values: ArrayLike, metric: str | Rule, *, weights: ArrayLike | None = None, parameter: Any = None
) -> ArrayDecisions:
    """Return the best numbers for many posteriors of numbers at once, without stability.

    Parameters
    ----------
    values
        Shape (prompts, m), the samples; NaN where a prompt has fewer.
    metric, parameter
        A rule for numbers, or ``zero_one``.
    weights
        Shape (prompts, m), >= 0; equal by default.

    Raises
    ------
    ConfigError
        If the rule is not for single numbers.
    ValueError
        If a row holds no sample, a value is infinite, or weights are negative or sum to 0.

    Examples
    --------
    >>> decide_arrays([[1, 1, 4], [2, 5, np.nan]], "absolute").answers
    array([1., 2.])
    """
    rule = find_rule(metric)
    solve = rule.solve_rows or rule.solve
    if rule.is_batch or (rule.kind != "number" and rule.solve_rows is None):
        raise ConfigError(f"{rule.name} is no rule for single numbers. Use `decide` or `decide_many`.")
    parameter = checked_parameter(rule, parameter)
    table, mass = _rows(np.asarray(values, dtype=np.float64), weights)
    _check_domain(rule, table, parameter)
    answers = solve(table, mass, parameter)
    losses = (
        (table != answers[:, None]).astype(float)
        if rule.solve_rows
        else _losses(rule, answers, table, parameter=parameter)
    )
    return ArrayDecisions(answers, rule.risks(losses, mass, parameter))


def _rows(values: Floats, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(f"`values` must have shape (prompts, samples), got {values.shape}.")
    given = ~np.isnan(values)
    if np.isinf(values).any():
        raise ValueError("`values` must be finite.")
    mass = given.astype(float) if weights is None else np.where(given, np.asarray(weights, dtype=np.float64), 0.0)
    totals = mass.sum(axis=1, keepdims=True)
    if not (np.isfinite(totals).all() and (totals > 0).all() and (mass >= 0).all()):
        raise ValueError("`weights` must be >= 0 and sum to more than 0 in every row, over values that are given.")
    if not given.all():
        first = np.take_along_axis(values, np.argmax(given, axis=1)[:, None], 1)
        values = np.where(given, values, first)
    return values, mass / totals


def _check_fits(rule: Rule, posterior: Posterior, parameter: Any) -> None:
    """Refuse answers that a metric is not made for.

    Raises
    ------
    ConfigError
        If the kind of the answers or a value is outside the rule's domain.
    """
    kind = posterior.kind
    if rule.kind == "number" or rule.name == "qwk":
        if kind != "number":
            raise ConfigError(
                f"{rule.name} needs numbers, got answers such as {str(posterior.values[0])[:80]!r}. "
                "Read them with `parse_number`."
            )
        _check_domain(rule, posterior.numbers[None, :], parameter)
    if rule.kind == "text" and not all(isinstance(value, str) for value in posterior.values):
        raise ConfigError(f"{rule.name} needs texts, got answers such as {str(posterior.values[0])[:80]!r}.")
    if rule.kind == "set" and kind != "set":
        raise ConfigError(
            f"{rule.name} needs sets or bags, got answers such as {str(posterior.values[0])[:80]!r}. "
            "Read them with `parse_items` or `parse_tokens`."
        )


def _check_domain(rule: Rule, values: Floats, parameter: Any) -> None:
    if rule.in_domain is None:
        return
    fine = np.broadcast_to(rule.in_domain(values, parameter), values.shape)
    if not fine.all():
        raise ConfigError(f"{rule.name} needs {rule.domain}, got {values[~fine][0]:g}.")


def _losses(rule: Rule, answers: Floats, values: Floats, *, parameter: Any) -> Floats:
    assert rule.loss is not None, "rules of single answers have a loss"
    losses: Floats = np.asarray(rule.loss(answers[:, None], values, parameter))
    return losses


def expected_losses(rule: Rule, answers: Sequence[Any], posterior: Posterior, *, parameter: Any) -> list[float]:
    """Return the risk of each answer to one prompt, smaller is better."""
    if rule.kind == "number":
        losses = _losses(rule, np.asarray(answers, dtype=np.float64), posterior.numbers[None, :], parameter=parameter)
    else:
        losses = loss_table(rule, answers, posterior.values, parameter=parameter)
    found: list[float] = rule.risks(losses, posterior.weights[None, :], parameter).tolist()
    return found


def _runner_up(
    rule: Rule, posterior: Posterior, chosen: tuple[Any, float], *, parameter: Any
) -> tuple[Any, float | None]:
    """The best other answer: among the heaviest and, for numbers, the nearest ones of the posterior."""
    value, risk = chosen
    if isinstance(value, tuple) and rule.kind == "number":
        return None, None
    others = (
        getattr(parameter, "answers", None) or rule.candidates or _likely(posterior, value, near=rule.kind == "number")
    )
    others = [other for other in others if other != value]
    if not others:
        return None, None
    risks = expected_losses(rule, others, posterior, parameter=parameter)
    best = int(np.argmin(risks))
    return others[best], max(0.0, risks[best] - risk)


def _likely(posterior: Posterior, value: Any, *, near: bool) -> list[Any]:
    places = set(np.argsort(-posterior.weights, kind="stable")[:_RUNNERS_UP].tolist())
    if near:
        at = int(np.searchsorted(posterior.numbers, value))
        places |= set(range(max(0, at - 2), min(len(posterior.values), at + 3)))
    return [posterior.values[place] for place in sorted(places)]


def _batch(posteriors: Sequence[Posterior], rule: Rule) -> Batch:
    """Lay posteriors side by side; labels become places in the scale where the rule counts labels."""
    labels = _batch_labels(posteriors)
    by_place = rule.kind == "label" and rule.name != "qwk"
    places = {label: place for place, label in enumerate(labels)}
    width = max(len(posterior.values) for posterior in posteriors)
    values, weights = np.zeros((len(posteriors), width)), np.zeros((len(posteriors), width))
    for row, posterior in enumerate(posteriors):
        n = len(posterior.values)
        values[row, :n] = [places[value] for value in posterior.values] if by_place else posterior.values
        values[row, n:] = values[row, n - 1]
        weights[row, :n] = posterior.weights
    return Batch(values, weights, labels)


def _batch_labels(posteriors: Sequence[Posterior]) -> tuple[Any, ...]:
    """Return the scale of a batch: the one that was given, or all answers in order."""
    given = next((posterior.labels for posterior in posteriors if posterior.labels is not None), None)
    if given is not None:
        return tuple(sorted(given)) if all(isinstance(label, int | float) for label in given) else tuple(given)
    seen = {value for posterior in posteriors for value in posterior.values}
    numeric = all(isinstance(value, int | float) for value in seen)
    return tuple(sorted(seen) if numeric else sorted(seen, key=str))
