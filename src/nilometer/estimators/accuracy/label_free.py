"""One table of label-free estimators of the accuracy of a slice, with one interface."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..profiles import distinct
from .scores import SourceScores, TargetScores
from .shifted import importance_weighted, label_shift, matched_moments, quantile_regression
from .slope import LOGIT_SLOPE, anchored_slope, difference_slope, scaled_logit
from .threshold import fit_threshold, thresholded_accuracy

__all__ = ["LABEL_FREE", "Arm", "sequence_weight"]

Floats = NDArray[np.float64]

_ATC_SHARE = 0.2
_EVIDENCE, _SUREST = 3.0, 0.99


class Arm(NamedTuple):
    """One way to estimate the accuracy of a slice."""

    name: str
    estimate: Callable[[SourceScores, TargetScores], float]
    assumes: str
    """What has to stay the same between the labelled slices and this one."""
    source: str
    needs_classifier: bool = True
    needs_left_out: bool = False


def _constant(source: SourceScores, target: TargetScores) -> float:
    return source.accuracy


def _pcc(source: SourceScores, target: TargetScores) -> float:
    return float(target.p.mean())


def _atc(source: SourceScores, target: TargetScores) -> float:
    return thresholded_accuracy(target.score, fit_threshold(source.score, source.correct))


def _atc_classifier(source: SourceScores, target: TargetScores) -> float:
    return thresholded_accuracy(target.p, fit_threshold(source.p, source.correct, sign=1))


def _sequence(source: SourceScores, target: TargetScores) -> float:
    known = ~np.isnan(target.sequence)
    if not known.any():
        return source.accuracy
    return float(known.mean() * target.sequence[known].mean() + (1 - known.mean()) * source.accuracy)


def _combined(source: SourceScores, target: TargetScores) -> float:
    fitted = (1 - _ATC_SHARE) * _pcc(source, target) + _ATC_SHARE * _atc_classifier(source, target)
    share = source.sequence_weight
    return share * _sequence(source, target) + (1 - share) * fitted if share else fitted


def sequence_weight(sequence: Floats, p: Floats, correct: Floats, *, families: NDArray[Any]) -> float:
    r"""Weight of the model's own probability of its answers beside a classifier that labels fitted.

    .. math:: w = \frac{1}{1 + \exp(3 \sum_f \Delta_f)}, \quad
        \Delta_f = \frac{1}{n_f} \sum_{i \in f} \ell(y_i, q_i) - \ell(y_i, p_i)

    with :math:`\ell` the log loss of probabilities cut to [.01, .99]: the odds that three labels of each family would
    give. More labels of one family say no more about other families. Where the model's probability is no probability of
    being right (long reasoning, another prompt), :math:`\Delta` is large and w zero.

    Parameters
    ----------
    sequence
        Shape (n,), probability of the whole answer, :math:`e^{-\text{nll\_sum}}`; NaN where not known.
    p
        Shape (n,), probability of a correct answer under the classifier.
    correct
        Shape (n,), labels in [0, 1].
    families
        Shape (n,), family of each response.

    References
    ----------
    O'Hagan (1995), "Fractional Bayes Factors for Model Comparison", for evidence by a part of the data.

    Examples
    --------
    >>> right = np.array([1.0, 1.0, 0.0, 0.0])
    >>> round(sequence_weight(right, np.full(4, 0.5), right, families=np.array(["a", "a", "b", "b"])), 2)
    0.98
    """
    known = ~np.isnan(sequence)
    if not known.any():
        return 0.0
    gap = _log_loss(sequence[known], correct[known]) - _log_loss(p[known], correct[known])
    place = distinct(families[known])[1]
    evidence = _EVIDENCE * float((np.bincount(place, gap) / np.bincount(place)).sum())
    return float(1 / (1 + np.exp(min(evidence, 500.0))))


def _log_loss(p: Floats, correct: Floats) -> Floats:
    p = np.clip(p, 1 - _SUREST, _SUREST)
    return -(correct * np.log(p) + (1 - correct) * np.log1p(-p))


def _doc(source: SourceScores, target: TargetScores) -> float:
    slope = difference_slope(source.left_out, source.accuracy)
    mean = float(source.weights @ source.p) / len(source.p)
    return float(np.clip(source.accuracy + slope * (target.p.mean() - mean), 0, 1))


def _sld(source: SourceScores, target: TargetScores) -> float:
    return label_shift(target.p, source.accuracy)


def _pacc(source: SourceScores, target: TargetScores) -> float:
    return matched_moments(target.p, source.p, source.correct, weights=source.weights)


def _halfway(source: SourceScores, target: TargetScores) -> float:
    return (_pcc(source, target) + _sld(source, target)) / 2


def _weighted(source: SourceScores, target: TargetScores) -> float:
    return importance_weighted(target, source)


def _sloped(source: SourceScores, target: TargetScores) -> float:
    return scaled_logit(float(target.p.mean()), source.accuracy, LOGIT_SLOPE)


def _anchored(source: SourceScores, target: TargetScores) -> float:
    return scaled_logit(float(target.p.mean()), source.accuracy, anchored_slope(source.left_out, source.accuracy))


def _profile(source: SourceScores, target: TargetScores) -> float:
    return quantile_regression(target.p, source)


LABEL_FREE: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("constant", _constant, "the accuracy itself", "labelled slices", needs_classifier=False),
        Arm("pcc", _pcc, "P(correct | features)", "Gao et al.; the paper's estimator"),
        Arm("atc", _atc, "the rank of errors in one feature", "Garg et al. 2022", needs_classifier=False),
        Arm("atc_classifier", _atc_classifier, "the rank of errors in the classifier's score", "Garg et al. 2022"),
        Arm("doc", _doc, "a line from mean confidence to accuracy", "Guillory et al. 2021", needs_left_out=True),
        Arm("sld", _sld, "P(features | correct)", "Saerens, Latinne and Decaestecker 2002"),
        Arm("pacc", _pacc, "P(features | correct), by means", "Bella et al. 2010"),
        Arm("halfway", _halfway, "half of each: pcc and sld", "mean of the two"),
        Arm("weighted", _weighted, "P(correct | features), seen where the slice lies", "Bialek et al. 2024, M-CBPE"),
        Arm("sloped", _sloped, "a logit slope of 1.6 of accuracy on mean confidence", "a constant of a simulation"),
        Arm("anchored", _anchored, "the logit slope of left-out families", "ridge to 1.6", needs_left_out=True),
        Arm("profile", _profile, "accuracy as a function of score quantiles", "Fu et al. 2023"),
        Arm("sequence", _sequence, "the model's probability of its answer is that of being right", "no labels needed"),
        Arm("combined", _combined, "pcc, atc_classifier and sequence, as labels speak for them", "studies/arms.py"),
    )
}
"""The estimators by name; ``combined`` is the default."""
