"""Distances between outputs."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.signals import answer_embeddings, distance_sums
from nilometer.signals.distances.embeddings import pair_distances


def brute_sums(x, weights=None, exclude=()):
    n, m, _ = x.shape
    w = np.ones(m) if weights is None else np.asarray(weights)
    sums = np.zeros((n, m))
    for row in range(n):
        for i in range(m):
            for j in range(m):
                gone = np.isnan(x[row, [i, j]]).any() or (min(i, j), max(i, j)) in exclude
                sums[row, i] += 0.0 if gone else w[j] * np.sum((x[row, i] - x[row, j]) ** 2)
    return sums


def outputs(seed, n=7, m=5, d=3):
    return np.random.default_rng(seed).normal(size=(n, m, d))


def test_three_points_on_a_line_by_hand():
    np.testing.assert_allclose(distance_sums([[[0.0], [1.0], [3.0]]]).sums, [[10.0, 5.0, 13.0]])


@given(st.integers(0, 10_000))
def test_sums_equal_the_visit_of_every_pair_with_gaps_weights_and_masks(seed):
    rng = np.random.default_rng(seed)
    x = outputs(seed)
    x[rng.random(x.shape[:2]) < 0.3] = np.nan
    weights = rng.random(5)
    result = distance_sums(x, weights=weights, exclude=[(2, 0), (1, 4)])
    np.testing.assert_allclose(result.sums, brute_sums(x, weights, {(0, 2), (1, 4)}), atol=1e-12)
    assert (result.present == ~np.isnan(x[:, :, 0])).all()


def test_identical_outputs_far_from_the_origin_have_distance_exactly_zero():
    assert (distance_sums(np.full((2, 4, 3), 1e8 + 0.1)).sums == 0).all()


def test_float32_input_differs_from_float64_by_its_own_rounding_only():
    x = outputs(0, n=50, d=384)
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    gap = distance_sums(x.astype(np.float32)).sums - distance_sums(x).sums
    assert np.abs(gap).max() < 1e-6


def test_zero_vectors_are_missing_only_when_asked():
    x = [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]
    assert distance_sums(x).present.all()
    assert distance_sums(x, zero_is_missing=True).present.tolist() == [[False, True, True]]
    assert distance_sums(x, zero_is_missing=True).sums.tolist() == [[0.0, 2.0, 2.0]]


def test_pair_means_equal_brute_force():
    x = outputs(3)
    x[0, 1] = np.nan
    expected = np.nanmean(np.sum((x[:, :, None] - x[:, None, :]) ** 2, axis=3), axis=0)
    np.testing.assert_allclose(pair_distances(x).means, expected, atol=1e-12)


def test_pair_residuals_sum_to_zero_per_model_and_have_the_standard_error_of_a_mean():
    x = outputs(4, n=30)
    result = pair_distances(x)
    np.testing.assert_allclose(result.residuals.sum(axis=1), 0, atol=1e-12)
    single = np.array([pair_distances(row[None]).residuals[0, 1] for row in x])
    assert result.residual_standard_errors[0, 1] == pytest.approx(single.std(ddof=1) / np.sqrt(30))


def test_answers_have_distance_zero_or_one():
    sums, present = distance_sums(answer_embeddings([["7", "7", "8", None, ""]]))
    np.testing.assert_allclose(sums, [[1, 1, 2, 0, 0]], atol=1e-12)
    assert present.tolist() == [[True, True, True, False, False]]


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.zeros((2, 3)), r"`embeddings` must have shape \(prompts, models, dim\), got \(2, 3\)"),
        ([[[1.0], [1.0, 2.0]]], "`embeddings` must all have the same length"),
        ([[["a"], ["b"], ["c"]]], "`embeddings` must hold real numbers"),
        (np.zeros((2, 3, 0)), "at least one dimension"),
        ([[[1.0, np.nan], [1.0, 2.0]]], "row 0 of model 0 is neither"),
        ([[[1.0, 2.0], [1.0, np.inf]]], "row 0 of model 1 is neither"),
    ],
)
def test_unusable_embeddings_are_refused(x, text):
    with pytest.raises(ValueError, match=text):
        distance_sums(x)


def test_unusable_weights_pairs_and_answers_are_refused():
    x = np.zeros((1, 3, 2))
    with pytest.raises(ValueError, match="`weights` must be 3 finite numbers >= 0"):
        distance_sums(x, weights=[1, 1, -1])
    with pytest.raises(ValueError, match=r"`exclude` must name two models of 0..2, got \(1, 3\)"):
        distance_sums(x, exclude=[(3, 1)])
    with pytest.raises(ValueError, match="`answers` must have 2 entries per row, got 1 in row 1"):
        answer_embeddings([["a", "b"], ["a"]])


def test_weights_may_differ_per_prompt():
    x = outputs(3, n=4)
    weights = np.random.default_rng(0).random((4, 5))
    expected = np.concatenate([brute_sums(x[i : i + 1], weights[i]) for i in range(4)])
    np.testing.assert_allclose(distance_sums(x, weights=weights).sums, expected)


@given(st.integers(0, 10_000), st.sampled_from([np.float32, np.float16]))
def test_rounding_of_unit_vectors_stays_within_the_stated_bound(seed, dtype):
    x = outputs(seed, n=20, d=16)
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    unit = 2.0**-24 if dtype is np.float32 else 2.0**-11
    gap = distance_sums(x.astype(dtype)).sums - distance_sums(x).sums
    assert np.abs(gap).max() <= 4 * (8 * unit + 4 * unit**2)
