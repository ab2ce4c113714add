"""Sums of scores: parts in any order are the whole."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import ttest_ind

from nilometer.estimators import MeanSums, compare_means, mean_change

SCORES = st.lists(st.floats(-5, 5) | st.just(float("nan")), max_size=30)


@given(SCORES, st.lists(st.integers(0, 3), min_size=30, max_size=30), st.permutations(range(4)))
def test_parts_in_any_order_sum_up_to_the_whole(scores, places, order):
    scores, places = np.array(scores, dtype=float), np.array(places[: len(scores)], dtype=int)
    parts = [MeanSums.of(scores[places == part]) for part in order]
    added, whole = sum(parts, MeanSums.zero()), MeanSums.of(scores)
    assert added.n == whole.n
    assert added.mean == pytest.approx(whole.mean, abs=1e-12)
    assert added.scatter == pytest.approx(whole.scatter, rel=1e-12, abs=1e-12)


def test_a_change_from_sums_of_hours_is_the_change_of_all_scores_and_welch():
    rng = np.random.default_rng(0)
    one, other = rng.normal(1e3, 1e-3, 300), rng.normal(1e3 + 1e-4, 2e-3, 200)
    before = sum((MeanSums.of(hour) for hour in np.split(one, 6)), MeanSums.zero())
    after = sum((MeanSums.of(hour) for hour in np.split(other, 4)[::-1]), MeanSums.zero())
    found, whole = compare_means(before.finish(), after.finish()), mean_change(one, other)
    assert tuple(found) == pytest.approx(tuple(whole), rel=1e-6)
    assert found.p_value == pytest.approx(ttest_ind(one, other, equal_var=False).pvalue, rel=1e-6)


def test_one_score_has_no_error_to_compare():
    assert MeanSums.of(np.array([0.5, np.nan])).finish() is None
    assert compare_means(MeanSums.zero().finish(), MeanSums.of(np.arange(3.0)).finish()) is None
