"""Rules for numbers: the answer that minimises an expected loss, for many posteriors at once."""

from collections.abc import Callable

import numpy as np

from .rule import Floats, Parameter, Rule, loss_quantile, tail_mean

__all__ = ["NUMBER_RULES", "bregman_rule", "number_mode"]

_TIE = 1e-12
_ROWS = 4096


def _sorted(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Rows in ascending order, with weights that sum to 1."""
    values, weights = np.broadcast_arrays(values, weights)
    if values.shape[1] > 1 and not bool(np.all(values[:, 1:] >= values[:, :-1])):
        order = np.argsort(values, axis=1)
        values, weights = np.take_along_axis(values, order, 1), np.take_along_axis(weights, order, 1)
    return values, weights


def _pick(values: Floats, places: np.ndarray) -> Floats:
    picked: Floats = np.take_along_axis(values, places[:, None], 1)[:, 0]
    return picked


def _quantile(values: Floats, weights: Floats, level: float) -> Floats:
    """Smallest value whose cumulative weight reaches the level."""
    v, w = _sorted(values, weights)
    below = np.cumsum(w, axis=1)
    return _pick(v, np.argmax(below >= level * below[:, -1:] - _TIE, axis=1))


def _mean(values: Floats, weights: Floats, _: object = None) -> Floats:
    mean: Floats = np.einsum("ij,ij->i", *np.broadcast_arrays(values, weights)) / weights.sum(axis=1)
    return mean


def _nearest_to_mean(values: Floats, weights: Floats, _: object = None) -> Floats:
    values, weights = np.broadcast_arrays(values, weights)
    mean = _mean(values, weights)[:, None]
    away = np.where(weights > 0, np.abs(values - mean), np.inf)
    tied = away <= away.min(axis=1, keepdims=True) + _TIE
    found: Floats = np.where(tied, values, np.inf).min(axis=1)
    return found


def _median(values: Floats, weights: Floats, _: object = None) -> Floats:
    return _quantile(values, weights, 0.5)


def _asymmetric(values: Floats, weights: Floats, ratio: float) -> Floats:
    return _quantile(values, weights, ratio / (1 + ratio))


def _interval(values: Floats, weights: Floats, alpha: float) -> Floats:
    return np.stack([_quantile(values, weights, alpha / 2), _quantile(values, weights, 1 - alpha / 2)], axis=1)


def _log_cosh(values: Floats, weights: Floats, _: object = None) -> Floats:
    """Root of E[tanh(a - y)], by Newton's method kept inside a bracket."""
    values, weights = np.broadcast_arrays(values, weights)
    low, high, at = values.min(axis=1), values.max(axis=1), _mean(values, weights)
    for _step in range(60):
        slopes = np.tanh(at[:, None] - values)
        force = (weights * slopes).sum(axis=1)
        low, high = np.where(force < 0, at, low), np.where(force > 0, at, high)
        stiffness = np.maximum((weights * (1 - slopes**2)).sum(axis=1), 1e-300)
        moved = at - np.clip(force / stiffness, -1e300, 1e300)
        moved = np.where((moved < low) | (moved > high), (low + high) / 2, moved)
        done = np.abs(moved - at) <= 1e-13 * (1 + np.abs(at))
        at = moved
        if done.all():
            break
    return at


def _huber(values: Floats, weights: Floats, delta: float) -> Floats:
    """Root of E[clip(a - y, -delta, delta)], piecewise linear between the knots y - delta and y + delta."""
    values, weights = np.broadcast_arrays(values, weights)
    knots, slopes = _sorted(
        np.concatenate([values - delta, values + delta], axis=1), np.concatenate([weights, -weights], axis=1)
    )
    slopes = np.cumsum(slopes, axis=1)[:, :-1]
    total = weights.sum(axis=1)
    force = np.cumsum(slopes * np.diff(knots, axis=1), axis=1) - delta * total[:, None]
    # the first knot at which the force is no longer negative ends the segment that holds the root
    end = np.argmax(force >= -_TIE * delta, axis=1)
    at, slope = _pick(knots, end + 1), _pick(slopes, end)
    step = np.where(slope > _TIE, _pick(force, end) / np.maximum(slope, _TIE), 0.0)
    root: Floats = at - step
    return root


def _rmsle(values: Floats, weights: Floats, _: object = None) -> Floats:
    return np.expm1(_mean(np.log1p(values), weights))


def _mape(values: Floats, weights: Floats, _: object = None) -> Floats:
    return _quantile(values, weights / np.abs(values), 0.5)


def _smape_loss(a: Floats, y: Floats, _: object = None) -> Floats:
    scale = np.abs(a) + np.abs(y)
    loss: Floats = 2 * np.abs(a - y) / np.where(scale > 0, scale, 1.0)
    return loss


def _smape(values: Floats, weights: Floats, _: object = None) -> Floats:
    """Best of the values and 0: between two of them the expected loss has no minimum."""
    v, w = _sorted(values, weights)
    v, w = np.concatenate([v, np.zeros((len(v), 1))], axis=1), np.concatenate([w, np.zeros((len(w), 1))], axis=1)
    v, w = _sorted(v, w)
    found = np.empty(len(v))
    for start in range(0, len(v), _ROWS // 8):
        part = slice(start, start + _ROWS // 8)
        risks = np.einsum("nij,nj->ni", _smape_loss(v[part, :, None], v[part, None, :]), w[part])
        found[part] = _pick(v[part], np.argmax(risks <= risks.min(axis=1, keepdims=True) + _TIE, axis=1))
    return found


def _mspe(values: Floats, weights: Floats, _: object = None) -> Floats:
    return _mean(1 / values, weights) / _mean(1 / values**2, weights)


def _linex(values: Floats, weights: Floats, a: float) -> Floats:
    powers = -a * np.broadcast_arrays(values, weights)[0]
    top = powers.max(axis=1)
    found: Floats = -(top + np.log(_mean(np.exp(powers - top[:, None]), weights))) / a
    return found


def _within(values: Floats, weights: Floats, delta: float) -> Floats:
    """Middle of the window of width 2 delta with most mass."""
    v, w = _sorted(values, weights)
    cumulative = np.concatenate([np.zeros((len(v), 1)), np.cumsum(w, axis=1)], axis=1)
    found = np.empty(len(v))
    for start in range(0, len(v), _ROWS):
        part = slice(start, start + _ROWS)
        reach = v[part] + 2 * delta * (1 + _TIE) + _TIE
        ends = (v[part, None, :] <= reach[:, :, None]).sum(axis=2)
        mass = np.take_along_axis(cumulative[part], ends, 1) - cumulative[part, :-1]
        first = np.argmax(mass >= mass.max(axis=1, keepdims=True) - _TIE, axis=1)
        last = np.take_along_axis(ends, first[:, None], 1)[:, 0] - 1
        found[part] = (_pick(v[part], first) + _pick(v[part], last)) / 2
    return found


def _half_interval(values: Floats, weights: Floats, level: float) -> Floats:
    """Middle of the shortest interval that holds the level."""
    v, w = _sorted(values, weights)
    cumulative = np.cumsum(w, axis=1)
    before = cumulative - w
    found = np.empty(len(v))
    for start in range(0, len(v), _ROWS):
        part = slice(start, start + _ROWS)
        need = before[part] + level * cumulative[part, -1:] - _TIE
        ends = (cumulative[part, None, :] < need[:, :, None]).sum(axis=2)
        there = ends < v.shape[1]
        far = np.take_along_axis(v[part], np.minimum(ends, v.shape[1] - 1), 1)
        width = np.where(there & (w[part] > 0), far - v[part], np.inf)
        first = np.argmax(width <= width.min(axis=1, keepdims=True) + _TIE, axis=1)
        found[part] = (_pick(v[part], first) + _pick(far, first)) / 2
    return found


def _midrange(values: Floats, weights: Floats, alpha: float) -> Floats:
    """Middle between the alpha/2 and the 1 - alpha/2 quantile: the two tails pull equally there."""
    middle: Floats = _interval(values, weights, alpha).mean(axis=1)
    return middle


def number_mode(values: Floats, weights: Floats, _: object = None) -> Floats:
    """Return the heaviest value of each row, the lowest of equals, shape (n,)."""
    v, w = _sorted(values, weights)
    ends = np.concatenate([v[:, 1:] != v[:, :-1], np.ones((len(v), 1), dtype=bool)], axis=1)
    cumulative = np.cumsum(w, axis=1)
    before = np.maximum.accumulate(np.where(ends, cumulative, 0.0), axis=1)
    before = np.concatenate([np.zeros((len(v), 1)), before[:, :-1]], axis=1)
    mass = np.where(ends, cumulative - before, -1.0)
    return _pick(v, np.argmax(mass >= mass.max(axis=1, keepdims=True) - _TIE, axis=1))


def bregman_rule(name: str, loss: object, metric: str, *, domain: str = "any", in_domain: object = None) -> Rule:
    """Make the rule of a Bregman loss: whatever its generator, the mean is best.

    Parameters
    ----------
    name, metric
        Its name and formula.
    loss
        ``loss(answers, truths, parameter)``, broadcasting.
    domain, in_domain
        In words, and as ``in_domain(values, parameter)``.

    References
    ----------
    Banerjee, Guo and Wang (2005), "On the optimality of conditional expectation as a Bregman predictor".
    """
    return Rule(
        name=name,
        kind="number",
        metric=metric,
        answer="E[y]",
        solve=_mean,
        loss=loss,
        domain=domain,  # type: ignore[arg-type]
        in_domain=in_domain,
        exactness="exact over all numbers",
        reference="Banerjee et al. (2005)",  # type: ignore[arg-type]
    )


def _xlogx(x: Floats, y: Floats) -> Floats:
    """X log(x / y) with 0 log 0 = 0."""
    return np.where(x > 0, x * np.log(np.where(x > 0, x, 1.0) / np.maximum(y, 1e-300)), 0.0)


def _rms(answers: object, truths: object, _: object = None) -> float:
    return float(np.sqrt(np.mean((np.asarray(answers, float) - np.asarray(truths, float)) ** 2)))


def _distance(a: Floats, y: Floats, _: object = None) -> Floats:
    away: Floats = np.abs(a - y)
    return away


def _of_distances(summary: Callable[..., Floats], answers: object, truths: object, *, parameter: float) -> float:
    away = np.abs(np.asarray(answers, float) - np.asarray(truths, float))[None, :]
    return float(summary(away, np.full_like(away, 1 / away.size), parameter)[0])


def _number(name: str, metric: str, answer: str, **more: object) -> Rule:
    given = {"exactness": "exact over all numbers", "reference": "first-order condition", **more}
    return Rule(name=name, kind="number", metric=metric, answer=answer, **given)  # type: ignore[arg-type]


def _level(about: str, default: float) -> Parameter:
    return Parameter("level", default, 0.0, 1.0, about)


NUMBER_RULES = (
    _number(
        "squared",
        "(a − y)²",
        "E[y]",
        solve=_mean,
        loss=lambda a, y, _: (a - y) ** 2,
        score=_rms,
        measure="RMSE",
        aliases=("mse", "rmse", "mean"),
        reference="Lukasik et al. (2024), arXiv 2403.04182",
    ),
    bregman_rule(
        "poisson_deviance",
        lambda a, y, _: 2 * (_xlogx(y, a) - y + a),
        "2 (y log(y/a) − y + a)",
        domain="y ≥ 0, not all 0",
        in_domain=lambda y, _: (y >= 0) & (y.max() > 0),
    ),
    bregman_rule(
        "gamma_deviance",
        lambda a, y, _: 2 * (np.log(a / y) + y / a - 1),
        "2 (log(a/y) + y/a − 1)",
        domain="y > 0",
        in_domain=lambda y, _: y > 0,
    ),
    bregman_rule(
        "log_loss",
        lambda a, y, _: _xlogx(y, a) + _xlogx(1 - y, 1 - a),
        "y log(y/a) + (1−y) log((1−y)/(1−a))",
        domain="0 ≤ y ≤ 1",
        in_domain=lambda y, _: (y >= 0) & (y <= 1),
    ),
    _number(
        "squared_label",
        "(a − y)², a among the labels",
        "label nearest to E[y]",
        solve=_nearest_to_mean,
        loss=lambda a, y, _: (a - y) ** 2,
        score=_rms,
        measure="RMSE",
        aliases=("rounded_mean",),
        exactness="exact over the answers that have weight; the lower of two",
        reference="E(a − y)² = (a − E[y])² + Var(y)",
    ),
    _number(
        "absolute",
        "|a − y|",
        "weighted median",
        solve=_median,
        loss=_distance,
        measure="MAE",
        aliases=("mae", "median"),
        exactness="exact over all numbers; the lower median of an interval of them",
        reference="Lukasik et al. (2024), arXiv 2403.04182",
    ),
    _number(
        "pinball",
        "(τ − 1[y < a]) (y − a)",
        "τ-quantile",
        solve=_quantile,
        loss=lambda a, y, level: np.where(y < a, level - 1, level) * (y - a),
        parameter=_level("τ", 0.5),
        aliases=("quantile",),
        exactness="exact over all numbers; the lowest quantile of an interval of them",
        reference="Koenker and Bassett (1978)",
    ),
    _number(
        "asymmetric",
        "r (y − a) if a < y, else a − y",
        "quantile at r/(1 + r)",
        solve=_asymmetric,
        loss=lambda a, y, ratio: np.where(a < y, ratio * (y - a), a - y),
        parameter=Parameter("ratio", None, 0.0, np.inf, "cost of a unit too low over a unit too high"),
        exactness="exact over all numbers; the lowest quantile of an interval of them",
        reference="newsvendor problem; pinball at τ = r/(1 + r)",
    ),
    _number(
        "interval",
        "(h − l) + 2/α (l − y)₊ + 2/α (y − h)₊",
        "quantiles at α/2 and 1 − α/2",
        solve=_interval,
        loss=lambda a, y, alpha: (
            a[..., 1] - a[..., 0] + 2 / alpha * (np.maximum(a[..., 0] - y, 0) + np.maximum(y - a[..., 1], 0))
        ),
        parameter=Parameter("alpha", 0.1, 0.0, 1.0, "share left outside"),
        aliases=("winkler",),
        exactness="exact over all intervals",
        reference="Winkler (1972); Gneiting and Raftery (2007), sec. 6.2",
    ),
    _number(
        "log_cosh",
        "log cosh(a − y)",
        "root of E[tanh(a − y)]",
        solve=_log_cosh,
        loss=lambda a, y, _: np.logaddexp(a - y, y - a) - np.log(2),
        exactness="exact to 1e-12: convex, one root",
    ),
    _number(
        "huber",
        "d²/2 if |d| ≤ δ, else δ(|d| − δ/2); d = a − y",
        "root of E[clip(a − y, ±δ)]",
        solve=_huber,
        loss=lambda a, y, d: np.where(np.abs(a - y) <= d, (a - y) ** 2 / 2, d * (np.abs(a - y) - d / 2)),
        parameter=Parameter("delta", 1.0, 0.0, np.inf, "where the loss turns linear"),
        exactness="exact over all numbers (scan of sorted knots); the lowest of an interval of them",
        reference="Huber (1964)",
    ),
    _number(
        "rmsle",
        "(log(1+a) − log(1+y))²",
        "exp(E[log(1 + y)]) − 1",
        solve=_rmsle,
        loss=lambda a, y, _: (np.log1p(a) - np.log1p(y)) ** 2,
        measure="RMSLE",
        domain="y > −1",
        score=lambda a, y, _: _rms(np.log1p(np.asarray(a, float)), np.log1p(np.asarray(y, float))),
        in_domain=lambda y, _: y > -1,
    ),
    _number(
        "mape",
        "|a − y| / |y|",
        "median under weights w/|y|",
        solve=_mape,
        domain="y ≠ 0",
        measure="MAPE",
        loss=lambda a, y, _: np.abs(a - y) / np.abs(y),
        in_domain=lambda y, _: y != 0,
        exactness="exact over all numbers; the lowest of an interval of them",
        reference="Gneiting (2011), sec. 2.3",
    ),
    _number(
        "smape",
        "2 |a − y| / (|a| + |y|), 0/0 = 0",
        "best of the values and 0",
        solve=_smape,
        loss=_smape_loss,
        measure="sMAPE",
        exactness="exact over all numbers: between two knots the risk first rises, then falls",
        reference="the derivative changes sign only from + to − between knots",
    ),
    _number(
        "mspe",
        "((a − y) / y)²",
        "E[1/y] / E[1/y²]",
        solve=_mspe,
        domain="y ≠ 0",
        measure="MSPE",
        loss=lambda a, y, _: ((a - y) / y) ** 2,
        in_domain=lambda y, _: y != 0,
        reference="Gneiting (2011), sec. 2.3",
    ),
    _number(
        "linex",
        "exp(c d) − c d − 1; d = a − y",
        "−log E[exp(−c y)] / c",
        solve=_linex,
        loss=lambda a, y, c: np.expm1(c * (a - y)) - c * (a - y),
        parameter=Parameter("c", 1.0, -np.inf, np.inf, "> 0 punishes answers that are too high; not 0"),
        domain="c ≠ 0",
        in_domain=lambda y, c: np.full(y.shape, c != 0),
        reference="Varian (1975); Zellner (1986)",
    ),
    _number(
        "within",
        "1[|a − y| > δ]",
        "middle of the fullest window of width 2δ",
        solve=_within,
        loss=lambda a, y, d: (np.abs(a - y) > d * (1 + 1e-9) + 1e-9).astype(float),
        parameter=Parameter("delta", 1.0, 0.0, np.inf, "half width"),
        measure="share outside δ",
        exactness="exact over all numbers (two pointers); the lowest window",
    ),
    _number(
        "absolute_quantile",
        "q-quantile of |a − y|",
        "middle of the shortest interval with mass q",
        solve=_half_interval,
        parameter=_level("q", 0.9),
        loss=_distance,
        summary=loss_quantile,
        score=lambda a, y, q: _of_distances(loss_quantile, a, y, parameter=q),
        measure="quantile of |a − y|",
        exactness="exact over all numbers; the lowest interval; averse to risk (value at risk)",
        reference="Rousseeuw (1984), shortest half",
    ),
    _number(
        "absolute_cvar",
        "mean of the largest α share of |a − y|",
        "middle of the α/2 and 1 − α/2 quantiles",
        solve=_midrange,
        parameter=Parameter("alpha", 0.1, 0.0, 1.0, "share of the worst cases"),
        loss=_distance,
        summary=tail_mean,
        score=lambda a, y, alpha: _of_distances(tail_mean, a, y, parameter=alpha),
        measure="mean of the worst |a − y|",
        exactness="exact over all numbers; averse to risk (conditional value at risk)",
        reference="Rockafellar and Uryasev (2000); the two tails pull equally",
    ),
)
"""Rules whose answer is a number, or two."""
