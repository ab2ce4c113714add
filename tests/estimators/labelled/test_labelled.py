import json
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    combine,
    confidence_sequence,
    cut_strata,
    draw_accuracies,
    draw_sample,
    inclusion_probabilities,
    labelled_mean,
    neyman_allocation,
    ppi_mean,
    score_interval,
    shrink_accuracies,
    start_monitor,
    stratified_mean,
    update_monitor,
    weighted_mean,
)
from nilometer.estimators.labelled.ppi import prediction_weight
from nilometer.estimators.labelled.sample import size_by_design

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "studies"))
from labelled_peers import data  # noqa: E402

# Written by `studies/labelled_peers.py` under ppi-python 0.2.3 and glide-py 0.11.0 on this same data.
PEERS = json.loads((ROOT / "studies/results/labelled_peers.json").read_text())["peers"]
DATA = data()


def _population(rng, size):
    p = rng.beta(3, 1.2, size)
    return np.clip(0.8 * p + 0.05, 0.02, 0.98), (rng.random(size) < p).astype(float)


def _labelled(truth, rows):
    return np.where(np.isin(np.arange(len(truth)), rows), truth, np.nan)


def test_ppi_is_that_of_ppi_py_and_glide():
    tuned = ppi_mean(DATA["first"], DATA["p"], finite=False)
    fixed = ppi_mean(DATA["first"], DATA["p"], finite=False, weight=tuned.weight)
    mean, std = PEERS["glide PPIMeanEstimator"]
    assert fixed.accuracy == pytest.approx(mean, abs=1e-12)
    assert fixed.standard_error == pytest.approx(std, abs=1e-12)
    # ppi_py divides by n where glide divides by n - 1
    assert tuned.accuracy == pytest.approx(PEERS["ppi_py.ppi_mean_pointestimate"], abs=1e-3)
    low, high = PEERS["ppi_py.ppi_mean_ci"]
    assert 2 * 1.959964 * fixed.standard_error == pytest.approx(high - low, rel=0.01)


def test_active_mean_is_that_of_glide():
    found = weighted_mean(DATA["active"], DATA["p"], DATA["inclusion"], finite=False)
    assert [found.accuracy, found.standard_error] == pytest.approx(PEERS["glide ASIMeanEstimator"], abs=1e-12)


def test_clustered_error_is_that_of_glide_for_equal_clusters():
    found = labelled_mean(DATA["first"][:80], clusters=DATA["clusters"][:80], finite=False)
    assert [found.accuracy, found.standard_error] == pytest.approx(
        PEERS["glide ClusteredClassicalMeanEstimator"], abs=1e-12
    )


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_over_all_samples_the_mean_is_unbiased_and_its_variance_right(weight):
    rng = np.random.default_rng(0)
    p, truth = _population(rng, 9)
    found = [ppi_mean(_labelled(truth, rows), p, weight=weight) for rows in combinations(range(9), 4)]
    accuracies = np.array([row.accuracy for row in found])
    variances = np.array([row.standard_error**2 for row in found])
    inside = (accuracies > 0) & (accuracies < 1)  # the rest was cut at the ends
    if weight == 0 or inside.all():
        assert accuracies.mean() == pytest.approx(truth.mean())
        assert variances.mean() == pytest.approx(accuracies.var())


def test_standard_error_of_plain_labels_is_right_over_all_samples():
    truth = np.array([1, 0, 0, 1, 1, 1, 0.0])
    found = [labelled_mean(_labelled(truth, rows)) for rows in combinations(range(7), 3)]
    assert np.mean([row.standard_error**2 for row in found]) == pytest.approx(np.var([row.accuracy for row in found]))


def test_strata_all_labelled_know_endless_traffic_as_well_as_a_plain_sample():
    rng = np.random.default_rng(10)
    p, truth = _population(rng, 2000)
    found = stratified_mean(truth, cut_strata(p, 5), finite=False)
    assert found.standard_error == pytest.approx(labelled_mean(truth, finite=False).standard_error, rel=0.01)


