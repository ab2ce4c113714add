"""Rules for metrics of a whole batch, where the best answer to one prompt depends on the others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from nilometer.arrays import Floats

from .rule import Batch, BatchAnswers, Rule

__all__ = [
    "BATCH_RULES",
    "area_under_curve",
    "balanced",
    "concordance",
    "correlation",
    "discounted_gain",
    "ordered_distance",
    "positive_f1",
    "rank_correlation",
]

_TIE = 1e-12


def _means(batch: Batch) -> Floats:
    means: Floats = (batch.values * batch.weights).sum(axis=1)
    return means


def _moments(batch: Batch) -> tuple[Floats, float, float]:
    """Means of the prompts, and mean and variance of a truth drawn from a prompt drawn at random."""
    means = _means(batch)
    centre = float(means.mean())
    variance = float((batch.weights * (batch.values - centre) ** 2).sum(axis=1).mean())
    return means, centre, variance


def _variance_matched(batch: Batch, _: object = None) -> BatchAnswers:
    means, centre, variance = _moments(batch)
    spread = float(means.std())
    if spread <= _TIE or variance <= _TIE:
        return BatchAnswers(np.full(len(means), centre), 0.0)
    return BatchAnswers(centre + np.sqrt(variance) / spread * (means - centre), spread / float(np.sqrt(variance)))


def _kappa_labels(batch: Batch, _: object = None) -> BatchAnswers:
    """Minimise observed over chance disagreement by Dinkelbach's iteration; each step is separable over prompts."""
    scale = np.asarray(batch.labels, dtype=float)
    means, centre, variance = _moments(batch)
    if variance <= _TIE:
        return BatchAnswers([batch.labels[int(np.argmin(np.abs(scale - centre)))]] * len(means), 0.0)
    second = (batch.weights * batch.values**2).sum(axis=1)
    chance = (scale - centre) ** 2 + variance
    ratio = 1.0
    for _step in range(100):
        observed = scale[None, :] ** 2 - 2 * scale[None, :] * means[:, None] + second[:, None]
        reduced = observed - ratio * chance[None, :]
        chosen = np.argmax(reduced <= reduced.min(axis=1, keepdims=True) + _TIE, axis=1)
        rows = np.arange(len(means))
        below = float(chance[chosen].sum())
        better = float(observed[rows, chosen].sum()) / below
        if better >= ratio - _TIE:
            break
        ratio = better
    return BatchAnswers([batch.labels[place] for place in chosen], 1.0 - ratio)


def _by_mean(batch: Batch, _: object = None) -> BatchAnswers:
    means, _centre, variance = _moments(batch)
    expected = float(means.std()) / float(np.sqrt(variance)) if variance > _TIE else 0.0
    return BatchAnswers(means, expected)


def _by_rank(batch: Batch, _: object = None) -> BatchAnswers:
    """Expected mid-rank of the truth among all truths, in [0, 1]."""
    distinct, places = np.unique(batch.values, return_inverse=True)
    places = places.reshape(batch.values.shape)
    mass = np.bincount(places.ravel(), batch.weights.ravel(), len(distinct)) / len(batch.values)
    middle = np.cumsum(mass) - mass / 2
    ranks = (batch.weights * middle[places]).sum(axis=1)
    given = rankdata(ranks)
    variance = float((mass * (middle - 0.5) ** 2).sum())
    expected = 0.0
    if given.std() > 0 and variance > _TIE:
        expected = float(np.mean((given - given.mean()) * ranks) / (given.std() * np.sqrt(variance)))
    return BatchAnswers(ranks, expected)


def _ordered_right(scores: Floats, batch: Batch) -> float:
    """Expected share of the distance between two prompts' truths that the order of the means gets right."""
    n = len(scores)
    ahead = float(np.sort(scores) @ (2 * np.arange(1, n + 1) - n - 1))
    order = np.argsort(batch.values, axis=None, kind="stable")
    pooled = _mean_distance(batch.values.ravel()[order][None, :], batch.weights.ravel()[order][None, :] / n)
    inner = np.argsort(batch.values, axis=1, kind="stable")
    own = _mean_distance(np.take_along_axis(batch.values, inner, 1), np.take_along_axis(batch.weights, inner, 1))
    apart = (n**2 * float(pooled[0]) - float(own.sum())) / 2
    return 0.5 * (1 + ahead / apart) if apart > _TIE else 0.5


def _mean_distance(values: Floats, weights: Floats) -> Floats:
    """E|Y − Y'| of two draws from each sorted row: twice the integral of F (1 − F)."""
    below = np.cumsum(weights, axis=1)[:, :-1]
    distance: Floats = 2 * (below * np.maximum(1 - below, 0.0) * np.diff(values, axis=1)).sum(axis=1)
    return distance


