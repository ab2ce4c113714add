import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import brentq
from scipy.special import log_ndtr
from scipy.stats import beta, chi2, t

from nilometer.estimators import (
    Residuals,
    conformal_interval,
    fit_residuals,
    pool_residuals,
    prediction_interval,
)
from nilometer.estimators.intervals import half_widths
from nilometer.estimators.residuals import error_unit, sampling_noise


def _factor(m, degrees, level=0.95):
    """Half-width over its scale of m simultaneous intervals, noise aside; the prior brings two of the degrees."""
    residuals = Residuals(50, 0.0, 0.2, 0.0, degrees - 2)
    low, high = prediction_interval(0.5, residuals, n=10**9, confidence_level=level, simultaneous=m)
    return (high - low) / 2 / np.sqrt(0.35) / 0.2


def test_simultaneous_intervals_are_the_published_table_and_t_for_one():
    """Stoline and Ury (1979), table of the studentised maximum modulus, level .95."""
    assert _factor(1, 7.0) == pytest.approx(t.ppf(0.975, 7), abs=0.01)
    for n, degrees, table in ((3, 5, 3.399), (6, 10, 3.206), (10, 20, 3.114)):
        assert _factor(n, degrees) == pytest.approx(table, abs=0.01)


@given(st.integers(2, 50), st.floats(5, 60), st.floats(0.5, 0.95))
def test_simultaneous_intervals_lie_between_one_and_bonferroni(n, degrees, level):
    value = _factor(n, degrees, level)
    assert min(t.ppf(0.5 + level / 2, degrees), 4.22) <= value * 1.002
    assert value <= t.ppf(1 - (1 - level) / (2 * n), degrees) * 1.002


def test_interval_without_noise_is_students_by_hand():
    low, high = prediction_interval(0.5, Residuals(5, 0.0, 0.25, 0.0, 4.0), n=10**9)
    half = t.ppf(0.975, 6) * np.sqrt(0.35) * np.sqrt((2 * 0.2**2 + 4 * 0.25**2) / 6)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-3)


def test_interval_with_noise_is_that_of_weighted_draws():
    """Spreads drawn from the prior, weighted by how probable they make the observed one."""
    rng, unit = np.random.default_rng(0), np.sqrt(0.6 * 0.4 + 0.1)
    squared = 2 * 0.2**2 / rng.chisquare(2, 400_000)
    weights = chi2.pdf(4 * 0.25**2 / (squared + 0.03), 4) / (squared + 0.03)
    error = rng.normal(0, np.sqrt(unit**2 * squared + 0.6 * 0.4 / 100 + 0.05**2))
    low, high = prediction_interval(
        0.6, Residuals(5, 0.0, 0.25, 0.03, 4.0), n=100, confidence_level=0.8, label_noise=0.05
    )
    assert np.average(np.abs(error) < (high - low) / 2, weights=weights) == pytest.approx(0.8, abs=0.005)


def test_noise_of_few_labels_is_taken_off_and_that_of_a_small_slice_put_on():
    few = fit_residuals(np.full(8, 0.5), np.tile([0.4, 0.6], 4), np.full(8, 10.0))
    many = fit_residuals(np.full(8, 0.5), np.tile([0.4, 0.6], 4), np.full(8, 1e6))
    width = [np.ptp(prediction_interval(0.5, r, n=n)) for r, n in ((few, 10**6), (many, 10**6), (many, 10))]
    assert width[0] < width[1] < width[2]


def test_error_is_smaller_near_the_ends():
    assert error_unit(0.0) == error_unit(1.0) < error_unit(0.2) < error_unit(0.5)


def test_pooling_agreeing_models_adds_degrees_and_draws_the_spread_together():
    own = Residuals(4, 0.0, 0.8, 0.01, 3.0)
    others = [own._replace(spread=s) for s in (0.4, 0.42, 0.38, 0.41)]
    pooled = pool_residuals(own, others)
    assert 0.4 < pooled.spread < 0.8
    assert pooled.degrees > 3


def test_pooling_models_that_differ_much_changes_little():
    own = Residuals(30, 0.0, 0.3, 0.01, 29.0)
    pooled = pool_residuals(own, [own._replace(spread=s) for s in (0.02, 1.5, 0.05, 0.9)])
    assert pooled.spread == pytest.approx(0.3, rel=0.1)


def test_pooling_needs_two_other_models():
    own = Residuals(4, 0.0, 0.8, 0.01, 3.0)
    assert pool_residuals(own, [own]) == own


