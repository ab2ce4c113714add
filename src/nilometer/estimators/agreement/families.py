"""Models that agree more than independent errors allow, and what counting them once would change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nilometer.arrays import ArrayLike, Bools, Floats, Ints
from nilometer.errors import NotEnoughDataError
from nilometer.signals import pair_distance_rows

from .smoothie import Smoothie

__all__ = ["FamilyCheck", "ModelPair", "find_families"]

_LEAST_MODELS, _LEAST_PROMPTS = 4, 20
"""Three models fit any three distances."""
_LEAST_WITH_CHANCE = 5
"""Five models have ten distances for six numbers. Of four, ``c`` is not fitted, and only strong pairs count."""
_STEPS, _AS_CLOSE = 50, 0.9
_FEW_MODELS, _STRONG = 12, 0.3
_ABOVE = 1.1
"""Two models that guess lie ``1 / c`` apart; where that is no more than what is seen, the fit is degenerate."""


class ModelPair(NamedTuple):
    """Two models and how much closer they are than their errors explain."""

    first: str
    second: str
    residual: float
    """``d_ij`` less what independent errors explain; negative is closer than that."""
    shared: float
    """Minus the residual over the distance explained: 0 is independent, 1 is identical outputs."""
    p_value: float | None
    """One-sided, times the number of pairs; None where too few complete prompts or pairs are left to test."""


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
    prompts that are hard for all make models agree too: both add the term with ``c``, which is fitted. A pair is
    tested by its residual and the spread of that over prompts.

    Without labels, agreeing because both are right and agreeing because both are wrong look the same: the
    check reports what the choice hangs on, it does not say which choice is right. On public data masking
    relatives helped as often as it hurt. The closest pairs are taken out of the fit before the others are tested.

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
        ``reason`` says which. Three models are always explained exactly, so they never show a family; of four, only a
        strong one is seen.

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
    pairs, relatives = _tested(pair_distance_rows(X), names, min_shared=min_shared, p_limit=p_limit)
    families = _families(names, relatives)
    best = names[fitted.best_]
    if not families:
        reason = "No pair agrees more than independent errors allow."
        if len(names) < _LEAST_MODELS:
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


def _tested(
    rows: Floats, names: tuple[str, ...], *, min_shared: float, p_limit: float
) -> tuple[tuple[ModelPair, ...], list[ModelPair]]:
    """Every pair with its test, closest first, and the relatives among them.

    Round by round, the closest pair and those nearly as close leave the fit, since they bend it.
    """
    m = len(names)
    min_shared = min_shared if m >= _LEAST_WITH_CHANCE else max(min_shared, _STRONG)
    upper = np.triu_indices(m, 1)
    inside = np.ones(len(upper[0]), dtype=bool)
    found: set[int] = set()
    while True:
        test = _test(rows, upper, inside, n_models=m)
        judged = _deleted(rows, upper, inside, n_models=m, p_limit=p_limit) if m <= _FEW_MODELS else test
        near = [
            k
            for k in np.flatnonzero(inside).tolist()
            if judged.shared[k] >= min_shared and judged.p_values[k] <= p_limit
        ]
        if not near or inside.sum() - len(near) < m:
            break
        closest = max(judged.shared[k] for k in near)
        taken = [k for k in near if judged.shared[k] >= _AS_CLOSE * closest]
        found |= set(taken)
        inside[taken] = False
    pairs = [_pair(test, names, upper, k=k) for k in range(len(upper[0]))]
    ordered = sorted(range(len(pairs)), key=lambda k: -pairs[k].shared)
    return tuple(pairs[k] for k in ordered), [pairs[k] for k in ordered if k in found]


def _deleted(rows: Floats, upper: tuple[Ints, ...], inside: Bools, *, n_models: int, p_limit: float) -> "_Test":
    """Test strong pairs against the fit without them: of few models, such a pair bends the fit that holds it.

    Weak ones stay with the fit of all: without them ``c`` is poorly determined where models are equally good.
    """
    test = _test(rows, upper, inside, n_models=n_models)
    if np.isnan(test.p_values).all():
        return test
    for k in np.flatnonzero(inside).tolist():
        others = inside.copy()
        others[k] = False
        if others.sum() <= n_models:
            continue
        own = _test(rows, upper, others, n_models=n_models, is_tight=True)
        if own.shared[k] >= _STRONG and own.p_values[k] <= p_limit / 10:  # one test more: at a tenth of the rate
            for mine, its in zip(test, own, strict=True):
                mine[k] = its[k]
    return test


class _Test(NamedTuple):
    residuals: Floats
    shared: Floats
    p_values: Floats
    """NaN where nothing can be tested."""


def _pair(test: _Test, names: tuple[str, ...], upper: tuple[Ints, ...], *, k: int) -> ModelPair:
    p = float(test.p_values[k])
    first, second = names[upper[0][k]], names[upper[1][k]]
    return ModelPair(first, second, float(test.residuals[k]), float(test.shared[k]), None if np.isnan(p) else p)


def _test(rows: Floats, upper: tuple[Ints, ...], inside: Bools, *, n_models: int, is_tight: bool = False) -> _Test:
    """Test each pair against the fit of the pairs inside."""
    from scipy.special import stdtr

    n, mean = len(rows), rows.mean(axis=0) if len(rows) else np.full(len(upper[0]), np.nan)
    if n < _LEAST_PROMPTS or n_models < _LEAST_MODELS:
        nothing = np.full(len(mean), np.nan)
        return _Test(nothing.copy() * 0.0 if n else nothing, np.zeros(len(mean)), nothing)
    v, c = _fit(mean, upper, inside, n_models=n_models, is_tight=is_tight)
    expected = v[upper[0]] + v[upper[1]] - c * v[upper[0]] * v[upper[1]]
    residuals = mean - expected
    slopes = _slopes(v, c, upper)
    away = rows - mean
    pulls = away[:, inside] @ np.linalg.pinv(slopes[inside]).T
    spread = np.sqrt(np.square(away - pulls @ slopes.T).sum(axis=0) / (n * (n - 1)))
    z = np.divide(residuals, spread, out=np.zeros_like(residuals), where=spread > 0)
    p_values = np.minimum(1.0, stdtr(n - 1, z) * len(mean))
    shared = np.divide(-residuals, expected, out=np.zeros_like(residuals), where=expected > 0)
    return _Test(residuals, shared, p_values)


def _slopes(v: Floats, c: float, upper: tuple[Ints, ...]) -> Floats:
    """Derivatives of the explained distances by every ``v`` and by ``c``, shape (pairs, models + 1)."""
    k = np.arange(len(upper[0]))
    slopes = np.zeros((len(k), len(v) + 1))
    slopes[k, upper[0]] = 1.0 - c * v[upper[1]]
    slopes[k, upper[1]] = 1.0 - c * v[upper[0]]
    slopes[:, -1] = -v[upper[0]] * v[upper[1]]
    return slopes if len(v) >= _LEAST_WITH_CHANCE else slopes[:, :-1]


def _fit(
    mean: Floats, upper: tuple[Ints, ...], inside: Bools, *, n_models: int, is_tight: bool
) -> tuple[Floats, float]:
    """Least squares for ``v`` and ``c`` by Gauss and Newton's steps from ``c = 0``."""
    design = np.zeros((len(mean), n_models))
    design[np.arange(len(mean)), upper[0]] = design[np.arange(len(mean)), upper[1]] = 1.0
    v: Floats = np.linalg.lstsq(design[inside], mean[inside], rcond=None)[0].astype(np.float64)
    if n_models < _LEAST_WITH_CHANCE:
        return v, 0.0
    c, scale = 0.0, max(float(np.abs(v).max()), 1e-12)
    most = 1.0 / max(_ABOVE * float(mean[inside].max()) if is_tight else 0.0, scale)
    for _ in range(_STEPS):
        gap = mean - (v[upper[0]] + v[upper[1]] - c * v[upper[0]] * v[upper[1]])
        slopes = _slopes(v, c, upper)
        step = np.linalg.lstsq(slopes[inside], gap[inside], rcond=1e-8)[0]
        v = v + np.clip(step[:-1], -0.5 * scale, 0.5 * scale)
        c = float(np.clip(c + step[-1], 0.0, most))
        if np.abs(step[:-1]).max() <= 1e-9 * scale:
            break
    return v, c


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
