import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import ks_2samp, ttest_ind, wasserstein_distance

from nilometer.estimators import decompose_change, holm, mean_change, permuted_mean_change, score_drift

NAMES = np.array(["a", "b", "c", "d"])


@given(st.integers(0, 10_000))
def test_mix_and_within_add_up_to_the_change(seed):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(4), 2)
    shares[0, 0] = shares[1, 1] = 0  # one slice came, one went
    shares /= shares.sum(axis=1, keepdims=True)
    accuracies = np.where(shares > 0, rng.random((2, 4)), np.nan)
    found = decompose_change(tuple(shares), tuple(accuracies), names=NAMES)
    total = np.nansum(shares[1] * accuracies[1]) - np.nansum(shares[0] * accuracies[0])
    assert found.after - found.before == pytest.approx(total)
    assert found.mix + found.within == pytest.approx(total)
    assert sum(row.mix + row.within for row in found.slices) == pytest.approx(total)
    assert found.slices[0].within == found.slices[1].within == 0
    assert found.slices[0].accuracy_before is None


def test_only_mix_and_only_within():
    even, accuracies = np.full(4, 0.25), np.array([0.9, 0.7, 0.5, 0.3])
    mixed = decompose_change((even, np.array([0.1, 0.2, 0.3, 0.4])), (accuracies, accuracies), names=NAMES)
    fallen = decompose_change((even, even), (accuracies, accuracies - 0.1), names=NAMES)
    assert (mixed.within, round(mixed.mix, 10)) == (0, -0.1)
    assert (fallen.mix, round(fallen.within, 10)) == (0, -0.1)


def test_shares_and_accuracies_are_checked():
    half = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match="`shares` must sum to 1, got"):
        decompose_change((half, half / 2), (half, half), names=NAMES[:2])
    with pytest.raises(ValueError, match="`accuracies` must be known"):
        decompose_change((half, half), (half, np.array([0.5, np.nan])), names=NAMES[:2])


def test_change_of_the_mean_is_welchs_t():
    rng = np.random.default_rng(0)
    before, after = rng.random(40), rng.random(25) ** 2
    expected = ttest_ind(after, before, equal_var=False)
    assert mean_change(before, after).p_value == pytest.approx(expected.pvalue)


def test_copies_of_a_prompt_do_not_make_a_change_surer():
    rng = np.random.default_rng(1)
    before, after = rng.random(40), rng.random(25) * 0.8
    once = mean_change(before, after)
    copies = mean_change(
        np.repeat(before, 3),
        np.repeat(after, 3),
        reference_clusters=np.repeat(np.arange(40), 3),
        clusters=np.repeat(np.arange(25), 3),
    )
    assert copies == pytest.approx(once)


