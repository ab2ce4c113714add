"""What decisions change against other answers, and what that is expected to bring."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nilometer.estimators import Posterior

from .best_answer import expected_losses
from .decision import Decision
from .rule import Rule
from .rules import checked_parameter

__all__ = ["Change", "expected_change", "split_by_hash"]


class Change(NamedTuple):
    """How decisions differ from other answers to the same prompts."""

    n_changed: int
    """Decisions with another value; abstentions are none."""
    expected_gain: float | None
    """Expected loss of the others less that of the decisions, a prompt; None where it does not split over answers."""


def expected_change(
    rule: Rule,
    posteriors: Sequence[Posterior],
    decisions: Sequence[Decision],
    *,
    answers: Sequence[Any],
    parameter: Any,
) -> Change:
    """Compare decisions with other answers, such as the mode or the greedy one; None is no answer.

    Examples
    --------
    >>> from nilometer.decisions import decide, find_rule
    >>> unsure = Posterior.from_samples([1, 1, 4])
    >>> expected_change(find_rule("mse"), [unsure], [decide(unsure, "mse")], answers=[1], parameter=None)
    Change(n_changed=1, expected_gain=1.0)
    """
    rows = [row for row in zip(posteriors, answers, decisions, strict=True) if row[1] is not None]
    n_changed = sum(answer != one.value and not one.abstained for _, answer, one in rows)
    if rule.is_batch or rule.loss is None or rule.name in ("interval", "cost") or not rows:
        return Change(n_changed, None)
    parameter = checked_parameter(rule, parameter)
    gains = [
        expected_losses(rule, [answer], posterior, parameter=parameter)[0] - float(one.risk or 0.0)
        for posterior, answer, one in rows
    ]
    return Change(n_changed, float(np.mean(gains)))


def split_by_hash(identities: Sequence[str]) -> tuple[list[int], list[int]]:
    """Places of two halves by a hash of the identity, so that nothing is judged on what it was fitted to.

    Examples
    --------
    >>> split_by_hash(["p1", "p2", "p3", "p4"])
    ([0], [1, 2, 3])
    """
    halves: tuple[list[int], list[int]] = ([], [])
    for place, identity in enumerate(identities):
        halves[hashlib.sha256(identity.encode()).digest()[0] % 2].append(place)
    return halves
