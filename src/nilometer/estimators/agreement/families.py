"""Models that agree more than independent errors allow, and what counting them once would change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nilometer.arrays import ArrayLike, Floats
from nilometer.errors import NotEnoughDataError
from nilometer.signals import PairDistances, pair_distances

from .smoothie import Smoothie

__all__ = ["FamilyCheck", "ModelPair", "find_families"]


class ModelPair(NamedTuple):
    """Two models and how much closer they are than their errors explain."""

    first: str
    second: str
    residual: float
    """``d_ij - v_i - v_j``; negative is closer than independence."""
    shared: float
    """``-residual / (v_i + v_j)``: 0 is independent, 1 is identical outputs."""
    p_value: float | None
    """One-sided, times the number of pairs; None below two complete prompts."""


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
    """Pairs of models that share errors, families of them, and the choice without comparing relatives.

    Without labels, agreeing because both are right and agreeing because both are wrong look the same: the
    check reports what the choice hangs on, it does not say which choice is right. On public data masking
    relatives helped as often as it hurt. Pairs are found one after another, each time without the pairs
    found before; the standard error of a residual is that of the fit with all pairs.

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
        ``reason`` says which. Three models are always explained exactly, so they never show a family.

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
    fitted = Smoothie().fit(X, models=models)
    names = fitted.models_
    distances = pair_distances(X)
    pairs = _model_pairs(names, fitted.errors_, distances)
    relatives = _relatives(X, fitted, distances, min_shared=min_shared, p_limit=p_limit)
    families = _families(names, relatives)
    best = names[fitted.best_]
    if not families:
        reason = "No pair agrees more than independent errors allow."
        if len(names) == 3:
            reason = "Three models fit any three distances, so dependence cannot be seen."
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


def _relatives(
    X: ArrayLike, fitted: Smoothie, distances: PairDistances, *, min_shared: float, p_limit: float
) -> list[ModelPair]:
    """Take the closest pair out of the fit until none is left, since it biases the others' residuals."""
    names = fitted.models_
    found: list[ModelPair] = []
    pairs = _model_pairs(names, fitted.errors_, distances)
    while True:
        taken = {pair[:2] for pair in found}
        near = [
            pair
            for pair in pairs
            if pair[:2] not in taken
            and pair.shared >= min_shared
            and pair.p_value is not None
            and pair.p_value <= p_limit
        ]
        if not near:
            return found
        found.append(near[0])
        exclude = [(names.index(pair.first), names.index(pair.second)) for pair in found]
        try:
            errors = Smoothie(exclude_pairs=exclude).fit(X, models=names).errors_
        except NotEnoughDataError:
            return found
        pairs = _model_pairs(names, errors, distances)


def _model_pairs(names: tuple[str, ...], errors: Floats, distances: PairDistances) -> tuple[ModelPair, ...]:
    from scipy.special import ndtr

    m = len(names)
    found = []
    for i in range(m):
        for j in range(i + 1, m):
            residual = float(distances.means[i, j] - errors[i] - errors[j])
            expected = float(errors[i] + errors[j])
            error = float(distances.residual_standard_errors[i, j])
            p = None
            if np.isfinite(error):
                z = residual / error if error > 0 else 0.0
                p = min(1.0, float(ndtr(z)) * m * (m - 1) / 2)
            found.append(ModelPair(names[i], names[j], residual, -residual / expected if expected > 0 else 0.0, p))
    return tuple(sorted(found, key=lambda pair: -pair.shared))


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
