import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import norm

from nilometer.estimators import LABEL_FREE, SourceScores, TargetScores
from nilometer.estimators.accuracy.rules.label_free import sequence_evidence, sequence_weight
from nilometer.estimators.accuracy.rules.shifted import importance_weighted, label_shift, matched_moments
from nilometer.estimators.accuracy.rules.slope import anchored_slope, difference_slope, scaled_logit


def _source(n=2000, share=0.5, distance=1.5, seed=0):
    """Scores of right and wrong answers: normals of unit variance, so P(correct | x) is a logistic of x."""
    rng = np.random.default_rng(seed)
    correct = (rng.random(n) < share).astype(float)
    x = rng.normal(distance * correct, 1.0)
    p = 1 / (1 + np.exp(-(distance * x - distance**2 / 2 + np.log(share / (1 - share)))))
    slices = np.arange(n) % 8
    return SourceScores(p, x, correct, np.ones(n), float(correct.mean()), slices, x[:, None]), p, x, correct


def test_every_arm_of_the_table_returns_the_source_accuracy_on_the_source_itself():
    source, p, x, correct = _source()
    target = TargetScores(p, x, x[:, None])
    for name, arm in LABEL_FREE.items():
        assert arm.estimate(source, target) == pytest.approx(correct.mean(), abs=0.05), name


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_combined_is_mean_probability_thresholded_probability_and_sequence_by_weight(weight):
    source, p, x, _ = _source()
    target = TargetScores(p[:100], x[:100], x[:100, None], np.linspace(0.1, 0.3, 100))
    pcc, atc, combined = (
        LABEL_FREE[name].estimate(source._replace(sequence_weight=weight), target)
        for name in ("pcc", "atc_classifier", "combined")
    )
    assert combined == pytest.approx(weight * 0.2 + (1 - weight) * (0.8 * pcc + 0.2 * atc))


def test_sequence_is_the_mean_of_the_known_probabilities_and_the_source_for_the_rest():
    source, p, x, correct = _source()
    target = TargetScores(p[:4], x[:4], x[:4, None], np.array([0.9, 0.7, np.nan, np.nan]))
    assert LABEL_FREE["sequence"].estimate(source, target) == pytest.approx((0.8 + correct.mean()) / 2)


def test_sequence_weight_is_the_odds_of_three_labels_of_each_family():
    rng = np.random.default_rng(3)
    correct, q, p = (rng.random(300) < 0.6).astype(float), rng.beta(3, 2, 300), rng.beta(6, 4, 300)
    families = np.array(["a"] * 200 + ["b"] * 100)

    def mean_loss(probability, family):
        rows = [
            (y, min(max(v, 0.01), 0.99)) for y, v, f in zip(correct, probability, families, strict=True) if f == family
        ]
        return -sum(math.log(v) if y else math.log(1 - v) for y, v in rows) / len(rows)

    odds = math.prod(math.exp(3 * (mean_loss(p, f) - mean_loss(q, f))) for f in "ab")
    evidence = [sequence_evidence(q[families == f], p[families == f], correct[families == f]) for f in "ab"]
    assert sequence_weight(evidence) == pytest.approx(odds / (1 + odds))


def test_sequence_gets_no_weight_where_it_is_no_probability_of_being_right_or_not_known():
    correct, p = np.tile([1.0, 1.0, 0.0], 100), np.full(300, 2 / 3)
    assert sequence_weight([sequence_evidence(np.full(300, 1e-9), p, correct)]) < 0.01
    assert sequence_weight([sequence_evidence(np.full(300, np.nan), p, correct)]) == 0
    assert sequence_weight([sequence_evidence(p, p, correct)]) == pytest.approx(0.5)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_label_shift_is_undone_by_sld_and_pacc_and_not_by_pcc(share):
    source, *_ = _source(20_000)
    rng = np.random.default_rng(1)
    correct = (rng.random(20_000) < share).astype(float)
    x = rng.normal(1.5 * correct, 1.0)
    p = 1 / (1 + np.exp(-(1.5 * x - 1.125)))
    target = TargetScores(p, x, x[:, None])
    found = {name: LABEL_FREE[name].estimate(source, target) for name in ("pcc", "sld", "pacc", "halfway")}
    assert found["sld"] == pytest.approx(share, abs=0.02)
    assert found["pacc"] == pytest.approx(share, abs=0.02)
    if share != 0.5:
        assert abs(found["pcc"] - share) > 0.05
        assert found["halfway"] == pytest.approx((found["pcc"] + found["sld"]) / 2)