def _by_distance(batch: Batch, _: object = None) -> BatchAnswers:
    means = _means(batch)
    return BatchAnswers(means, _ordered_right(means, batch))


def _by_gain(batch: Batch, _: object = None) -> BatchAnswers:
    gains = (batch.weights * (np.exp2(batch.values) - 1)).sum(axis=1)
    ordered = -np.sort(-gains)
    return BatchAnswers(gains, float((ordered / np.log2(np.arange(2, len(gains) + 2))).sum()))


def _by_lift(batch: Batch, _: object = None) -> BatchAnswers:
    """Label whose probability exceeds its share of the batch by the largest factor."""
    n = len(batch.labels)
    masses = np.zeros((len(batch.values), n))
    rows = np.repeat(np.arange(len(batch.values)), batch.values.shape[1])
    np.add.at(masses, (rows, batch.values.astype(int).ravel()), batch.weights.ravel())
    shares = masses.sum(axis=0)
    held = shares > 0
    lifts = np.where(held, masses / np.where(held, shares, 1.0), -1.0)
    chosen = np.argmax(lifts >= lifts.max(axis=1, keepdims=True) - _TIE, axis=1)
    expected = float(lifts[np.arange(len(lifts)), chosen].sum()) / float(held.sum())
    return BatchAnswers([batch.labels[place] for place in chosen], expected)


def _by_threshold(batch: Batch, _: object = None) -> BatchAnswers:
    """Call the likeliest prompts positive, as many as make 2 sum(p a) / (sum(p) + sum(a)) largest."""
    p = (batch.weights * (batch.values == 1)).sum(axis=1)
    order = np.argsort(-p, kind="stable")
    values = 2 * np.cumsum(p[order]) / (p.sum() + np.arange(1, len(p) + 1))
    n_called = int(np.argmax(values >= values.max() - _TIE)) + 1
    called = np.zeros(len(p), dtype=int)
    called[order[:n_called]] = 1
    if values[n_called - 1] <= _TIE:
        return BatchAnswers([0] * len(p), 0.0)
    return BatchAnswers(called.tolist(), float(values[n_called - 1]))


def concordance(answers: Sequence[Any], truths: Sequence[Any], _: object = None) -> float:
    """Lin's concordance coefficient; on labels it equals the quadratically weighted kappa."""
    a, y = np.asarray(answers, float), np.asarray(truths, float)
    apart = a.var() + y.var() + (a.mean() - y.mean()) ** 2
    return float(1 - np.mean((a - y) ** 2) / apart) if apart > 0 else 0.0


def correlation(answers: Sequence[Any], truths: Sequence[Any], _: object = None) -> float:
    """Pearson correlation; 0 where a side is constant."""
    a, y = np.asarray(answers, float), np.asarray(truths, float)
    spread = float(a.std() * y.std())
    return float(np.mean((a - a.mean()) * (y - y.mean())) / spread) if spread > _TIE else 0.0


def rank_correlation(answers: Sequence[Any], truths: Sequence[Any], _: object = None) -> float:
    """Spearman correlation; 0 where a side is constant."""
    return correlation(rankdata(answers), rankdata(truths))


def area_under_curve(answers: Sequence[Any], truths: Sequence[Any], _: object = None) -> float:
    """Share of pairs of a positive and a negative that the answers order rightly; ties count half."""
    a, y = np.asarray(answers, float), np.asarray(truths, float) == 1
    n = int(y.sum())
    if n in (0, len(y)):
        return 0.5
    return float((rankdata(a)[y].sum() - n * (n + 1) / 2) / (n * (len(y) - n)))


def ordered_distance(answers: Sequence[Any], truths: Sequence[Any], _: object = None) -> float:
    """AUC of many levels: share of |y_i − y_j| over all pairs that the answers order rightly; ties count half."""
    y = np.asarray(truths, float)
    ahead = float(y @ (2 * rankdata(answers) - len(y) - 1))
    apart = float(np.sort(y) @ (2 * np.arange(1, len(y) + 1) - len(y) - 1))
    return 0.5 * (1 + ahead / apart) if apart > 0 else 0.5


def discounted_gain(answers: Sequence[Any], truths: Sequence[Any], _: object = None) -> float:
    """NDCG of one list with gains 2^y − 1."""
    gains = np.exp2(np.asarray(truths, float)) - 1
    discount = 1 / np.log2(np.arange(2, len(gains) + 2))
    best = float(-np.sort(-gains) @ discount)
    order = np.argsort(-np.asarray(answers, float), kind="stable")
    return float(gains[order] @ discount) / best if best > 0 else 1.0


def balanced(answers: Sequence[Any], truths: Sequence[Any], _: object = None) -> float:
    """Mean over true labels of the share answered rightly."""
    places: dict[Any, int] = {}
    a, y = (np.array([places.setdefault(label, len(places)) for label in row]) for row in (answers, truths))
    counts = np.bincount(y, minlength=len(places))
    hits = np.bincount(y, a == y, len(places))
    return float(np.mean(hits[counts > 0] / counts[counts > 0]))