def test_over_all_stratified_samples_the_mean_is_unbiased():
    truth = np.array([1, 0, 0, 1, 1, 1, 0.0])
    strata = np.array([0, 0, 0, 1, 1, 1, 1])
    found = [
        stratified_mean(_labelled(truth, [*a, *b]), strata).accuracy
        for a in combinations(range(3), 2)
        for b in combinations(range(3, 7), 2)
    ]
    assert np.mean(found) == pytest.approx(truth.mean())


def test_all_labelled_leaves_no_doubt():
    truth = np.array([1, 0, 1, 1.0])
    for found in (labelled_mean(truth), ppi_mean(truth, np.full(4, 0.5)), stratified_mean(truth, np.zeros(4))):
        assert (found.accuracy, found.low, found.high) == (0.75, 0.75, 0.75)


def test_plain_interval_is_wilson_for_endless_traffic():
    found = labelled_mean(np.array([1.0] * 8 + [0.0] * 2), finite=False)
    # scipy.stats.binomtest(8, 10).proportion_ci(method="wilson")
    assert [found.low, found.high] == pytest.approx([0.49016, 0.94332], abs=1e-5)


def test_copies_of_every_response_do_not_tell_more():
    labels = np.array([1, 0, 1, 1, 0, 1, 1, 0.0])
    once = labelled_mean(labels, finite=False)
    five = labelled_mean(np.repeat(labels, 5), clusters=np.repeat(np.arange(8), 5), finite=False)
    assert five.standard_error == pytest.approx(once.standard_error)
    assert five.high - five.low >= once.high - once.low


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.data())
def test_allocation_is_the_best_in_whole_numbers(sizes, data):
    sizes = np.array(sizes)
    spreads = np.array(data.draw(st.lists(st.floats(0.05, 0.5), min_size=len(sizes), max_size=len(sizes))))
    least = np.minimum(sizes, 2)
    budget = data.draw(st.integers(int(least.sum()), int(sizes.sum())))

    def variance(given):
        return float(((sizes * spreads) ** 2 / given).sum())

    choices = np.stack(np.meshgrid(*[np.arange(a, b + 1) for a, b in zip(least, sizes, strict=True)]), -1)
    choices = choices.reshape(-1, len(sizes))
    best = min(variance(choice) for choice in choices[choices.sum(axis=1) == budget])
    assert variance(neyman_allocation(sizes, spreads, budget)) == pytest.approx(best)


@given(st.integers(2, 60), st.integers(1, 60), st.integers(0, 99))
def test_inclusion_probabilities_sum_to_the_budget_and_samples_have_its_size(size, budget, seed):
    rng = np.random.default_rng(seed)
    budget = min(budget, size)
    inclusion = inclusion_probabilities(rng.random(size), budget)
    assert inclusion.sum() == pytest.approx(budget)
    assert 0 < inclusion.min() <= inclusion.max() <= 1
    drawn = draw_sample(inclusion, rng=rng)
    assert len(set(drawn.tolist())) == len(drawn)
    assert abs(len(drawn) - budget) <= 1


def test_responses_are_drawn_as_often_as_promised():
    rng = np.random.default_rng(3)
    inclusion = inclusion_probabilities(rng.random(20), 6)
    counts = np.bincount(np.concatenate([draw_sample(inclusion, rng=rng) for _ in range(4000)]), minlength=20)
    # four binomial standard errors
    assert (np.abs(counts / 4000 - inclusion) < 4 * np.sqrt(inclusion * (1 - inclusion) / 4000) + 1e-9).all()


def test_intervals_of_all_designs_cover():
    rng, trials, hits = np.random.default_rng(4), 300, np.zeros(4)
    for _ in range(trials):
        p, truth = _population(rng, 300)
        rows = rng.choice(300, 40, replace=False)
        plain = _labelled(truth, rows)
        strata = cut_strata(p, 4)
        spreads = np.array([np.sqrt((p * (1 - p))[strata == h].mean()) for h in range(4)])
        allocation = neyman_allocation(np.bincount(strata), spreads, 40)
        drawn = [rng.choice(np.flatnonzero(strata == h), m, replace=False) for h, m in enumerate(allocation)]
        inclusion = inclusion_probabilities(p, 40)
        found = [
            labelled_mean(plain),
            ppi_mean(plain, p),
            stratified_mean(_labelled(truth, np.concatenate(drawn)), strata),
            weighted_mean(_labelled(truth, draw_sample(inclusion, rng=rng)), p, inclusion),
        ]
        hits += [row.low <= truth.mean() <= row.high for row in found]
    # .95 less four binomial standard errors of .0126
    assert (hits / trials > 0.9).all(), hits / trials