def test_label_shift_agrees_with_the_published_iteration():
    """Saerens, Latinne and Decaestecker (2002), eq. 2.8: 2,000 rounds of EM."""
    p = np.random.default_rng(2).beta(2, 3, 500)
    q = a = 0.4
    for _ in range(2000):
        q = np.mean(p * q / a / (p * q / a + (1 - p) * (1 - q) / (1 - a)))
    assert label_shift(p, 0.4) == pytest.approx(q, abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_label_shift_stays_in_bounds_and_grows_with_the_probabilities(p, accuracy):
    p = np.array(p)
    share = label_shift(p, accuracy)
    assert 0 <= share <= 1
    assert label_shift(np.minimum(p + 0.1, 1), accuracy) >= share - 1e-6


def test_matched_moments_by_hand_and_without_separation():
    correct, weights = np.array([0.0, 1.0]), np.ones(2)
    assert matched_moments(np.array([0.6]), np.array([0.2, 0.8]), correct, weights=weights) == pytest.approx(2 / 3)
    assert matched_moments(np.array([0.3]), np.array([0.5, 0.5]), correct, weights=weights) == pytest.approx(0.3)


def test_importance_weighting_sees_the_calibration_where_the_slice_lies():
    """Above x = 0 the source's probabilities are .3 too high: only the weighted calibration can know."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, 6000)
    p = norm.cdf(x)
    correct = (rng.random(6000) < np.where(x > 0, p - 0.3, p)).astype(float)
    source = SourceScores(p, x, correct, np.ones(6000), correct.mean(), np.arange(6000) % 6, x[:, None])
    here = x > 0.5
    target = TargetScores(p[here], x[here], x[here, None])
    assert target.p.mean() - correct[here].mean() > 0.25
    assert importance_weighted(target, source) == pytest.approx(correct[here].mean(), abs=0.06)


def test_importance_weighting_with_nothing_in_common_keeps_the_probabilities():
    source, *_ = _source(90)
    far = TargetScores(np.full(50, 0.7), np.full(50, 40.0), np.full((50, 1), 40.0))
    assert importance_weighted(far, source) == pytest.approx(0.7)


def test_slopes_without_left_out_pairs_are_their_priors_and_follow_many_pairs():
    assert difference_slope(np.empty((0, 2)), 0.5) == 1.0
    assert anchored_slope(np.empty((0, 2)), 0.5) == 1.6
    x = np.linspace(0.1, 0.9, 200)
    assert difference_slope(np.stack([x, 0.5 + 0.4 * (x - 0.5)], axis=1), 0.5) == pytest.approx(0.4, abs=0.05)
    assert anchored_slope(np.stack([x, x], axis=1), 0.5) == pytest.approx(1.0, abs=0.02)
    assert difference_slope(np.stack([x, 1 - x], axis=1), 0.5) == 0.0


@pytest.mark.parametrize("slope", [1.0, 1.6])
def test_scaled_logit_passes_through_the_labelled_accuracy(slope):
    assert scaled_logit(0.3, 0.3, slope) == pytest.approx(0.3)
    assert scaled_logit(0.6, 0.5, slope) == pytest.approx(1 / (1 + (0.4 / 0.6) ** slope))


def test_profile_regression_orders_slices_by_their_scores():
    source, p, x, _ = _source()
    hard = np.argsort(p)[:400]
    source = source._replace(slices=np.argsort(np.argsort(p)) // 250)
    low = LABEL_FREE["profile"].estimate(source, TargetScores(p[hard], x[hard], x[hard, None]))
    assert low < source.accuracy - 0.2


def test_slope_of_differences_is_the_posterior_mean_by_hand():
    """Prior N(1, .5²) of the slope; noise from the residuals of the prior."""
    x, y = np.array([0.2, -0.1, 0.4]), np.array([0.4, -0.1, 0.5])
    noise = np.mean((y - x) ** 2)
    wanted = (1 / 0.25 + x @ y / noise) / (1 / 0.25 + x @ x / noise)
    assert difference_slope(np.stack([0.5 + x, 0.5 + y], axis=1), 0.5) == pytest.approx(wanted)
