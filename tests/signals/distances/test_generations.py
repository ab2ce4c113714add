"""Several outputs per model."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.signals import distance_sums, generation_sums


def brute(x, exclude=()):
    """Mean over all pairs of generations, summed over the other models."""
    n, m, g, _ = x.shape
    sums = np.zeros((n, m))
    for row in range(n):
        for i in range(m):
            for j in range(m):
                if i == j or (min(i, j), max(i, j)) in exclude:
                    continue
                gaps = [
                    np.sum((x[row, i, a] - x[row, j, b]) ** 2)
                    for a in range(g)
                    for b in range(g)
                    if not np.isnan(x[row, [i, j], [a, b]]).any()
                ]
                sums[row, i] += np.mean(gaps) if gaps else 0.0
    return sums


@given(st.integers(0, 10_000))
def test_sums_equal_the_mean_over_all_pairs_of_generations_with_gaps(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, 4, 3, 2))
    x[rng.random(x.shape[:3]) < 0.3] = np.nan
    found = generation_sums(x, exclude=[(2, 1)])
    np.testing.assert_allclose(found.sums, brute(x, {(1, 2)}), atol=1e-12)
    assert (found.present == ~np.isnan(x[..., 0]).all(axis=2)).all()


def test_one_generation_is_the_plain_case():
    x = np.random.default_rng(0).normal(size=(5, 4, 3))
    np.testing.assert_allclose(generation_sums(x[:, :, None]).sums, distance_sums(x).sums)


def test_all_pairs_vary_less_than_matched_pairs():
    x = np.random.default_rng(0).normal(size=(4000, 3, 4, 2))
    matched = np.mean([distance_sums(x[:, :, g]).sums for g in range(4)], axis=0)
    every = generation_sums(x).sums
    assert every[:, 0].var() < 0.7 * matched[:, 0].var()
    assert every.mean() == pytest.approx(matched.mean(), rel=0.02)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must have shape \(prompts, models, generations, dim\), got \(2, 3, 4\)"):
        generation_sums(np.zeros((2, 3, 4)))