def test_bad_predictions_get_no_weight_and_cost_nothing():
    rng = np.random.default_rng(5)
    _, truth = _population(rng, 300)
    correct = _labelled(truth, rng.choice(300, 20, replace=False))
    noise = rng.random(300)
    assert prediction_weight(correct, noise) == 0
    assert ppi_mean(correct, noise).accuracy == labelled_mean(correct).accuracy


def test_few_labels_with_like_predictions_do_not_blow_the_weight_up():
    p = np.concatenate([np.full(95, 0.95), np.linspace(0.05, 0.5, 5)])
    p[:8] += np.linspace(-0.001, 0.001, 8)
    correct = _labelled(np.r_[0, 0, 0, 0, 1, 1, 1, 1.0, np.ones(92)], np.arange(8))
    assert prediction_weight(correct, p) < 0.1


def test_shrinkage_minimises_the_risk_and_has_its_limits():
    rng = np.random.default_rng(6)
    predicted = rng.random(200)
    near = shrink_accuracies(predicted + rng.normal(0, 0.1, 200), np.full(200, 0.01), predicted)
    far = shrink_accuracies(rng.random(200), np.full(200, 1e-6), predicted)
    assert near.own_weight.max() < 0.3
    assert far.own_weight.min() > 0.99
    truth = np.clip(predicted + rng.normal(0, 0.05, 200), 0, 1)
    labelled = truth + rng.normal(0, 0.1, 200)
    error = np.abs(shrink_accuracies(labelled, np.full(200, 0.01), predicted).accuracy - truth).mean()
    assert error < min(np.abs(labelled - truth).mean(), np.abs(predicted - truth).mean())


def _prior(low, high):
    return Estimate(slice="a", n=400, accuracy=(low + high) / 2, low=low, high=high, confidence_level=0.95, method="x")


def test_posterior_lies_between_its_sources_and_follows_the_surer_one():
    labels = labelled_mean(_labelled(np.array([1.0] * 100 + [0.0] * 300), np.arange(0, 400, 10)))
    sure, unsure = combine(_prior(0.34, 0.36), labels), combine(_prior(0.02, 0.98), labels)
    assert sure.accuracy > 0.33
    assert abs(unsure.accuracy - labels.accuracy) < 0.04
    assert sure.high - sure.low < unsure.high - unsure.low <= labels.high - labels.low + 0.01


def _accuracies(rng, n, *, low, high):
    """Draws from the prior: Beta around the estimate, variance scaled inverse chi square on 4 degrees, 2 % flat."""
    mean = (low + high) / 2
    variance = ((high - low) / 2 / 2.776445) ** 2 * 4 / rng.chisquare(4, n)
    size = np.maximum(mean * (1 - mean) / variance - 1, 0.3)
    drawn = np.clip(rng.beta(mean * size, (1 - mean) * size), 1e-12, 1 - 1e-12)
    return np.where(rng.random(n) < 0.02, rng.random(n), drawn)


def test_posterior_covers_when_its_prior_is_right():
    rng, hits, trials = np.random.default_rng(7), 0, 300
    for accuracy in _accuracies(rng, trials, low=0.35, high=0.75):
        truth = (rng.random(200) < accuracy).astype(float)
        found = combine(_prior(0.35, 0.75), labelled_mean(_labelled(truth, rng.choice(200, 15, replace=False))))
        hits += found.low <= truth.mean() <= found.high
    assert 0.91 <= hits / trials <= 0.99


