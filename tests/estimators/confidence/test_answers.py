"""Correctness of single answers from agreement, model and confidence."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import fit_answer_scorer
from nilometer.signals import DistanceSums


def draw(seed, n=600):
    """Wrong answers lie apart by chance, and confidence sees the truth through noise."""
    rng = np.random.default_rng(seed)
    right = rng.random((n, 3)) < (0.8, 0.6, 0.4)
    sums = DistanceSums(rng.normal(2.0, 1.0, (n, 3)) - right, np.ones((n, 3), dtype=bool))
    confidence = 1 / (1 + np.exp(-(2.0 * right - 1.0 + rng.normal(size=(n, 3)))))
    return right, sums, confidence, np.where(np.arange(n)[:, None] < 100, right, np.nan)


def rank(p, right):
    return roc_auc_score(right[100:].ravel(), p[100:].ravel())


def test_confidence_and_agreement_together_rank_better_than_either():
    right, sums, confidence, labels = draw(0)
    both = fit_answer_scorer(sums, labels, confidence=confidence).p_correct(sums, confidence=confidence)
    alone = fit_answer_scorer(sums, labels).p_correct(sums)
    assert rank(both, right) > max(rank(alone, right), rank(confidence, right)) + 0.01
    assert rank(alone, right) > 0.7


def test_the_model_counts_where_answers_look_alike():
    right, sums, _, labels = draw(1)
    same = DistanceSums(np.ones_like(sums.sums), sums.present)
    p = fit_answer_scorer(same, labels).p_correct(same)[0]
    assert p[0] > p[1] > p[2]
    assert p[0] == pytest.approx(right[:100, 0].mean(), abs=0.08)


def test_no_answer_has_no_probability_and_unknown_confidence_counts_as_usual():
    _, sums, confidence, labels = draw(2)
    present = sums.present.copy()
    present[0, 1] = False
    confidence[1, 0] = np.nan
    gaps = DistanceSums(sums.sums, present)
    p = fit_answer_scorer(gaps, labels, confidence=confidence).p_correct(gaps, confidence=confidence)
    assert np.isnan(p[0, 1])
    assert np.isfinite(p[1, 0])


def test_labels_of_one_kind_and_other_shapes_are_refused():
    _, sums, confidence, labels = draw(3)
    with pytest.raises(NotEnoughDataError, match="all of one kind"):
        fit_answer_scorer(sums, np.where(np.isnan(labels), np.nan, 1.0))
    with pytest.raises(ValueError, match=r"`correct` must be \(600, 3\)"):
        fit_answer_scorer(sums, labels[:5])
    with pytest.raises(ValueError, match="`confidence` must be given here exactly if"):
        fit_answer_scorer(sums, labels).p_correct(sums, confidence=confidence)
    with pytest.raises(ValueError, match=r"`confidence` must be \(600, 3\)"):
        fit_answer_scorer(sums, labels, confidence=confidence[:2])
