"""Labels and agreement together."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import multivariate_normal

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import label_qualities

NAMES = ("a", "b", "c")


def draw(seed, *, n=400, b=40, accuracy=(0.8, 0.7, 0.5), noise=0.5):
    """Truth, a proxy that sees it through noise, and the labels of the first b prompts."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 3)) < accuracy).astype(float)
    proxy = truth + noise * rng.normal(size=truth.shape)
    return truth, proxy, np.where(np.arange(n)[:, None] < b, truth, np.nan)


def test_a_worthless_proxy_leaves_the_mean_of_the_labels():
    truth, _, scores = draw(0)
    found = label_qualities(np.zeros_like(truth), scores, candidates=NAMES)
    np.testing.assert_allclose(found.accuracy, truth[:40].mean(axis=0))
    assert found.proxy_slope == 0.0
    np.testing.assert_allclose(found.n_effective, 40)


def test_all_labels_leave_the_mean_of_all_whatever_the_proxy():
    truth, proxy, _ = draw(1)
    np.testing.assert_allclose(label_qualities(proxy, truth, candidates=NAMES).accuracy, truth.mean(axis=0))


def test_with_all_labels_a_good_proxy_leaves_the_standard_error_of_a_mean():
    truth, proxy, _ = draw(6, n=2000, noise=0.1)
    found = label_qualities(proxy, truth, candidates=NAMES)
    np.testing.assert_allclose(found.measured.standard_errors, truth.std(axis=0, ddof=1) / np.sqrt(2000), rtol=0.02)


def test_the_combination_equals_a_plain_integral_over_slope_and_spread():
    """Two-dimensional trapezoid rule on a finer grid; the priors as documented."""
    _, proxy, scores = draw(7, b=6, accuracy=(0.8, 0.5, 0.7))
    quality = np.array([-0.3, -0.1, -0.4])
    found = label_qualities(proxy, scores, candidates=NAMES, quality=quality)
    y, b, m = found.accuracy, 6, 3
    q = (quality - quality.mean()) / quality.std()
    p = (np.clip(y, 0, 1).mean() * b + 1) / (b + 2)
    noise = (found.measured.covariance * (b - 1) + 2 * p * (1 - p) * (0.5 * np.eye(m) + 0.5) / b) / (b + 1)
    total, mean = 0.0, np.zeros(m)
    for tau in np.geomspace(0.01, 0.6, 200):
        prior = tau**2 * np.eye(m) + 1.0
        for slope in np.linspace(0, 0.15, 60):
            weight = tau / (1 + (tau / 0.2) ** 2) * np.exp(-0.5 * (slope / 0.05) ** 2)
            weight *= multivariate_normal.pdf(y, 0.5 + slope * q, prior + noise)
            gain = prior @ np.linalg.inv(prior + noise)
            total += weight
            mean += weight * (0.5 + slope * q + gain @ (y - 0.5 - slope * q))
    np.testing.assert_allclose(found.combined.quality, mean / total, atol=2e-3)


def test_the_regression_estimator_by_hand():
    proxy = np.array([[0.0, 0.0], [2.0, 2.0], [2.0, 2.0], [4.0, 4.0]])
    scores = np.array([[0.0, 0.0], [1.0, 1.0], [np.nan, np.nan], [np.nan, np.nan]])
    found = label_qualities(proxy, scores, candidates=("a", "b"))
    f = (proxy[:, 0] - 2.0) / np.sqrt(2.0)
    gap = f[:2] - f[:2].mean()
    together, below = gap @ np.array([-0.5, 0.5]), gap @ gap
    pooled = 2 * together / (2 * below + 10.0)
    slope = (together + 10.0 * pooled) / (below + 10.0)
    assert found.proxy_slope == pytest.approx(pooled)
    np.testing.assert_allclose(found.accuracy, 0.5 + slope * (f.mean() - f[:2].mean()))


def test_a_good_proxy_brings_labels():
    _, proxy, scores = draw(2, noise=0.3)
    assert (label_qualities(proxy, scores, candidates=NAMES).n_effective > 80).all()


@given(st.integers(0, 200), st.floats(0.1, 50), st.floats(-5, 5))
def test_scale_and_shift_of_the_proxy_do_not_matter(seed, scale, shift):
    _, proxy, scores = draw(seed, n=60, b=12)
    one = label_qualities(proxy, scores, candidates=NAMES)
    other = label_qualities(scale * proxy + shift, scores, candidates=NAMES)
    np.testing.assert_allclose(one.accuracy, other.accuracy, atol=1e-9)