def test_two_labels_that_agree_with_a_sure_estimate_leave_it_where_it_is():
    labels = labelled_mean(_labelled(np.ones(400), np.arange(2)))
    assert 0.95 < combine(replace(_prior(0.9, 1.0), accuracy=0.97), labels).accuracy < 0.99


def test_labels_win_over_a_prior_that_they_contradict():
    labels = labelled_mean(_labelled(np.array([1.0] * 100 + [0.0] * 300), np.arange(0, 400, 4)))
    assert combine(_prior(0.9, 0.99), labels).accuracy < 0.3


@pytest.mark.parametrize("finite", [False, True])
def test_posterior_is_that_of_weighted_draws_from_its_prior(finite):
    rng = np.random.default_rng(11)
    correct = _labelled(np.array([1.0] * 30 + [0.0] * 30), np.r_[0:9, 30:36])
    estimate = _prior(0.55, 0.95)
    rate = _accuracies(rng, 400_000, low=0.55, high=0.95)
    accuracy = (9 + rng.binomial(45, rate)) / 60 if finite else rate
    weights = rate**9 * (1 - rate) ** 6
    found = combine(estimate, labelled_mean(correct, finite=finite), finite=finite)
    mean = np.average(accuracy, weights=weights)
    assert found.accuracy == pytest.approx(mean, abs=0.003)
    spread = np.sqrt(np.average((accuracy - mean) ** 2, weights=weights))
    assert found.standard_error == pytest.approx(spread, rel=0.02)


def test_confidence_sequence_holds_at_every_moment():
    rng, failures, trials = np.random.default_rng(8), 0, 150
    for _ in range(trials):
        truth = rng.permutation((rng.random(150) < 0.8).astype(float))
        found = confidence_sequence(truth, n_responses=150, confidence_level=0.9)
        failures += bool(((found.low > truth.mean()) | (found.high < truth.mean())).any())
        assert found.high[-1] - found.low[-1] <= 0.02
    # at most .1 and three binomial standard errors
    assert failures / trials <= 0.1 + 3 * np.sqrt(0.09 / trials)


def test_confidence_sequence_is_not_much_wider_than_wilson_at_its_end():
    labels = np.tile([1, 1, 1, 0.0], 100)
    found = confidence_sequence(labels)
    low, high = score_interval(0.75, 400)
    assert found.low[-1] < low < high < found.high[-1]
    assert found.high[-1] - found.low[-1] < 2 * (high - low)


def _monitor(rng, accuracy, n_batches):
    state = start_monitor(0.8)
    for _ in range(n_batches):
        p = rng.beta(4 * accuracy, 4 * (1 - accuracy), 100)
        truth = (rng.random(100) < p).astype(float)
        state = update_monitor(state, _labelled(truth, rng.choice(100, 10, replace=False)), p, rng=rng)
    return state


def test_monitor_rarely_cries_wolf_and_sees_a_fall():
    rng = np.random.default_rng(9)
    false = [_monitor(rng, 0.81, 40).has_fallen(0.9) for _ in range(100)]
    seen = [_monitor(rng, 0.6, 40).has_fallen(0.9) for _ in range(30)]
    assert np.mean(false) <= 0.1 + 3 * np.sqrt(0.09 / 100)
    assert np.mean(seen) > 0.9


def test_wealth_neither_grows_nor_shrinks_on_average_at_the_limit():
    correct, p = np.array([1, 1, 0, 0.0]), np.array([0.9, 0.6, 0.5, 0.1])
    first = start_monitor(0.5)._replace(moments=np.array([20, 10, 10, 8.0, 8.0]))
    ends = [
        np.exp(update_monitor(first, _labelled(correct, rows), p, rng=np.random.default_rng(seed)).log_wealth)
        for rows in combinations(range(4), 3)
        for seed in range(300)
    ]
    # the players' spread is below .5, so four standard errors are .06
    assert np.mean(ends, axis=0) == pytest.approx(np.ones(8), abs=0.06)


