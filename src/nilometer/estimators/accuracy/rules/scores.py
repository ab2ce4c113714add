"""The scores that label-free estimators read: of the labelled responses, and of the slice to estimate."""

from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats, Ints

from .threshold import Threshold, fit_threshold

__all__ = ["Learned", "ScoreSums", "SourceScores", "TargetScores", "learn", "score_columns"]


_NO_THRESHOLD = Threshold(np.inf, 1, 0.0)


class SourceScores(NamedTuple):
    """What is known of the labelled responses."""

    p: Floats
    """Shape (n,), probability of a correct answer under the classifier."""
    score: Floats
    """Shape (n,), the single feature of ``atc``."""
    correct: Floats
    """Shape (n,), labels in [0, 1]."""
    weights: Floats
    """Shape (n,), equal sums for all families, n in total."""
    accuracy: float
    """Weighted share of correct answers."""
    slices: Ints
    """Shape (n,), number of the slice of each response."""
    X: Floats
    """Shape (n, features), what the classifier sees."""
    left_out: Floats = np.empty((0, 2))
    """Shape (pairs, 2): mean p of a slice by a classifier that never saw its family, and its accuracy."""
    sequence_weight: float = 0.0
    """Weight of ``TargetScores.sequence`` in ``combined``; see ``sequence_weight``."""


class TargetScores(NamedTuple):
    """Scores of the unlabelled slice to estimate; same columns as `SourceScores`."""

    p: Floats
    score: Floats
    X: Floats
    sequence: Floats = np.empty(0)
    """Shape (n,), probability that the model itself gave its answer, NaN where not known."""


class Learned(NamedTuple):
    """What the estimators that read sums remember of the labelled responses."""

    accuracy: float
    """Share of correct answers, families weighted equally."""
    mean_p: float
    """Mean probability of a correct answer, families weighted equally."""
    threshold: Threshold | None
    """Of the single feature of ``atc``; None where it is not known of every response."""
    p_threshold: Threshold
    """Of the probability of a correct answer."""
    left_out: Floats
    sequence_weight: float
    atc_share: float = 0.2
    """Weight of the thresholded probability in ``combined``: one part in five, as compared in studies/arms.py."""


def learn(source: SourceScores) -> Learned:
    """Keep of the labelled responses what the estimators that read sums need."""
    return Learned(
        source.accuracy,
        float(source.weights @ source.p) / len(source.p),
        None if np.isnan(source.score).any() else fit_threshold(source.score, source.correct, weights=source.weights),
        fit_threshold(source.p, source.correct, sign=1, weights=source.weights),
        source.left_out,
        source.sequence_weight,
    )


class ScoreSums(NamedTuple):
    """Sums of scores over the responses of a slice: all that the additive estimators read of it."""

    n: float
    p: float = 0.0
    """Of the probabilities of a correct answer."""
    p_above: float = 0.0
    """Number of probabilities above the threshold."""
    p_tied: float = 0.0
    """Number of probabilities equal to the threshold."""
    score_above: float = 0.0
    """Number of scores on the correct side of the threshold of ``atc``."""
    score_tied: float = 0.0
    sequence: float = 0.0
    """Of the known probabilities that the model itself gave its answers."""
    n_sequence: float = 0.0
    """Number of those."""


def score_columns(learned: Learned, target: TargetScores) -> dict[str, Floats]:
    """What each response adds to the fields of ``ScoreSums``, each of shape (n,)."""
    sequence = target.sequence if target.sequence.size else np.full(len(target.p), np.nan)
    known = ~np.isnan(sequence)
    threshold = learned.threshold or _NO_THRESHOLD
    signed = threshold.sign * target.score
    columns = {
        "n": np.ones(len(target.p)),
        "p": target.p,
        "p_above": target.p > learned.p_threshold.value,
        "p_tied": target.p == learned.p_threshold.value,
        "score_above": signed > threshold.value,
        "score_tied": signed == threshold.value,
        "sequence": np.where(known, sequence, 0.0),
        "n_sequence": known,
    }
    return {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}
