"""Models that agree more than independent errors allow, and what counting them once would change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nilometer.arrays import ArrayLike, Floats
from nilometer.errors import NotEnoughDataError
from nilometer.signals import pair_distance_rows

from .independence import Distances, independence_tests
from .smoothie import Smoothie

__all__ = ["FamilyCheck", "ModelPair", "find_families"]

_LEAST_MODELS, _LEAST_PROMPTS = 5, 20
"""Four models have six distances for five numbers, and one pair more to test: nothing is left."""
_AS_CLOSE = 0.9


class ModelPair(NamedTuple):
    """Two models and how much closer they are than their errors explain."""

    first: str
    second: str
    residual: float
    """``d_ij`` less what independent errors explain; negative is closer than that."""
    shared: float
    """Minus the residual over the distance explained: 0 is independent, 1 is identical outputs."""
    p_value: float | None
    """One-sided, times the number of pairs; None where too few complete prompts or models are left to test."""


@dataclass(frozen=True)
class FamilyCheck:
    """Which models move together and whether the choice depends on it."""

    pairs: tuple[ModelPair, ...]
    families: tuple[tuple[str, ...], ...]
    best: str
    best_masked: str | None
    changed_routes: float | None
    reason: str


def find_families(
    X: ArrayLike, *, models: Sequence[str] | None = None, min_shared: float = 0.1, p_limit: float = 0.05
) -> FamilyCheck:
    r"""Pairs of models that share errors, families of them, and the choice without comparing relatives.

    Independent errors explain the distances

    .. math:: d_{ij} = v_i + v_j - c\,v_i v_j .

    With vectors whose errors point anywhere, ``c`` is 0. With discrete answers two wrong models agree at times, and
    prompts that are hard for all make models agree too: both add the term with ``c``. A pair is tested at every ``c``
    that the other pairs leave plausible, by its residual and the spread of that over prompts, and the largest p-value
    counts. The closest pairs are taken out of the fit before the others are tested.

    Without labels, agreeing because both are right and agreeing because both are wrong look the same: the
    check reports what the choice hangs on, it does not say which choice is right. On public data masking
    relatives helped as often as it hurt. Two good models among guessing ones look like a family too: it is assumed
    that more than half of the models do better than guessing.

    A family is named among independent models in at most 5 % of runs, whatever their accuracies. If some prompts are
    much harder than others it is named more often, most of all between answers of two choices
    (``studies/results/families.json``).

    Parameters
    ----------
    X
        (prompts, models, dim) embeddings, as in `Smoothie.fit`.
    models
        Names; their numbers as text by default.
    min_shared
        Smallest share of the expected distance that makes a pair relatives.
    p_limit
        Largest p-value of a pair, corrected for the number of pairs.

    Returns
    -------
    FamilyCheck
        ``pairs`` closest first; ``best_masked`` and ``changed_routes`` (share of prompts whose medoid
        changes) are None when there is no family or the remaining pairs do not determine the errors;
        ``reason`` says which. Of fewer than five models no family can be seen.

    Raises
    ------
    NotEnoughDataError, ValueError
        As `Smoothie.fit`.

    Examples
    --------
    >>> errors = np.random.default_rng(0).normal(size=(2000, 5, 8))
    >>> errors[:, 1] = 0.8 * errors[:, 0] + 0.6 * errors[:, 1]
    >>> find_families(errors, models=["a", "a-large", "b", "c", "d"]).families
    (('a', 'a-large'),)
    """
    fitted = Smoothie(split_two=True).fit(X, models=models)
    names = fitted.models_
    pairs, relatives = _tested(pair_distance_rows(X), names, min_shared=min_shared, p_limit=p_limit)
    families = _families(names, relatives)
    best = names[fitted.best_]
    if not families:
        reason = "No pair agrees more than independent errors allow."
        if len(names) < _LEAST_MODELS:
            reason = f"{len(names)} models have too few distances to test one, so dependence cannot be seen."
        return FamilyCheck(pairs, (), best, None, None, reason)
    number = {name: i for i, name in enumerate(names)}
    exclude = [(number[a], number[b]) for family in families for a in family for b in family if number[a] < number[b]]
    try:
        masked = Smoothie(1, exclude_pairs=exclude).fit(X, models=names)
    except NotEnoughDataError as exc:
        return FamilyCheck(pairs, families, best, None, None, exc.reason)
    changed = float(np.mean(masked.routes_ != Smoothie(1).fit(X, models=names).routes_))
    other = names[masked.best_]
    verb = "stays" if other == best else f"becomes {other}"
    return FamilyCheck(pairs, families, best, other, changed, f"Without comparing relatives the best model {verb}.")


def _tested(
    rows: Floats, names: tuple[str, ...], *, min_shared: float, p_limit: float
) -> tuple[tuple[ModelPair, ...], list[ModelPair]]:
    """Every pair with its test, closest first, and the relatives among them.

    Round by round, the closest pair and those nearly as close leave the fit, since they bend it.
    """
    m, n_pairs = len(names), len(names) * (len(names) - 1) // 2
    if len(rows) < _LEAST_PROMPTS or m < _LEAST_MODELS:
        number = float("nan") if not len(rows) else 0.0
        both = zip(*np.triu_indices(m, 1), strict=True)
        return tuple(ModelPair(names[i], names[j], number, 0.0, None) for i, j in both), []
    distances, inside = Distances.of(rows, m), np.ones(n_pairs, dtype=bool)
    relatives: set[int] = set()
    while True:
        tests = independence_tests(distances, inside)
        p_values = np.minimum(1.0, tests.p_values * n_pairs)
        near = np.flatnonzero(inside & (tests.shared >= min_shared) & (p_values <= p_limit))
        if not len(near) or inside.sum() - len(near) < m + 2:
            break
        taken = near[tests.shared[near] >= _AS_CLOSE * tests.shared[near].max()]
        relatives |= set(taken.tolist())
        inside[taken] = False
    first, second = distances.pairs
    pairs = [
        ModelPair(names[first[k]], names[second[k]], float(tests.residuals[k]), float(tests.shared[k]), float(p))
        for k, p in enumerate(p_values)
    ]
    ordered = sorted(range(n_pairs), key=lambda k: -pairs[k].shared)
    return tuple(pairs[k] for k in ordered), [pairs[k] for k in ordered if k in relatives]


def _families(names: tuple[str, ...], relatives: list[ModelPair]) -> tuple[tuple[str, ...], ...]:
    """Join models connected by pairs of relatives, in the order of ``names``."""
    leader = {name: name for name in names}
    for pair in relatives:
        old, new = leader[pair.second], leader[pair.first]
        leader = {name: new if head == old else head for name, head in leader.items()}
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(leader[name], []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
