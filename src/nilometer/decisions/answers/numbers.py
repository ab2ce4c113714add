"""Rules for numbers: the answer that minimises an expected loss, for many posteriors at once."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nilometer.arrays import Floats

from .minimisers import (
    fullest_window,
    huber_root,
    linex_answer,
    linex_loss,
    log_cosh_root,
    log_mean,
    nearest_to_mean,
    quantile_pair,
    ratio_quantile,
    relative_mean,
    relative_median,
    shortest_interval,
    smape_best,
    smape_loss,
    tail_midrange,
    weighted_mean,
    weighted_median,
    weighted_quantile,
)
from .rule import Parameter, Rule, loss_quantile, tail_mean

__all__ = ["NUMBER_RULES", "bregman_rule"]


def bregman_rule(
    name: str,
    loss: Callable[..., Floats],
    metric: str,
    *,
    domain: str = "any",
    in_domain: Callable[[Floats, Any], Any] | None = None,
) -> Rule:
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
        solve=weighted_mean,
        loss=loss,
        domain=domain,
        in_domain=in_domain,
        exactness="exact over all numbers",
        reference="Banerjee et al. (2005)",
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
        solve=weighted_mean,
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
        solve=nearest_to_mean,
        loss=lambda a, y, _: (a - y) ** 2,
        score=_rms,
        measure="RMSE",
        aliases=("rounded_mean",),
        exactness="exact over the scale, and without one over the answers seen; the lower of two",
        over_scale=True,
        reference="E(a − y)² = (a − E[y])² + Var(y)",
    ),
    _number(
        "absolute",
        "|a − y|",
        "weighted median",
        solve=weighted_median,
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
        solve=weighted_quantile,
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
        solve=ratio_quantile,
        loss=lambda a, y, ratio: np.where(a < y, ratio * (y - a), a - y),
        parameter=Parameter("ratio", None, 0.0, np.inf, "cost of a unit too low over a unit too high"),
        exactness="exact over all numbers; the lowest quantile of an interval of them",
        reference="newsvendor problem; pinball at τ = r/(1 + r)",
    ),
    _number(
        "interval",
        "(h − l) + 2/α (l − y)₊ + 2/α (y − h)₊",
        "quantiles at α/2 and 1 − α/2",
        solve=quantile_pair,
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
        solve=log_cosh_root,
        loss=lambda a, y, _: np.logaddexp(a - y, y - a) - np.log(2),
        exactness="exact to 1e-12: convex, one root",
    ),
    _number(
        "huber",
        "d²/2 if |d| ≤ δ, else δ(|d| − δ/2); d = a − y",
        "root of E[clip(a − y, ±δ)]",
        solve=huber_root,
        loss=lambda a, y, d: np.where(np.abs(a - y) <= d, (a - y) ** 2 / 2, d * (np.abs(a - y) - d / 2)),
        parameter=Parameter("delta", 1.0, 0.0, np.inf, "where the loss turns linear"),
        exactness="exact over all numbers (scan of sorted knots); the lowest of an interval of them",
        reference="Huber (1964)",
    ),
    _number(
        "rmsle",
        "(log(1+a) − log(1+y))²",
        "exp(E[log(1 + y)]) − 1",
        solve=log_mean,
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
        solve=relative_median,
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
        solve=smape_best,
        loss=smape_loss,
        measure="sMAPE",
        exactness="exact over all numbers: between two knots the risk first rises, then falls",
        reference="the derivative changes sign only from + to − between knots",
    ),
    _number(
        "mspe",
        "((a − y) / y)²",
        "E[1/y] / E[1/y²]",
        solve=relative_mean,
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
        solve=linex_answer,
        loss=linex_loss,
        parameter=Parameter("c", 1.0, -np.inf, np.inf, "> 0 punishes answers that are too high; not 0"),
        domain="c ≠ 0",
        in_domain=lambda y, c: np.full(y.shape, c != 0),
        reference="Varian (1975); Zellner (1986)",
    ),
    _number(
        "within",
        "1[|a − y| > δ]",
        "middle of the fullest window of width 2δ",
        solve=fullest_window,
        loss=lambda a, y, d: (np.abs(a - y) > d * (1 + 1e-9) + 1e-9).astype(float),
        parameter=Parameter("delta", 1.0, 0.0, np.inf, "half width"),
        measure="share outside δ",
        exactness="exact over all numbers (two pointers); the lowest window",
    ),
    _number(
        "absolute_quantile",
        "q-quantile of |a − y|",
        "middle of the shortest interval with mass q",
        solve=shortest_interval,
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
        solve=tail_midrange,
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