@pytest.mark.parametrize(("n_families", "known"), [(8, False), (9, True)])
def test_conformal_needs_nine_families_at_90_percent(n_families, known):
    residuals = fit_residuals(np.full(n_families, 0.5), np.linspace(0.4, 0.7, n_families), np.full(n_families, 100.0))
    assert (conformal_interval(0.5, residuals, confidence_level=0.9) is not None) == known


def test_conformal_with_the_fewest_families_is_the_largest_residual():
    residuals = fit_residuals(np.full(9, 0.5), np.linspace(0.4, 0.7, 9), np.full(9, 100.0))
    assert conformal_interval(0.5, residuals, confidence_level=0.9) == pytest.approx((0.3, 0.7))


def test_conformal_covers_a_new_family():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        estimated = rng.uniform(0.2, 0.8, 20)
        realized = np.clip(estimated + rng.standard_t(3, 20) * 0.05, 0, 1)
        residuals = fit_residuals(estimated[:19], realized[:19], np.full(19, 500.0))
        low, high = conformal_interval(estimated[19], residuals, confidence_level=0.9)
        hits += low <= realized[19] <= high
    # at least .9, at most .9 + 1/20; binomial standard error .009
    assert 0.87 <= hits / 1000 <= 0.98


def test_spread_inside_and_between_families_by_hand():
    """Units are sqrt(.35). Family means 0 and .1, their variance .005; inside .02, of which half is in the means."""
    half, families = np.full(4, 0.5), np.array(["a", "a", "b", "b"])
    found = fit_residuals(half, np.array([0.6, 0.4, 0.7, 0.5]), np.full(4, 50.0), families=families)
    assert found.bias == pytest.approx(0.05 / np.sqrt(0.35))
    assert found.spread == pytest.approx(np.sqrt((0.05**2 + 0.005 + 0.02 / 2) / 0.35))
    assert found.degrees == 1


def test_pooling_finds_the_prior_that_the_spreads_were_drawn_from():
    """Variances of 3 degrees, each around a true one drawn from the scaled inverse chi square of 8 degrees."""
    rng = np.random.default_rng(0)
    true = 8 * 0.3**2 / rng.chisquare(8, 4000)
    seen = np.sqrt(true * rng.chisquare(3, 4000) / 3)
    own = Residuals(4, 0.0, 0.6, 0.01, 3.0)
    pooled = pool_residuals(own, [own._replace(spread=float(one)) for one in seen])
    assert pooled.degrees == pytest.approx(8 + 3, rel=0.1)
    assert pooled.spread**2 == pytest.approx((8 * 0.3**2 + 3 * 0.6**2) / (8 + 3), rel=0.05)


def test_two_other_models_are_enough_to_pool():
    own = Residuals(4, 0.0, 0.8, 0.01, 3.0)
    assert pool_residuals(own, [own._replace(spread=0.4), own._replace(spread=0.42)]).spread < 0.8


@pytest.mark.parametrize(("share", "n"), [(0.7, 10.0), (0.0, 1.0), (0.25, 40.0)])
def test_noise_of_a_share_is_the_mean_under_jeffreys_posterior(share, n):
    half = np.full(2, 0.5)
    found = fit_residuals(half, np.array([share, 0.5]), np.array([n, 1e12]))
    a, b = n * share + 0.5, n * (1 - share) + 0.5
    wanted = beta.expect(lambda x: x * (1 - x) / n, args=(a, b))
    assert found.noise == pytest.approx(wanted / 0.35 / 2, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 300, 10_000]))
def test_half_widths_of_many_slices_are_each_the_root_of_the_formula(seed, m):
    rng = np.random.default_rng(seed)
    residuals = Residuals(5, 0.0, rng.uniform(0.02, 0.5), rng.uniform(0, 0.05), rng.choice([4.0, 60.0]))
    estimates, n, noise = rng.random(3), rng.integers(1, 500, 3).astype(float), rng.random(3) * 0.1
    found = half_widths(estimates, residuals, n=n, label_noise=noise, confidence_level=0.9, simultaneous=m)
    grid = np.geomspace(1e-4, 9.0, 160)
    whole = grid + residuals.noise
    log = -(np.log(grid) + 0.04 / grid) - residuals.degrees / 2 * (np.log(whole) + residuals.spread**2 / whole)
    weights = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    for i in range(3):
        scale = np.sqrt(grid * error_unit(estimates[i]) ** 2 + sampling_noise(estimates[i], n[i]) + noise[i] ** 2)

        def missing(half, scale=scale):
            return float(weights @ np.exp(m * np.log1p(-2 * np.exp(log_ndtr(-half / scale))))) - 0.9

        assert found[i] == pytest.approx(brentq(missing, 1e-6, 1e3, xtol=1e-14), abs=1e-9)
