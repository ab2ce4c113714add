"""The number that minimises an expected loss, for many posteriors at once: one formula per loss."""

import numpy as np

from nilometer.arrays import Float, Floats, Int, Ints

__all__ = [
    "fullest_window",
    "huber_root",
    "linex_answer",
    "linex_loss",
    "log_cosh_root",
    "log_mean",
    "nearest_to_mean",
    "number_mode",
    "quantile_pair",
    "ratio_quantile",
    "relative_mean",
    "relative_median",
    "shortest_interval",
    "smape_best",
    "smape_loss",
    "tail_midrange",
    "weighted_mean",
    "weighted_median",
    "weighted_quantile",
]

Rows = Float[Floats, "#n m"]
"""Values or weights; one row may stand for all."""
_TIE = 1e-12
_ROWS = 4096


def _sorted(values: Rows, weights: Rows) -> tuple[Rows, Rows]:
    """Rows in ascending order, with weights that sum to 1."""
    values, weights = np.broadcast_arrays(values, weights)
    if values.shape[1] > 1 and not bool(np.all(values[:, 1:] >= values[:, :-1])):
        order = np.argsort(values, axis=1)
        values, weights = np.take_along_axis(values, order, 1), np.take_along_axis(weights, order, 1)
    return values, weights


def _pick(values: Float[Floats, "n m"], places: Int[Ints, " n"]) -> Float[Floats, " n"]:
    picked: Floats = np.take_along_axis(values, places[:, None], 1)[:, 0]
    return picked


def weighted_quantile(values: Rows, weights: Rows, level: float) -> Float[Floats, "#n"]:
    """Smallest value whose cumulative weight reaches the level."""
    v, w = _sorted(values, weights)
    below = np.cumsum(w, axis=1)
    return _pick(v, np.argmax(below >= level * below[:, -1:] - _TIE, axis=1))


def weighted_mean(values: Rows, weights: Rows, _: object = None) -> Float[Floats, "#n"]:
    """Return the mean of each row."""
    found: Floats = np.einsum("ij,ij->i", *np.broadcast_arrays(values, weights)) / weights.sum(axis=1)
    return found


def nearest_to_mean(values: Rows, weights: Rows, _: object = None) -> Float[Floats, "#n"]:
    """Return the value nearest to the mean among those listed, with weight or without, the lower of two."""
    values, weights = np.broadcast_arrays(values, weights)
    center = weighted_mean(values, weights)[:, None]
    away = np.abs(values - center)
    tied = away <= away.min(axis=1, keepdims=True) + _TIE
    found: Floats = np.where(tied, values, np.inf).min(axis=1)
    return found


def weighted_median(values: Rows, weights: Rows, _: object = None) -> Float[Floats, "#n"]:
    """Return the lower weighted median."""
    return weighted_quantile(values, weights, 0.5)


def ratio_quantile(values: Rows, weights: Rows, ratio: float) -> Float[Floats, "#n"]:
    """Return the quantile at ratio / (1 + ratio)."""
    return weighted_quantile(values, weights, ratio / (1 + ratio))


def quantile_pair(values: Rows, weights: Rows, alpha: float) -> Float[Floats, "#n 2"]:
    """Return the quantiles at alpha / 2 and 1 - alpha / 2, shape (n, 2)."""
    return np.stack(
        [weighted_quantile(values, weights, alpha / 2), weighted_quantile(values, weights, 1 - alpha / 2)], axis=1
    )


def log_cosh_root(values: Rows, weights: Rows, _: object = None) -> Float[Floats, "#n"]:
    """Root of E[tanh(a - y)], by Newton's method kept inside a bracket."""
    values, weights = np.broadcast_arrays(values, weights)
    low, high, at = values.min(axis=1), values.max(axis=1), weighted_mean(values, weights)
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


def huber_root(values: Rows, weights: Rows, delta: float) -> Float[Floats, "#n"]:
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


def log_mean(values: Rows, weights: Rows, _: object = None) -> Float[Floats, "#n"]:
    """Return exp(E[log(1 + y)]) - 1."""
    return np.expm1(weighted_mean(np.log1p(values), weights))


def relative_median(values: Rows, weights: Rows, _: object = None) -> Float[Floats, "#n"]:
    """Return the median under the weights w / |y|."""
    return weighted_quantile(values, weights / np.abs(values), 0.5)


def smape_loss(a: Floats, y: Floats, _: object = None) -> Floats:
    """Return 2 |a - y| / (|a| + |y|), with 0 / 0 = 0."""
    scale = np.abs(a) + np.abs(y)
    loss: Floats = 2 * np.abs(a - y) / np.where(scale > 0, scale, 1.0)
    return loss


def smape_best(values: Rows, weights: Rows, _: object = None) -> Float[Floats, "#n"]:
    """Best of the values and 0: between two of them the expected loss has no minimum."""
    v, w = _sorted(values, weights)
    v, w = np.concatenate([v, np.zeros((len(v), 1))], axis=1), np.concatenate([w, np.zeros((len(w), 1))], axis=1)
    v, w = _sorted(v, w)
    found = np.empty(len(v))
    for start in range(0, len(v), _ROWS // 8):
        part = slice(start, start + _ROWS // 8)
        risks = np.einsum("nij,nj->ni", smape_loss(v[part, :, None], v[part, None, :]), w[part])
        found[part] = _pick(v[part], np.argmax(risks <= risks.min(axis=1, keepdims=True) + _TIE, axis=1))
    return found


def relative_mean(values: Rows, weights: Rows, _: object = None) -> Float[Floats, "#n"]:
    """Return E[1 / y] / E[1 / y²]."""
    return weighted_mean(1 / values, weights) / weighted_mean(1 / values**2, weights)


def linex_loss(a: Floats, y: Floats, c: float) -> Floats:
    """Return exp(c d) - c d - 1 with d = a - y; infinite where it exceeds every number."""
    with np.errstate(over="ignore"):
        loss: Floats = np.expm1(c * (a - y)) - c * (a - y)
    return loss


def linex_answer(values: Rows, weights: Rows, a: float) -> Float[Floats, "#n"]:
    """Return -log(E[exp(-a y)]) / a."""
    powers = -a * np.broadcast_arrays(values, weights)[0]
    top = powers.max(axis=1)
    found: Floats = -(top + np.log(weighted_mean(np.exp(powers - top[:, None]), weights))) / a
    return found


def fullest_window(values: Rows, weights: Rows, delta: float) -> Float[Floats, "#n"]:
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


def shortest_interval(values: Rows, weights: Rows, level: float) -> Float[Floats, "#n"]:
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


def tail_midrange(values: Rows, weights: Rows, alpha: float) -> Float[Floats, "#n"]:
    """Middle between the alpha/2 and the 1 - alpha/2 quantile: the two tails pull equally there."""
    middle: Floats = quantile_pair(values, weights, alpha).mean(axis=1)
    return middle


def number_mode(values: Rows, weights: Rows, _: object = None) -> Float[Floats, "#n"]:
    """Return the heaviest value of each row, the lowest of equals, shape (n,)."""
    v, w = _sorted(values, weights)
    ends = np.concatenate([v[:, 1:] != v[:, :-1], np.ones((len(v), 1), dtype=bool)], axis=1)
    cumulative = np.cumsum(w, axis=1)
    before = np.maximum.accumulate(np.where(ends, cumulative, 0.0), axis=1)
    before = np.concatenate([np.zeros((len(v), 1)), before[:, :-1]], axis=1)
    mass = np.where(ends, cumulative - before, -1.0)
    return _pick(v, np.argmax(mass >= mass.max(axis=1, keepdims=True) - _TIE, axis=1))
