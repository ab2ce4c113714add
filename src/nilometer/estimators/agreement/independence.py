"""The distances between models with independent errors, and how far each pair lies below them."""

from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Bools, Floats, Ints

__all__ = ["Distances", "PairTests", "independence_tests"]

_GRID, _COARSE_GRID, _MANY_MODELS = 16, 8, 24
_FEW_MODELS = 8
"""Of so few models one pair bends the fit that holds it, so every pair is tested against a fit of its own."""
_ABOVE = 1.1
"""The largest ``c`` times the largest mean distance; two models that guess lie ``1 / c`` apart, and chance more."""
_PLAUSIBLE = 3.0
"""Standard errors within which a ``c`` is plausible."""
_BETTER = 0.1
"""A model does better than guessing if its part of the product, ``1 - c v``, is at least this."""
_STEPS, _RIDGE, _LEAST_LEFT = 12, 1e-6, 0.02
_UPPER_QUARTILE = 1.323
"""Of a squared normal variable."""


class Distances(NamedTuple):
    """Mean distances of all pairs and their spread over prompts."""

    mean: Floats
    """(pairs,)."""
    root: Floats
    """(any, pairs), whose squares sum to the variances over prompts."""
    n: int
    n_models: int

    @classmethod
    def of(cls, rows: Floats, n_models: int) -> "Distances":
        """Take (prompts, pairs) distances."""
        mean = rows.mean(axis=0)
        away = (rows - mean) / np.sqrt(len(rows) - 1)
        root: Floats = np.asarray(np.linalg.qr(away, mode="r")) if len(away) > away.shape[1] else away
        return cls(mean, root, len(rows), n_models)

    @property
    def pairs(self) -> tuple[Ints, ...]:
        """Numbers of the first and of the second models."""
        return np.triu_indices(self.n_models, 1)

    @property
    def variances(self) -> Floats:
        """(pairs,) over prompts."""
        return np.asarray(np.square(self.root).sum(axis=0))


class PairTests(NamedTuple):
    """How far every pair lies below what independent errors explain; (pairs,) each."""

    residuals: Floats
    shared: Floats
    """The smallest share over all plausible ``c``."""
    p_values: Floats
    """The largest over all plausible ``c``, one-sided, for one pair alone."""


class _Fit(NamedTuple):
    """Least squares at each ``c``."""

    skill: Floats
    """(c, models): ``1 - c v``."""
    slopes: Floats
    """(c, pairs, models) derivatives of the distances by the errors."""
    solved: Floats
    """(c, models, pairs)."""
    expected: Floats
    """(c, pairs)."""
    curved: Floats
    """(c, pairs) derivative of the distances by ``c``."""


class _At(NamedTuple):
    """The tests at each ``c``; (c, pairs) each."""

    residuals: Floats
    z: Floats
    freedom: Floats
    score: Floats
    """Of ``c`` itself, without the pair."""
    shared: Floats
    is_better: Bools


