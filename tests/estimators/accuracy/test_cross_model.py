import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.estimators import cross_model_accuracy
from nilometer.estimators.residuals import logit


def _additive(n_models=8, n_slices=10, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    score = (
        rng.normal(0, 0.8, (n_models, 1)) + rng.normal(0, 0.9, n_slices) + rng.normal(0, noise, (n_models, n_slices))
    )
    return np.clip((11 / (1 + np.exp(-score)) - 0.5) / 10, 0.001, 0.999)


def test_additive_accuracies_are_found_exactly_from_one_labelled_slice():
    accuracies = _additive()
    own = np.where(np.arange(10) == 3, accuracies[0], np.nan)
    assert cross_model_accuracy(own, accuracies[1:]).accuracy == pytest.approx(accuracies[0], abs=1e-6)


def test_one_other_model_by_hand():
    got = cross_model_accuracy(np.array([0.7, np.nan]), np.array([[0.9, 0.5]])).accuracy[1]
    assert logit(got) == pytest.approx(logit(0.7) + logit(0.5) - logit(0.9))


def test_few_models_give_no_interval():
    got = cross_model_accuracy(np.array([0.7, np.nan]), np.array([[0.9, 0.5], [0.8, 0.4]]))
    assert got.low is None
    assert got.high is None


@given(st.permutations(range(7)))
def test_order_of_the_other_models_does_not_matter(order):
    accuracies = _additive(noise=0.3)
    own = np.where(np.arange(10) < 2, accuracies[0], np.nan)
    one, other = (cross_model_accuracy(own, accuracies[1:][list(o)]) for o in (range(7), order))
    assert one.accuracy == pytest.approx(other.accuracy)
    assert one.low == pytest.approx(other.low)


def test_interval_covers_where_the_model_is_additive_with_noise():
    hits = []
    for seed in range(300):
        accuracies = _additive(n_models=9, noise=0.3, seed=seed)
        own = np.where(np.arange(10) < 3, accuracies[0], np.nan)
        got = cross_model_accuracy(own, accuracies[1:], confidence_level=0.9)
        hits.append(got.low[5] <= accuracies[0, 5] <= got.high[5])
    # binomial standard error of .9 in 300 trials is .017
    assert 0.85 <= np.mean(hits) <= 0.95


def test_missing_labels_of_other_models_are_left_out():
    accuracies = _additive()
    others = accuracies[1:].copy()
    others[0, 5] = np.nan
    own = np.where(np.arange(10) < 2, accuracies[0], np.nan)
    assert cross_model_accuracy(own, others).accuracy == pytest.approx(accuracies[0], abs=1e-6)


def test_nothing_labelled_a_wrong_shape_and_an_unknown_slice_are_refused():
    with pytest.raises(ValueError, match="`own` must hold the accuracy of at least one slice"):
        cross_model_accuracy(np.array([np.nan]), np.array([[0.5]]))
    with pytest.raises(ValueError, match=r"`others` must have shape \(models, 2\)"):
        cross_model_accuracy(np.array([0.5, np.nan]), np.array([[0.5]]))
    with pytest.raises(ValueError, match="every slice must have another model"):
        cross_model_accuracy(np.array([0.5, np.nan]), np.array([[0.5, np.nan]]))
