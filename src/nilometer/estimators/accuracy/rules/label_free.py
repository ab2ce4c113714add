"""One table of label-free estimators of the accuracy of a slice, with one interface."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats, Ints

from .scores import Learned, ScoreSums, SourceScores, TargetScores, learn, score_columns
from .shifted import importance_weighted, label_shift, matched_moments, quantile_regression
from .slope import LOGIT_SLOPE, anchored_slope, difference_slope, scaled_logit

__all__ = ["LABEL_FREE", "Arm", "combined_rows", "family_evidence", "sequence_evidence", "sequence_weight", "sums_of"]


_EVIDENCE = 3.0
"""Labels of each family that count as evidence; more of one family say no more about other families."""
_SUREST = 0.99
"""Probabilities are cut to [0.01, 0.99], so that one sure and wrong answer does not decide the weight alone."""


class Arm(NamedTuple):
    """One way to estimate the accuracy of a slice, from sums over its responses or from the responses themselves."""

    name: str
    of_sums: Callable[[Learned, ScoreSums], float] | None = None
    of_rows: Callable[[SourceScores, TargetScores], float] | None = None
    reads: tuple[str, ...] = ()
    """Fields of ``ScoreSums`` beside ``n`` that ``of_sums`` reads."""
    needs_left_out: bool = False

    def estimate(self, source: SourceScores, target: TargetScores) -> float:
        """Estimate the accuracy of the target, in [0, 1]."""
        if self.of_rows is not None:
            return self.of_rows(source, target)
        assert self.of_sums is not None
        learned = learn(source)
        return self.of_sums(learned, sums_of(learned, target))


def sums_of(learned: Learned, target: TargetScores) -> ScoreSums:
    """Sum the scores of a slice."""
    return ScoreSums(**{name: float(column.sum()) for name, column in score_columns(learned, target).items()})


def _constant(learned: Learned, sums: ScoreSums) -> float:
    """Assumes that slices do not differ."""
    return learned.accuracy


def _pcc(learned: Learned, sums: ScoreSums) -> float:
    """Assumes the same P(correct | features); the paper's estimator (Memoli Buffa and Del Corro 2026)."""
    return sums.p / sums.n


def _atc(learned: Learned, sums: ScoreSums) -> float:
    """Assumes that one feature ranks errors alike (Garg et al. 2022)."""
    assert learned.threshold is not None, "atc knows its feature of every response that it reads"
    return (sums.score_above + learned.threshold.tie_share * sums.score_tied) / sums.n


def _atc_classifier(learned: Learned, sums: ScoreSums) -> float:
    """Assumes that the probability of the classifier ranks errors alike (Garg et al. 2022)."""
    return (sums.p_above + learned.p_threshold.tie_share * sums.p_tied) / sums.n


def _sequence(learned: Learned, sums: ScoreSums) -> float:
    """Assumes that the model's probability of its answer is that of being right; needs no labels."""
    return (sums.sequence + (sums.n - sums.n_sequence) * learned.accuracy) / sums.n


def _combined(learned: Learned, sums: ScoreSums) -> float:
    """Mixes pcc, atc_classifier and sequence as far as labels support them (studies/arms.py)."""
    fitted = (1 - learned.atc_share) * _pcc(learned, sums) + learned.atc_share * _atc_classifier(learned, sums)
    share = learned.sequence_weight
    return share * _sequence(learned, sums) + (1 - share) * fitted if share else fitted


def combined_rows(learned: Learned, target: TargetScores) -> Floats:
    """What each response adds to the mean that ``combined`` is, shape (n,)."""
    columns = score_columns(learned, target)
    above = columns["p_above"] + learned.p_threshold.tie_share * columns["p_tied"]
    fitted = (1 - learned.atc_share) * columns["p"] + learned.atc_share * above
    sequence = columns["sequence"] + (1 - columns["n_sequence"]) * learned.accuracy
    share = learned.sequence_weight
    return np.asarray(share * sequence + (1 - share) * fitted)


def sequence_evidence(sequence: Floats, p: Floats, correct: Floats) -> float | None:
    r"""How much worse the model's own probability of its answers fits the labels of one family than a classifier does.

    .. math:: \Delta_f = \frac{1}{n_f} \sum_{i \in f} \ell(y_i, q_i) - \ell(y_i, p_i)

    with :math:`\ell` the log loss of probabilities cut to [0.01, 0.99], in nats; below 0 the model's own probability is
    the better one. To be fair the classifier must not have seen the labels of the family. None where nothing is known.

    Parameters
    ----------
    sequence
        Shape (n,), probability of the whole answer, :math:`e^{-\text{nll\_sum}}`; NaN where not known.
    p
        Shape (n,), probability of a correct answer under the classifier.
    correct
        Shape (n,), labels in [0, 1].

    Examples
    --------
    >>> right = np.array([1.0, 0.0])
    >>> round(sequence_evidence(right, np.full(2, 0.5), right), 3)
    -0.683
    """
    found = family_evidence(sequence, p, correct, families=np.zeros(len(p), dtype=np.int64))
    return float(found[0]) if found.size else None