def test_monitor_waits_while_there_are_no_labels():
    state = update_monitor(start_monitor(0.8), np.full(5, np.nan), np.full(5, 0.1), rng=np.random.default_rng(0))
    assert (state.p_value, state.n_batches, state.n_labels) == (1.0, 1, 0)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: labelled_mean(np.array([1.0, np.nan])), NotEnoughDataError, "1 of 2 responses have labels"),
        (lambda: labelled_mean(np.array([1.0, 2.0])), ValueError, "`correct` must lie in \\[0, 1\\]"),
        (lambda: labelled_mean(np.ones(3), clusters=np.zeros(3)), NotEnoughDataError, "all labels are in one cluster"),
        (lambda: labelled_mean(np.ones(3), confidence_level=1.0), ValueError, "`confidence_level` must lie"),
        (lambda: ppi_mean(np.ones(3), np.array([0.5, np.nan, 1])), ValueError, "`p_correct` must be finite"),
        (lambda: ppi_mean(np.ones(3), np.ones(2)), ValueError, "`p_correct` must have 3 values"),
        (
            lambda: stratified_mean(np.array([1, 1, np.nan]), np.array([0, 0, 1])),
            NotEnoughDataError,
            "stratum 1 has no",
        ),
        (lambda: neyman_allocation(np.array([5, 5]), np.ones(2), 3), NotEnoughDataError, "3 labels do not give 2"),
        (lambda: neyman_allocation(np.array([5, 5]), np.ones(2), 11), ValueError, "`budget` must be <= 10"),
        (lambda: inclusion_probabilities(np.ones(3), 4), ValueError, "`budget` must lie in 1 to 3"),
        (lambda: inclusion_probabilities(np.ones(3), 1, uniform_share=0), ValueError, "`uniform_share` must lie"),
        (lambda: weighted_mean(np.ones(3), np.ones(3), np.zeros(3)), ValueError, "`inclusion` must lie"),
        (lambda: cut_strata(np.ones(3), 0), ValueError, "`n_strata` must be >= 1"),
        (lambda: shrink_accuracies(np.ones(2), np.zeros(2), np.ones(2)), ValueError, "`variances` must be > 0"),
        (lambda: confidence_sequence(np.array([1, np.nan])), ValueError, "`correct` must have no NaN"),
        (lambda: confidence_sequence(np.ones(3), n_responses=2), ValueError, "`n_responses` must be >= 3"),
        (lambda: start_monitor(1.0), ValueError, "`least` must lie"),
    ],
)
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("distance", [0.15, 0.3, 0.9])
def test_shrinkage_of_equal_variances_has_a_closed_form(distance):
    """Setting the derivative of the estimated risk to 0 gives 1 - w = variance / mean squared distance."""
    predicted = np.linspace(0.3, 0.6, 50)
    found = shrink_accuracies(predicted + distance, np.full(50, 0.01), predicted)
    assert found.own_weight == pytest.approx(1 - 0.01 / distance**2, abs=2e-3)
    assert found.between == pytest.approx(distance**2 - 0.01, rel=2e-3)


def test_clusters_of_one_are_none_and_copies_count_once():
    first, p = DATA["first"], DATA["p"]
    alone = ppi_mean(first, p, weight=0.5)
    single = ppi_mean(first, p, weight=0.5, clusters=np.arange(len(p)))
    assert (single.accuracy, single.standard_error) == pytest.approx((alone.accuracy, alone.standard_error))
    copied = ppi_mean(
        np.tile(first, 3), np.tile(p, 3), weight=0.5, clusters=np.tile(np.arange(len(p)), 3), finite=False
    )
    assert copied.standard_error >= 0.95 * ppi_mean(first, p, weight=0.5, finite=False).standard_error


def test_a_contradicted_prior_gives_way_as_far_as_its_flat_part_says():
    """Posterior by draws from the prior, weighted by the probability of 2 correct labels of 12."""
    estimate = replace(_prior(0.8, 0.96), spread=0.04, degrees=30.0)
    correct = _labelled(np.array([1.0] * 2 + [0.0] * 10 + [0.0] * 10_000), np.r_[0:12])
    rate = draw_accuracies(estimate, 2_000_000, rng=np.random.default_rng(0))
    weights = rate**2 * (1 - rate) ** 10
    found = combine(estimate, labelled_mean(correct, finite=False), finite=False)
    assert found.accuracy == pytest.approx(np.average(rate, weights=weights), abs=0.005)