def positive_f1(answers: Sequence[Any], truths: Sequence[Any], _: object = None) -> float:
    """F1 of the positive label over the data set; 0 where nothing is called and nothing is there."""
    a, y = np.asarray(answers, float) == 1, np.asarray(truths, float) == 1
    either = int(a.sum() + y.sum())
    return 2 * int((a & y).sum()) / either if either else 0.0


_POOLED = "exact for the metric of the pooled expectation (a prompt at random, its truth from its posterior)"


def _rule(name: str, kind: str, metric: str, **more: Any) -> Rule:
    return Rule(name=name, kind=kind, metric=metric, is_batch=True, **{"higher_is_better": True, **more})


_BINARY = "answers 0 and 1"
_ZERO_ONE: Any = lambda y, _: (y == 0) | (y == 1)  # noqa: E731 - a column of the table

BATCH_RULES = (
    _rule(
        "ccc",
        "number",
        "1 − E(a−y)² / (Var a + Var y + (E a − E y)²)",
        answer="μ + sd(y)/sd(η) · (η − μ), η = E[y]",
        solve=_variance_matched,
        score=concordance,
        measure="CCC",
        exactness=_POOLED,
        reference="Nedel'ko (2018); Lin (1989)",
    ),
    _rule(
        "qwk",
        "label",
        "1 − observed / chance squared disagreement",
        answer="labels by Dinkelbach's iteration",
        solve=_kappa_labels,
        score=concordance,
        measure="QWK",
        aliases=("kappa",),
        exactness=_POOLED + ", over all labellings; the lower of two labels",
        domain="numeric labels",
        reference="Dinkelbach (1967); Cohen (1968)",
    ),
    _rule(
        "pearson",
        "number",
        "correlation of a and y",
        answer="E[y]",
        solve=_by_mean,
        score=correlation,
        measure="Pearson",
        exactness=_POOLED + "; any rising line of it is as good",
        reference="Cauchy-Schwarz",
    ),
    _rule(
        "spearman",
        "number",
        "correlation of ranks",
        answer="expected mid-rank of y among all",
        solve=_by_rank,
        score=rank_correlation,
        measure="Spearman",
        exactness=_POOLED + ", over all orders without ties; in small batches tied answers can do better",
        reference="rearrangement inequality",
    ),
    _rule(
        "auc",
        "number",
        "P(a of a positive > a of a negative)",
        answer="P(y = 1)",
        solve=_by_distance,
        in_domain=_ZERO_ONE,
        score=area_under_curve,
        measure="AUC",
        domain=_BINARY,
        exactness="exact for expected rightly ordered pairs over expected pairs, independent prompts",
        reference="Clémençon, Lugosi and Vayatis (2008)",
        aliases=("auroc",),
    ),
    _rule(
        "multipartite_auc",
        "number",
        "share of |y_i − y_j| ordered rightly",
        answer="E[y]",
        solve=_by_distance,
        score=ordered_distance,
        measure="multipartite AUC",
        exactness="exact for the expected ordered distance, independent prompts",
        reference="Uematsu and Lee (2015)",
    ),
    _rule(
        "ndcg",
        "number",
        "Σ (2^y − 1) / log₂(1 + rank)",
        answer="order by E[2^y − 1]",
        solve=_by_gain,
        score=discounted_gain,
        measure="NDCG",
        aliases=("dcg",),
        domain="y ≤ 1000",
        in_domain=lambda y, _: y <= 1000,
        exactness="exact for the expected DCG of one list; for NDCG up to the varying ideal in its denominator",
        reference="Järvelin and Kekäläinen (2002); Cossock and Zhang (2008)",
    ),
    _rule(
        "balanced_accuracy",
        "label",
        "mean over labels of recall",
        answer="label with the largest p(y|x) / share of y",
        solve=_by_lift,
        score=balanced,
        measure="balanced accuracy",
        aliases=("macro_recall",),
        exactness="exact for expected hits over expected counts, over all labellings; the first of equals",
        reference="Menon et al. (2013)",
    ),
    _rule(
        "dataset_f1",
        "number",
        "2 Σ a y / (Σ a + Σ y)",
        answer="1 above the best threshold on P(y = 1)",
        solve=_by_threshold,
        score=positive_f1,
        measure="F1 of the data set",
        domain=_BINARY,
        in_domain=_ZERO_ONE,
        aliases=("binary_f1",),
        exactness="exact for expected hits over expected counts, over all labellings",
        reference="Lipton, Elkan and Naryanaswamy (2014)",
    ),
)
"""Rules for metrics that do not split over prompts."""
