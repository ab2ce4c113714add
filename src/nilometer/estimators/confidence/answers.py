"""Probability that each model's answer to each prompt is right, from agreement, confidence and a few labels."""

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from nilometer.arrays import ArrayLike, Floats
from nilometer.errors import NotEnoughDataError
from nilometer.signals import DistanceSums

__all__ = ["AnswerScorer", "fit_answer_scorer"]

_CLIP = 1e-3


class AnswerScorer(NamedTuple):
    """Logistic regression on how near an answer is to the others, on the model, and on its confidence."""

    classifier: LogisticRegression
    centre: Floats
    scale: Floats
    has_confidence: bool

    def p_correct(self, distances: DistanceSums, *, confidence: ArrayLike | None = None) -> Floats:
        """(prompts, models) probability of a right answer; NaN where there is none.

        Parameters
        ----------
        distances
            As in `fit_answer_scorer`, of any prompts.
        confidence
            As there; needed exactly if it was given there.
        """
        if (confidence is not None) != self.has_confidence:
            raise ValueError("`confidence` must be given here exactly if it was given to `fit_answer_scorer`.")
        features = (_features(distances, confidence) - self.centre) / self.scale
        n, m = distances.present.shape
        p = self.classifier.predict_proba(_with_models(features, m))[:, 1].reshape(n, m)
        return np.where(distances.present, p, np.nan)


def fit_answer_scorer(
    distances: DistanceSums, correct: ArrayLike, *, confidence: ArrayLike | None = None, penalty: float = 1.0
) -> AnswerScorer:
    """Learn from labelled answers how agreement and confidence speak for an answer.

    Features: mean distance of the answer to the other models' answers, mean distance among all of them (a
    hard prompt), which model gave it, and the log-odds of ``confidence``. One slope for all models, so that
    some tens of labels are enough.

    Parameters
    ----------
    distances
        From `nilometer.signals.distance_sums` with every model compared.
    correct
        (prompts, models); NaN where not labelled, right from 0.5.
    confidence
        (prompts, models) probability of a right answer from log-probabilities, such as
        `Sentinel.predict_proba`; NaN where unknown, which counts as the model's mean.
    penalty
        Inverse strength of the ridge on the standardised features.

    Raises
    ------
    NotEnoughDataError
        If the labels are all right or all wrong.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> right = rng.random((200, 4)) < 0.6
    >>> far = np.where(right, 1.0, 3.0) + rng.random((200, 4))  # wrong answers lie apart
    >>> sums = DistanceSums(far, np.ones_like(right))
    >>> scorer = fit_answer_scorer(sums, np.where(np.arange(200)[:, None] < 30, right, np.nan))
    >>> bool(((scorer.p_correct(sums) > 0.5) == right).mean() > 0.95)
    True
    """
    y = np.asarray(correct, dtype=np.float64)
    n, m = distances.present.shape
    if y.shape != (n, m):
        raise ValueError(f"`correct` must be ({n}, {m}), got {y.shape}.")
    features = _features(distances, confidence)
    known = (~np.isnan(y) & distances.present).ravel()
    classes = (y.ravel()[known] >= 0.5).astype(np.int64)
    if classes.size == 0 or classes.min() == classes.max():
        raise NotEnoughDataError(f"The {classes.size} labels are all of one kind.", "Label right and wrong answers.")
    centre = features[known].mean(axis=0)
    spread = features[known].std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    X = _with_models((features - centre) / scale, m)
    classifier = LogisticRegression(C=penalty, max_iter=1000).fit(X[known], classes)
    return AnswerScorer(classifier, centre, scale, confidence is not None)


def _features(distances: DistanceSums, confidence: ArrayLike | None) -> Floats:
    """(prompts · models, features), a row per answer."""
    sums, present = distances
    partners = np.maximum(present.sum(axis=1, keepdims=True) - 1.0, 1.0)
    own = sums / partners
    among = np.broadcast_to(
        own.sum(axis=1, keepdims=True) / np.maximum(present.sum(axis=1, keepdims=True), 1), own.shape
    )
    columns = [own.ravel(), among.ravel()]
    if confidence is not None:
        p = np.asarray(confidence, dtype=np.float64)
        if p.shape != sums.shape:
            raise ValueError(f"`confidence` must be {sums.shape}, got {p.shape}.")
        p = np.clip(p, _CLIP, 1.0 - _CLIP)
        odds = np.log(p) - np.log1p(-p)
        known = ~np.isnan(odds)
        means = np.where(known, odds, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        columns.append(np.where(known, odds, means).ravel())
    return np.stack(columns, axis=1)


def _with_models(features: Floats, n_models: int) -> Floats:
    models = np.tile(np.eye(n_models), (len(features) // n_models, 1))
    return np.hstack([features, models])
