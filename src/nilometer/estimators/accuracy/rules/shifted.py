"""Estimators of accuracy that undo a named kind of shift: of the labels, of the features, of the slice's profile."""

import numpy as np

from nilometer.arrays import Floats

from .scores import SourceScores, TargetScores
from .slope import log_odds

__all__ = ["importance_weighted", "label_shift", "matched_moments", "quantile_regression"]


_EDGE = 1e-4
_HALVINGS = 30
_LEAST_EFFECTIVE = 100.0
_QUANTILES = np.linspace(0.05, 0.95, 10)


def label_shift(p: Floats, accuracy: float) -> float:
    r"""Accuracy of a slice if only the share of correct answers differs from the labelled data (SLD).

    The share q that makes the probabilities most likely, where the EM iteration of the paper comes to rest:

    .. math:: q = \frac1n \sum_i \frac{p_i q / a}{p_i q / a + (1 - p_i)(1 - q) / (1 - a)}

    The likelihood is concave in q, so halving the interval finds it in thirty steps.

    Parameters
    ----------
    p
        Shape (n,), probabilities of a correct answer calibrated where the accuracy is ``accuracy``.
    accuracy
        Share of correct answers in the labelled data, in (0, 1).

    References
    ----------
    Saerens, Latinne and Decaestecker (2002), "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities", Neural Computation 14.

    Examples
    --------
    >>> round(label_shift(np.array([0.9, 0.9, 0.1]), 0.5), 2)
    0.71
    """
    p, accuracy = np.clip(p, _EDGE, 1 - _EDGE), float(np.clip(accuracy, _EDGE, 1 - _EDGE))
    right, wrong = p / accuracy, (1 - p) / (1 - accuracy)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rising = float(np.sum((right - wrong) / (right * middle + wrong * (1 - middle)))) > 0
        low, high = (middle, high) if rising else (low, middle)
    return (low + high) / 2


def matched_moments(p: Floats, source_p: Floats, correct: Floats, *, weights: Floats) -> float:
    r"""Accuracy that gives the slice its mean probability (PACC), cut to [0, 1].

    .. math:: \hat a = \frac{\bar p_T - \bar p_{wrong}}{\bar p_{right} - \bar p_{wrong}}

    The mean probability itself where right and wrong answers have the same one.

    References
    ----------
    Bella, Ferri, Hernández-Orallo and Ramírez-Quintana (2010), "Quantification via Probability Estimators".

    Examples
    --------
    >>> matched_moments(np.array([0.6]), np.array([0.2, 0.8]), np.array([0.0, 1.0]), weights=np.ones(2)).__round__(2)
    0.67
    """
    right, wrong = weights * correct, weights * (1 - correct)
    high, low = float(right @ source_p) / right.sum(), float(wrong @ source_p) / wrong.sum()
    if high - low < _EDGE:
        return float(p.mean())
    return float(np.clip((p.mean() - low) / (high - low), 0, 1))


def importance_weighted(target: TargetScores, source: SourceScores) -> float:
    r"""Mean probability after calibrating again where the slice lies (M-CBPE).

    A logistic regression separates the slice from the labelled responses; its odds weight the labelled ones in a
    Platt calibration of p. Where the weights leave fewer than 100 effective responses,
    :math:`(\sum w)^2 / \sum w^2`, the probabilities stay as they are.

    References
    ----------
    Białek, Kuberski, Perrakis and Bifet (2024), "Estimating Model Performance Under Covariate Shift Without
    Labels", arXiv 2401.08348.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    both = StandardScaler().fit_transform(np.concatenate([source.X, target.X]))
    n = len(source.X)
    tell = LogisticRegression().fit(both, np.arange(len(both)) >= n)
    odds = np.exp(np.clip(tell.decision_function(both[:n]), -20, 20)) * source.weights
    classes = source.correct >= 0.5
    if odds.sum() ** 2 < _LEAST_EFFECTIVE * float(odds @ odds) or classes.min() == classes.max():
        return float(target.p.mean())
    platt = LogisticRegression().fit(_logits(source.p), classes, sample_weight=odds * n / odds.sum())
    return float(platt.predict_proba(_logits(target.p))[:, 1].mean())


def quantile_regression(p: Floats, source: SourceScores) -> float:
    """Accuracy by a ridge regression of logit slice accuracy on the sorted-probability profile of the slice.

    References
    ----------
    Fu et al. (2023), "Estimating Large Language Model Capabilities without Labeled Test Data", arXiv 2305.14802.
    """
    from scipy.special import expit
    from sklearn.linear_model import Ridge

    order = np.argsort(source.slices, kind="stable")
    _, starts, sizes = np.unique(source.slices[order], return_index=True, return_counts=True)
    parts = [order[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    profiles = np.stack([_profile(source.p[rows]) for rows in parts])
    right = np.array([source.correct[rows].sum() for rows in parts])
    wanted = np.log(right + 0.5) - np.log(sizes - right + 0.5)
    line = Ridge(alpha=1.0).fit(profiles, wanted, sample_weight=sizes / sizes.mean())
    return float(expit(line.predict(_profile(p)[None, :])[0]))


def _profile(p: Floats) -> Floats:
    return log_odds(np.quantile(p, _QUANTILES), edge=_EDGE)


def _logits(p: Floats) -> Floats:
    return log_odds(p, edge=_EDGE)[:, None]