def test_intervals_cover_at_the_stated_rate():
    """400 draws of 3 intervals at 95 %: 3.3 binomial standard deviations of 400 are 3.6 points."""
    hits = []
    for seed in range(400):
        _, proxy, scores = draw(seed, n=300, b=30)
        found = label_qualities(proxy, scores, candidates=NAMES)
        hits.append((found.low <= (0.8, 0.7, 0.5)) & (found.high >= (0.8, 0.7, 0.5)))
    assert np.mean(hits) > 0.95 - 0.036


def test_a_shared_proxy_error_is_not_mistaken_for_a_gap():
    """The standard error of a difference of two candidates that are right together is that of the pairs."""
    rng = np.random.default_rng(3)
    truth = np.repeat((rng.random((4000, 1)) < 0.6).astype(float), 2, axis=1)
    flip = rng.random(4000) < 0.1
    truth[flip, 1] = 1 - truth[flip, 1]
    found = label_qualities(np.zeros_like(truth), truth, candidates=("a", "b"))
    paired = (truth[:, 0] - truth[:, 1]).std(ddof=1) / np.sqrt(4000)
    assert found.measured.differences().standard_error[0, 1] == pytest.approx(paired, rel=1e-6)


def test_few_labels_follow_agreement_and_many_follow_the_labels():
    agreement = (-0.1, -0.5, -0.6)  # agreement prefers the first, the truth the last
    chosen = {}
    for b in (2, 300):
        picks = []
        for seed in range(60):
            _, proxy, scores = draw(seed, b=b, accuracy=(0.6, 0.6, 0.75), noise=5.0)
            picks.append(label_qualities(proxy, scores, candidates=NAMES, quality=agreement).best)
        chosen[b] = picks
    assert chosen[2].count("a") > chosen[2].count("c")
    assert chosen[300].count("c") == 60


def test_the_combined_choice_beats_labels_alone_where_agreement_is_right():
    alone, both = [], []
    for seed in range(200):
        _, proxy, scores = draw(seed, b=4, accuracy=(0.72, 0.66, 0.6), noise=2.0)
        means = np.nanmean(scores, axis=0)
        tied = means >= means.max() - 1e-12
        alone.append(tied[0] / tied.sum())
        both.append(label_qualities(proxy, scores, candidates=NAMES, quality=(-0.2, -0.4, -0.5)).best == "a")
    assert np.mean(both) > np.mean(alone) + 0.1


def test_five_equal_labels_do_not_look_like_certainty():
    scores = np.full((50, 3), np.nan)
    scores[:5] = [1.0, 1.0, 0.0]
    found = label_qualities(np.zeros((50, 3)), scores, candidates=NAMES)
    assert found.low[0] < 0.6
    assert found.combined.standard_errors[0] > 0.02


def test_missing_answers_count_as_the_mean_of_the_proxy():
    _, proxy, scores = draw(4)
    gone = proxy.copy()
    gone[100:200, 1] = np.nan
    found = label_qualities(gone, scores, candidates=NAMES)
    assert np.isfinite(found.accuracy).all()


@pytest.mark.parametrize(
    ("proxies", "scores", "arguments", "error", "text"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), {}, ValueError, "must be"),
        (np.zeros((4, 3)), np.full((4, 3), 2.0), {}, ValueError, r"must lie in \[0, 1\], got 2 to 2"),
        (np.zeros((4, 3)), np.full((4, 3), np.nan), {}, NotEnoughDataError, "a has 0 labels. Label 2"),
        (np.zeros((4, 3)), np.ones((4, 3)), {"quality": [1.0]}, ValueError, "`quality` must be 3 finite numbers"),
    ],
)
def test_bad_input_is_refused(proxies, scores, arguments, error, text):
    with pytest.raises(error, match=text):
        label_qualities(proxies, scores, candidates=NAMES, **arguments)


@pytest.mark.parametrize("wrong", [-0.5, 1.5])
def test_scores_outside_their_range_are_refused(wrong):
    _, proxy, scores = draw(0)
    scores[0, 1] = wrong
    with pytest.raises(ValueError, match=r"`scores` must lie in \[0, 1\], got "):
        label_qualities(proxy, scores, candidates=NAMES)