def independence_tests(distances: Distances, inside: Bools) -> PairTests:
    r"""Test each pair against independent errors, whatever ``c`` is.

    .. math:: d_{ij} = v_i + v_j - c\,v_i v_j, \quad \text{so} \quad 1 - c\,d_{ij} = (1 - c\,v_i)(1 - c\,v_j)

    ``c`` cannot be estimated well where models are equally good, so nothing is tested at its estimate: the p-value of a
    pair is its largest over every ``c`` that the other pairs leave plausible (Berger and Boos 1994) and at which more
    than half of the models do better than guessing. Plausible are those whose score test (Tukey's one degree of
    freedom for non-additivity, 1949) lies within three standard errors. Where the other pairs fit worse than
    chance allows, their misfit adds to the spread.

    Parameters
    ----------
    distances
        Of all pairs.
    inside
        (pairs,) which enter the fit.
    """
    many = distances.n_models > _MANY_MODELS
    top = _ABOVE / max(float(distances.mean[inside].max()), 1e-12)
    grid = np.linspace(0.0, top, _COARSE_GRID if many else _GRID)
    if distances.n_models > _FEW_MODELS:
        parts = [_at(distances, inside, grid[i : i + 1]) for i in range(len(grid))]
        whole: list[Any] = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return _worst(_At(*whole))
    found = []
    for k in range(len(inside)):
        others = inside.copy()
        others[k] = False
        own: list[Any] = [part[:, k : k + 1] for part in _at(distances, others, grid)]
        found.append(_worst(_At(*own)))
    return PairTests(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _worst(at: _At) -> PairTests:
    """The largest p-value and the smallest share over the plausible ``c``; 1 and 0 where there is none."""
    from scipy.special import stdtr

    plausible = np.abs(at.score) <= _PLAUSIBLE
    turns = np.signbit(at.score[1:]) != np.signbit(at.score[:-1])
    plausible[1:] |= turns
    plausible[:-1] |= turns
    none = ~plausible.any(axis=0)
    plausible |= none & (np.abs(at.score) <= np.abs(at.score).min(axis=0))
    plausible &= at.is_better
    some = plausible.any(axis=0)
    p_values = np.where(plausible, stdtr(at.freedom, at.z), -1.0)
    shared = np.where(plausible, at.shared, np.inf)
    place = np.argmax(p_values, axis=0), np.arange(p_values.shape[1])
    return PairTests(at.residuals[place], np.where(some, shared.min(axis=0), 0.0), np.where(some, p_values[place], 1.0))


def _at(distances: Distances, inside: Bools, grid: Floats) -> _At:
    """Test all pairs at each ``c``: those inside the fit as if it had been made without them."""
    fit = _fit(distances, inside, grid)
    n, residuals = distances.n, distances.mean - fit.expected
    leverage = np.einsum("gpm,gmp->gp", fit.slopes, fit.solved)
    left = np.where(inside, np.maximum(1.0 - leverage, _LEAST_LEFT), 1.0 + leverage)
    shrunk = np.where(inside, left, 1.0)  # a pair inside pulls the fit towards itself
    solved = fit.solved * inside
    root = distances.root - (distances.root @ solved.transpose(0, 2, 1)) @ fit.slopes.transpose(0, 2, 1)
    variances = np.square(root).sum(axis=1) / n
    bend = np.where(inside, fit.curved - np.einsum("gpm,gmq,gq->gp", fit.slopes, solved, fit.curved, optimize=True), 0)
    score = _scores(bend, residuals, root=root, variances=variances, gain=np.where(inside, bend / left, 0.0), n=n)
    expected = distances.mean - residuals / shrunk
    sampled = variances + _rare(distances, expected, inside) * np.square(shrunk) * (residuals < 0) / n
    misfit = _misfit(residuals, variances, left=left, inside=inside)[:, None] * left
    total = np.maximum(sampled + misfit, 1e-300)
    freedom = max(int(inside.sum()) - distances.n_models - 1, 1)
    freedom_both = total**2 / (sampled**2 / (n - 1) + misfit**2 / freedom + 1e-300)
    shared = np.where(expected > 0, 1.0 - distances.mean / np.maximum(expected, 1e-12), 0.0)
    better = (fit.skill >= _BETTER).sum(axis=1) > distances.n_models / 2
    better &= grid * np.quantile(distances.mean[inside], 0.25) <= 1.0 - _BETTER**2  # as then a quarter of the pairs lie
    is_better = np.repeat(better[:, None], len(inside), axis=1)
    return _At(residuals / shrunk, residuals / np.sqrt(total), freedom_both, score, shared, is_better)


def _fit(distances: Distances, inside: Bools, grid: Floats) -> _Fit:
    """Errors at each ``c`` by Gauss and Newton's steps."""
    first, second = distances.pairs
    m, c, own = distances.n_models, grid[:, None], np.arange(distances.n_models)
    used, mean = np.zeros((m, m)), np.zeros((m, m))
    used[first, second] = used[second, first] = inside
    mean[first, second] = mean[second, first] = distances.mean
    start = np.linalg.lstsq(np.diag(used.sum(axis=1)) + used, (used * mean).sum(axis=1), rcond=None)[0]
    v, scale = np.tile(start, (len(grid), 1)), max(float(np.abs(distances.mean[inside]).max()), 1e-12)
    for _ in range(_STEPS):
        skill = 1.0 - c * v
        both = v[:, :, None] + v[:, None, :] - c[:, :, None] * v[:, :, None] * v[:, None, :]
        pull = np.einsum("gij,gj->gi", used * (mean - both), skill)
        step = np.linalg.solve(_normal(skill, used, own), pull[:, :, None])[:, :, 0]
        v = v + np.clip(step, -0.3 * scale, 0.3 * scale)
        if np.abs(step).max() < 1e-7 * scale:
            break
    skill = 1.0 - c * v
    slopes, k = np.zeros((len(grid), len(first), m)), np.arange(len(first))
    slopes[:, k, first], slopes[:, k, second] = skill[:, second], skill[:, first]
    solved = np.linalg.solve(_normal(skill, used, own), slopes.transpose(0, 2, 1))
    curved = -v[:, first] * v[:, second]
    return _Fit(skill, slopes, np.asarray(solved, dtype=np.float64), v[:, first] + v[:, second] + c * curved, curved)


def _normal(skill: Floats, used: Floats, own: Ints) -> Floats:
    """Matrices of the normal equations, (c, models, models), with a touch of ridge where all models guess."""
    squares = skill**2
    normal: Floats = used * (skill[:, :, None] * skill[:, None, :])
    normal[:, own, own] += squares @ used + _RIDGE * np.maximum(squares.sum(axis=1), 1e-3)[:, None]
    return normal


def _scores(bend: Floats, residuals: Floats, *, root: Floats, variances: Floats, gain: Floats, n: int) -> Floats:
    """Standardised score of ``c``, for each pair without it; 0 where nothing is left to tell ``c`` from."""
    total = (residuals * bend).sum(axis=1, keepdims=True)
    pulled = np.einsum("grp,gp->gr", root, bend)
    both = np.einsum("gr,grp->gp", pulled, root) / n
    variance = np.square(pulled).sum(axis=1, keepdims=True) / n - 2.0 * gain * both + gain**2 * variances
    kept, size = np.square(bend).sum(axis=1, keepdims=True) - gain * bend, np.square(bend).max()
    clear = kept > 1e-6 * max(float(size), 1e-300)
    score = (total - gain * residuals) / np.sqrt(np.maximum(variance, 1e-300))
    return np.where(clear, score, 0.0)


def _rare(distances: Distances, expected: Floats, inside: Bools) -> Floats:
    """Variance that the expected distance would have beyond the one seen: rare differences vary little."""
    own = distances.variances
    typical = float(own[inside].sum() / max(distances.mean[inside].sum(), 1e-12))
    return np.maximum(0.0, np.maximum(expected, 0.0) * typical - own)


def _misfit(residuals: Floats, variances: Floats, *, left: Floats, inside: Bools) -> Floats:
    """(c,) variance between pairs that chance does not explain, by the upper quartile of the pairs inside."""
    squares, chance = residuals[:, inside] ** 2 / left[:, inside], variances[:, inside] / left[:, inside]
    above = np.quantile(squares, 0.75, axis=1) / _UPPER_QUARTILE - np.quantile(chance, 0.75, axis=1)
    return np.maximum(0.0, above)