def _shuffled(before, after, *, n_permutations=4000, seed=0, sizes=(1, 1)):
    sides = [np.repeat(np.arange(len(v) // n), n) for v, n in zip((before, after), sizes, strict=True)]
    return permuted_mean_change(
        before,
        after,
        reference_clusters=sides[0],
        clusters=sides[1],
        n_permutations=n_permutations,
        rng=np.random.default_rng(seed),
    )


def test_shuffled_p_value_is_that_of_all_ways_to_share_out():
    rng = np.random.default_rng(3)
    before, after = rng.random(5), rng.random(4) + 0.4
    both = np.concatenate([before, after])

    def t(rows):
        one, other = both[list(rows)], np.delete(both, list(rows))
        return abs(one.mean() - other.mean()) / np.sqrt(one.var(ddof=1) / one.size + other.var(ddof=1) / other.size)

    every = [t(rows) for rows in combinations(range(9), 5)]
    exact = np.mean(np.array(every) >= t(range(5)) - 1e-9)
    assert _shuffled(before, after, n_permutations=20_000) == pytest.approx(exact, abs=0.012)


def test_shuffling_knows_prompts_of_any_size_as_welchs_test_does():
    rng = np.random.default_rng(4)
    before, after = np.repeat(rng.random(60), 3), np.repeat(rng.random(40) + 0.1, 2)
    welch = mean_change(
        before, after, reference_clusters=np.repeat(np.arange(60), 3), clusters=np.repeat(np.arange(40), 2)
    )
    assert _shuffled(before, after, sizes=(3, 2)) == pytest.approx(welch.p_value, abs=0.03)


def test_shuffling_keeps_its_level_on_a_handful_of_prompts_where_welchs_test_does_not():
    level, false = 0.05, [0, 0]
    for seed in range(200):
        rng = np.random.default_rng(seed)
        before, after = (np.repeat(rng.beta(0.3, 0.05, n), 4) for n in (30, 6))
        welch = mean_change(
            before, after, reference_clusters=np.repeat(np.arange(30), 4), clusters=np.repeat(np.arange(6), 4)
        )
        false[0] += welch.p_value <= level
        false[1] += _shuffled(before, after, n_permutations=199, seed=seed, sizes=(4, 4)) <= level
    assert false[1] <= 20  # binomial(200, .05) is above 20 with probability .0004
    assert false[0] > 20


def test_shuffling_needs_two_prompts_a_side_and_thins_many():
    assert _shuffled(np.ones(1), np.ones(3)) is None
    rng = np.random.default_rng(5)
    assert _shuffled(rng.random(5000), rng.random(3000) + 0.5, n_permutations=99) == 0.01


def test_equal_and_constant_samples():
    assert mean_change(np.ones(3), np.ones(3)).p_value == 1
    assert mean_change(np.ones(3), np.zeros(3)).p_value == 0
    assert mean_change(np.ones(1), np.ones(3)) is None
    assert score_drift(np.array([np.nan, 1.0]), np.ones(3)) is None


def test_drift_tells_a_shift_in_its_unit():
    values = np.random.default_rng(2).random(100)
    found = score_drift(values, values + 0.5)
    assert found.wasserstein == pytest.approx(0.5)
    assert found.p_value < 1e-6


def test_holm_by_hand():
    # R: p.adjust(c(.01, .02, .03, .005), "holm")
    assert holm(np.array([0.01, 0.02, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.04, 0.04, 0.02])


def test_two_clusters_a_side_can_be_shuffled_and_one_cannot():
    values, rng = np.array([0.9, 0.8, 0.3, 0.2]), np.random.default_rng(0)
    shared = {"n_permutations": 99, "rng": rng}
    two, one = np.array([0, 0, 1, 1]), np.zeros(4)
    assert permuted_mean_change(values, values, reference_clusters=two, clusters=two, **shared) is not None
    assert permuted_mean_change(values, values, reference_clusters=two, clusters=one, **shared) is None


@pytest.mark.parametrize(("m", "n"), [(2, 2), (3, 7), (10, 10), (12, 40), (6, 9), (100, 130), (7, 900)])
def test_drift_of_scores_is_scipys_exact_test(m, n):
    rng = np.random.default_rng(m)
    for shift in (0.0, 0.3, 1.0):
        before, after = rng.normal(0, 1, m).round(1), rng.normal(shift, 1, n).round(1)
        found, wanted = score_drift(before, after), ks_2samp(before, after, method="exact")
        assert (found.ks, found.p_value) == pytest.approx((wanted.statistic, wanted.pvalue), rel=1e-6, abs=1e-300)


def test_drift_of_many_scores_is_the_asymptotic_test():
    """Above a product of 100,000; below it the exact test differs from it."""
    rng = np.random.default_rng(4)
    for m, n, is_exact in ((400, 300, False), (300, 200, True)):
        before, after = rng.normal(0, 1, m), rng.normal(0.1, 1, n)
        found = score_drift(before, after).p_value
        exact, rough = (ks_2samp(before, after, method=method).pvalue for method in ("exact", "asymp"))
        assert found == pytest.approx(exact if is_exact else rough, rel=1e-6)
        assert abs(exact - rough) > 1e-4


def test_drift_touches_no_filter_of_warnings_which_threads_share(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the filters of warnings belong to the whole process")

    monkeypatch.setattr(warnings, "catch_warnings", refuse)
    rng = np.random.default_rng(0)
    for m, n in ((2, 50_000), (300, 333), (1000, 2000)):
        assert 0 <= score_drift(rng.random(m), rng.random(n)).p_value <= 1


def test_the_filters_of_warnings_that_threads_share_are_left_alone(monkeypatch):
    def changed(*_, **__):
        raise AssertionError("the filters of warnings were changed")

    monkeypatch.setattr(warnings, "catch_warnings", changed)
    monkeypatch.setattr(warnings, "simplefilter", changed)
    rng = np.random.default_rng(0)
    for n in (20, 400):
        assert score_drift(rng.normal(size=n), rng.normal(1.0, size=n)).p_value < 0.05
        assert mean_change(rng.normal(size=n), rng.normal(1.0, size=n)).p_value < 0.05


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_distances_of_two_samples_are_those_of_scipy(seed, ties):
    rng = np.random.default_rng(seed)
    before, after = rng.normal(size=rng.integers(2, 40)), rng.normal(0.3, 2, rng.integers(2, 40))
    if ties:
        before, after = before.round(), after.round()
    found = score_drift(before, after)
    assert found.ks == pytest.approx(ks_2samp(before, after).statistic, abs=1e-12)
    assert found.wasserstein == pytest.approx(wasserstein_distance(before, after), abs=1e-12)