def family_evidence(sequence: Floats, p: Floats, correct: Floats, *, families: Ints) -> Floats:
    """Return :func:`sequence_evidence` of every family that has a known probability; ``families`` has shape (n,)."""
    known = ~np.isnan(sequence)
    if not known.any():
        return np.empty(0)
    worse = _log_loss(sequence[known], correct[known]) - _log_loss(p[known], correct[known])
    counts = np.bincount(families[known])
    return np.asarray(np.bincount(families[known], worse)[counts > 0] / counts[counts > 0])


def sequence_weight(evidence: Iterable[float | None]) -> float:
    r"""Weight of the model's own probability of its answers beside a classifier that labels fitted.

    .. math:: w = \frac{1}{1 + \exp(3 \sum_f \Delta_f)}

    the odds that three labels of each family would give. More labels of one family say no more about other families.
    Where the model's probability is no probability of being right (long reasoning, another prompt), the sum is large
    and w zero; so it is where nothing is known of any family.

    Parameters
    ----------
    evidence
        :func:`sequence_evidence` of every labelled family.

    References
    ----------
    O'Hagan (1995), "Fractional Bayes Factors for Model Comparison", for evidence by a part of the data.

    Examples
    --------
    >>> sequence_weight([0.0]), round(sequence_weight([-0.683, -0.683]), 2), sequence_weight([None])
    (0.5, 0.98, 0.0)
    """
    given = [one for one in evidence if one is not None]
    return float(1 / (1 + np.exp(np.clip(_EVIDENCE * sum(given), -500.0, 500.0)))) if given else 0.0


def _log_loss(p: Floats, correct: Floats) -> Floats:
    p = np.clip(p, 1 - _SUREST, _SUREST)
    return -(correct * np.log(p) + (1 - correct) * np.log1p(-p))


def _doc(learned: Learned, sums: ScoreSums) -> float:
    """Assumes a line from mean confidence to accuracy (Guillory et al. 2021)."""
    slope = difference_slope(learned.left_out, learned.accuracy)
    return float(np.clip(learned.accuracy + slope * (sums.p / sums.n - learned.mean_p), 0, 1))


def _sloped(learned: Learned, sums: ScoreSums) -> float:
    """Assumes a logit slope of 1.6 of accuracy on mean confidence, from a simulation."""
    return scaled_logit(sums.p / sums.n, learned.accuracy, LOGIT_SLOPE)


def _anchored(learned: Learned, sums: ScoreSums) -> float:
    """Assumes the logit slope of left-out families, shrunk towards 1.6."""
    return scaled_logit(sums.p / sums.n, learned.accuracy, anchored_slope(learned.left_out, learned.accuracy))


def _sld(source: SourceScores, target: TargetScores) -> float:
    """Assumes the same P(features | correct) (Saerens, Latinne and Decaestecker 2002)."""
    return label_shift(target.p, source.accuracy)


def _pacc(source: SourceScores, target: TargetScores) -> float:
    """Assumes the same P(features | correct), by means (Bella et al. 2010)."""
    return matched_moments(target.p, source.p, source.correct, weights=source.weights)


def _halfway(source: SourceScores, target: TargetScores) -> float:
    """Half of each: pcc and sld."""
    return (float(target.p.mean()) + _sld(source, target)) / 2


def _weighted(source: SourceScores, target: TargetScores) -> float:
    """Assumes P(correct | features) as it is where the slice lies (Białek et al. 2024, M-CBPE)."""
    return importance_weighted(target, source)


def _profile(source: SourceScores, target: TargetScores) -> float:
    """Assumes that accuracy is a function of score quantiles (Fu et al. 2023)."""
    return quantile_regression(target.p, source)


_SCORE, _P, _SEQUENCE = ("score_above", "score_tied"), ("p_above", "p_tied"), ("sequence", "n_sequence")
LABEL_FREE: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("constant", _constant),
        Arm("pcc", _pcc, reads=("p",)),
        Arm("atc", _atc, reads=_SCORE),
        Arm("atc_classifier", _atc_classifier, reads=_P),
        Arm("doc", _doc, reads=("p",), needs_left_out=True),
        Arm("sld", of_rows=_sld),
        Arm("pacc", of_rows=_pacc),
        Arm("halfway", of_rows=_halfway),
        Arm("weighted", of_rows=_weighted),
        Arm("sloped", _sloped, reads=("p",)),
        Arm("anchored", _anchored, reads=("p",), needs_left_out=True),
        Arm("profile", of_rows=_profile),
        Arm("sequence", _sequence, reads=_SEQUENCE),
        Arm("combined", _combined, reads=("p", *_P, *_SEQUENCE)),
    )
}
"""The estimators by name; ``combined`` is the default. Those of sums can follow a stream, see ``Sentinel.sum_up``."""
