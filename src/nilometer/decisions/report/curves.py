"""Lines of the report's charts: entropy along an answer, calibration, and scores of correct and wrong answers."""

from dataclasses import dataclass

import numpy as np

from nilometer.arrays import Bools
from nilometer.estimators import Responses, Sentinel, features_read, left_out_probabilities

__all__ = ["Curve", "calibration_curve", "entropy_curves", "report_features", "score_curves"]


_BINS = 10
_EDGES = 25
_DECILES = tuple(f"decile_{i}" for i in range(10))
_SCORES = ("max", "nll_avg", "nll_sum")


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart: name, x and y, with the band y ± half."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    half: tuple[float, ...] = ()


def entropy_curves(responses: Responses, *, confidence_level: float = 0.95) -> tuple[Curve, ...]:
    """Mean entropy in each tenth of the answers, of correct and of wrong ones; none without those features."""
    profiles = responses.profiles.only(_DECILES)
    if len(profiles.names) < len(_DECILES):
        return ()
    curves = []
    for name, rows in _groups(responses).items():
        own = np.stack([profiles.column(name)[rows] for name in _DECILES], axis=1)
        own = own[~np.isnan(own).any(axis=1)]
        if len(own) > 1:
            half = _normal(confidence_level) * own.std(axis=0, ddof=1) / np.sqrt(len(own))
            x = tuple((i + 0.5) / 10 for i in range(10))
            curves.append(Curve(name, x, tuple(own.mean(axis=0).tolist()), tuple(half.tolist())))
    return tuple(curves)


def calibration_curve(sentinel: Sentinel) -> Curve | None:
    """Share of correct answers by predicted probability, each family predicted without its labels."""
    probabilities, labels = left_out_probabilities(sentinel.labelled_, sentinel.left_out_)
    if not probabilities.size:
        return None
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, _BINS + 1)))
    place = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, max(len(edges) - 2, 0))
    bins = [place == i for i in np.unique(place)]
    x = tuple(float(probabilities[own].mean()) for own in bins)
    y = tuple(float(labels[own].mean()) for own in bins)
    z = _normal(sentinel.confidence_level)
    half = tuple(float(z * np.sqrt(m * (1 - m) / own.sum())) for m, own in zip(y, bins, strict=True))
    return Curve("leave-one-family-out", x, y, half)


def score_curves(responses: Responses) -> tuple[Curve, ...]:
    """Histograms of the largest entropy of correct and of wrong answers; none where it is unknown or constant."""
    if "max" not in responses.profiles.names:
        return ()
    values = responses.profiles.column("max")
    known = values[~np.isnan(values)]
    if not known.size or known.min() == known.max():
        return ()
    edges = np.linspace(0, float(known.max()), _EDGES)
    centres = tuple(((edges[1:] + edges[:-1]) / 2).tolist())
    curves = []
    for name, rows in _groups(responses).items():
        own = values[rows & ~np.isnan(values)]
        if own.size:
            curves.append(Curve(name, centres, tuple((np.histogram(own, edges)[0] / own.size).tolist())))
    return tuple(curves)


def report_features(*sentinels: Sentinel) -> set[str]:
    """Return the names of the features that a report made with these sentinels reads; the others need not be kept.

    Examples
    --------
    >>> len(report_features(Sentinel()))
    19
    """
    return {*_DECILES, *_SCORES}.union(*map(features_read, sentinels))


def _groups(responses: Responses) -> dict[str, Bools]:
    if not responses.n_labels:
        return {"all answers": np.ones(len(responses), dtype=bool)}
    return {"correct": responses.correct >= 0.5, "wrong": responses.correct < 0.5}


def _normal(confidence_level: float) -> float:
    """Half-width of an interval in standard errors."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence_level / 2))