@pytest.mark.parametrize(("correlation", "is_used"), [(0.15, False), (0.198, False), (0.202, True), (0.3, True)])
def test_predictions_count_from_a_correlation_of_one_over_root_n_less_2(correlation, is_used):
    """27 labels: the least correlation is 1 / sqrt(25) = .2."""
    y = np.array([1.0] * 13 + [0.0] * 14)
    noise = np.random.default_rng(0).normal(size=27)
    z = (y - y.mean()) / y.std()
    noise -= noise.mean() + z * (noise @ z) / 27
    f = correlation * z + np.sqrt(1 - correlation**2) * noise / noise.std()
    assert np.corrcoef(y, f)[0, 1] == pytest.approx(correlation)
    assert (prediction_weight(y, f) > 0) == is_used


def test_a_fall_is_seen_at_exactly_the_level():
    assert start_monitor(0.8)._replace(most_wealth=4.0).has_fallen(0.75)
    assert not start_monitor(0.8)._replace(most_wealth=3.99).has_fallen(0.75)


def test_the_error_of_strata_counts_two_more_responses_of_the_accuracy_of_all():
    correct = np.array([1, 0, 1, 1, np.nan, np.nan, 0, 0, 1, np.nan])
    strata = np.array([0] * 6 + [1] * 4)
    accuracy = 0.6 * 3 / 4 + 0.4 * 1 / 3
    variance = 0.0
    for own, size, n in ((np.array([1, 0, 1, 1]), 6, 4), (np.array([0, 0, 1]), 4, 3)):
        mean = (own.sum() + 2 * accuracy) / (n + 2)
        variance += (size / 10) ** 2 * (1 - n / size) * mean * (1 - mean) / n
    found = stratified_mean(correct, strata)
    assert found.accuracy == pytest.approx(accuracy)
    assert found.standard_error == pytest.approx(np.sqrt(variance))


def test_a_posterior_is_worth_the_labels_that_leave_its_spread():
    found = combine(_prior(0.55, 0.95), labelled_mean(_labelled(np.ones(60), np.r_[0:9])))
    worth = found.accuracy * (1 - found.accuracy) / found.standard_error**2
    assert found.n_effective == pytest.approx(worth)


def test_the_wealth_of_the_monitor_by_hand():
    """Predictions of the first batch give the weight (their regression slope); the second batch has one label."""
    rng = np.random.default_rng(0)
    f = rng.random(400)
    y = (rng.random(400) < 0.2 + 0.5 * f).astype(float)
    first = update_monitor(start_monitor(0.8), y, f, rng=rng)
    weight = float(np.polyfit(f, y, 1)[0])
    assert 0 < weight < 1
    correct, p = np.array([0.0, np.nan, np.nan, np.nan]), np.array([0.9, 0.4, 0.6, 0.7])
    second = update_monitor(first, correct, p, rng=rng)
    expected = np.clip(0.8 - weight * p.mean(), -weight, 1)
    stakes = np.expm1(second.log_wealth - first.log_wealth) / ((expected + weight * 0.9) / (1 - expected))
    assert stakes == pytest.approx(stakes[0] / 0.02 * np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9]))
    assert stakes[0] == pytest.approx(0.02)


@pytest.mark.parametrize("finite", [True, False])
def test_a_simple_random_sample_is_worth_its_own_labels(finite):
    """With the variance of such a sample, n labels of N are n (N - 1) / (N - n) of endless traffic, or n."""
    accuracy, n, size = 0.3, 40, 100
    variance = accuracy * (1 - accuracy) / (n - 1) * (1 - n / size if finite else 1.0)
    found = size_by_design(accuracy, variance, n, size=size, finite=finite)
    assert found == pytest.approx(n * (size - 1) / (size - n) if finite else n)
    half = size_by_design(accuracy, 2 * variance, n, size=size, finite=finite)
    assert half == pytest.approx(found / 2)
