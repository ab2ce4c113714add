"""The accuracy of all traffic."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from nilometer.decisions import overall_accuracy
from nilometer.estimators import Estimate, NotEnoughData, SliceEstimates, as_responses, stratified_mean


def _estimate(name, accuracy, half, n=100):
    low, high = accuracy - half, accuracy + half
    return Estimate(slice=name, n=n, accuracy=accuracy, low=low, high=high, confidence_level=0.95, method="m")


def _overall(rows, names, correct):
    return overall_accuracy(rows, as_responses(pa.table({"max": np.ones(len(names))}), names, correct=correct))


def _none(n):
    return np.full(n, np.nan)


def test_without_labels_accuracies_and_ends_are_weighted_by_traffic():
    names = np.repeat(["a", "b"], [300, 100])
    rows = SliceEstimates([_estimate("a", 0.8, 0.1), _estimate("b", 0.4, 0.2)])
    found = _overall(rows, names, _none(400))
    assert found.accuracy == pytest.approx(0.75 * 0.8 + 0.25 * 0.4)
    assert found.low == pytest.approx(0.75 * 0.7 + 0.25 * 0.2)
    assert found.high == pytest.approx(0.75 * 0.9 + 0.25 * 0.6)


def test_labels_of_every_slice_give_the_stratified_mean():
    rng = np.random.default_rng(0)
    names = np.repeat(["a", "b"], [300, 100])
    correct = np.where(rng.random(400) < 0.3, rng.random(400) < 0.6, np.nan)
    found = _overall(SliceEstimates([]), names, correct)
    wanted = stratified_mean(correct, names)
    assert (found.accuracy, found.low, found.high) == (wanted.accuracy, wanted.low, wanted.high)
    assert found.n_labels == int((~np.isnan(correct)).sum())


def test_all_labels_give_the_accuracy_itself():
    correct = np.tile([1.0, 0.0, 1.0, 1.0], 50)
    found = _overall(SliceEstimates([]), np.repeat(["a", "b"], 100), correct)
    assert found.accuracy == found.low == found.high == 0.75


def test_a_slice_of_which_nothing_is_known_widens_the_interval_by_its_share():
    names = np.repeat(["a", "b"], [300, 100])
    few = NotEnoughData(slice="b", n=100, reason="Few.", needed="More.")
    found = _overall(SliceEstimates([_estimate("a", 0.8, 0.1), few]), names, _none(400))
    assert found.accuracy == pytest.approx(0.8)
    assert found.high - found.low == pytest.approx(0.75 * 0.2 + 0.25)


def test_an_accuracy_of_all_traffic_is_given_wherever_a_slice_is_known():
    names = np.repeat(["a", "b"], [100, 300])
    found = _overall(SliceEstimates([_estimate("a", 0.8, 0.1)]), names, _none(400))
    assert (found.low, found.accuracy, found.high) == pytest.approx((0.25 * 0.7, 0.8, 0.25 * 0.9 + 0.75))
    none = _overall(SliceEstimates([]), names, _none(400))
    assert isinstance(none, NotEnoughData)
    assert none.reason == "Nothing is known of any slice."


def test_the_interval_holds_the_accuracy_as_often_as_it_says_with_labels_at_random():
    rng = np.random.default_rng(1)
    accuracies, names = np.array([0.9, 0.6, 0.2]), np.repeat(["a", "b", "c"], [600, 300, 100])
    hits = 0
    for _ in range(300):
        truth = (rng.random(1000) < accuracies[np.unique(names, return_inverse=True)[1]]).astype(float)
        shown = np.concatenate([rng.permutation(size) < size // 10 for size in (600, 300, 100)])
        found = _overall(SliceEstimates([]), names, np.where(shown, truth, np.nan))
        hits += found.low <= truth.mean() <= found.high
    assert hits >= binom.ppf(0.001, 300, 0.95)
