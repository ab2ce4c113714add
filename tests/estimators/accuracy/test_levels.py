import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.estimators import fit_level_slope, spread_levels

TWO = np.array([0, 0, 1, 1])


def _logit(p):
    return np.log(p) - np.log1p(-p)


def test_slope_is_the_posterior_mean_by_hand():
    estimated, realized = np.array([0.4, 0.6]), np.array([0.3, 0.7])
    x, y = _logit(np.array([0.4, 0.6])), _logit(np.array([0.3, 0.7]))
    noise = ((y - x) ** 2).mean()
    expected = (1 / 0.09 + (x @ y) / noise) / (1 / 0.09 + (x @ x) / noise)
    assert fit_level_slope(estimated, realized, np.array([0, 0])).new == pytest.approx(expected)


def test_slope_learns_how_much_levels_are_compressed():
    rng = np.random.default_rng(1)
    families = np.repeat(np.arange(40), 6)
    odds = rng.normal(size=240)
    estimated = 1 / (1 + np.exp(-odds / 1.8))
    realized = 1 / (1 + np.exp(-odds))
    assert fit_level_slope(estimated, realized, families).new == pytest.approx(1.8, abs=0.2)


def test_differences_between_families_do_not_count():
    estimated, realized = np.array([0.2, 0.2, 0.8, 0.8]), np.array([0.4, 0.4, 0.6, 0.6])
    assert fit_level_slope(estimated, realized, TWO).new == 1.0


def test_slope_is_never_negative():
    estimated, realized = np.tile([0.05, 0.95], 50), np.tile([0.95, 0.05], 50)
    assert fit_level_slope(estimated, realized, np.repeat(np.arange(50), 2)).new == 0.0


def test_the_slope_of_a_labelled_family_rests_on_the_others_alone():
    rng = np.random.default_rng(2)
    families = np.repeat(np.arange(4), 3)
    estimated, realized = rng.uniform(0.1, 0.9, (2, 12))
    fitted = fit_level_slope(estimated, realized, families)
    for family in range(4):
        rest = families != family
        place = np.unique(families[rest], return_inverse=True)[1]
        assert fitted.left_out[family] == pytest.approx(fit_level_slope(estimated[rest], realized[rest], place).new)


def test_one_estimate_at_the_edge_has_finite_log_odds():
    assert np.isfinite(fit_level_slope(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0, 0])).new)


@given(st.lists(st.floats(0.03, 0.97), min_size=4, max_size=4), st.floats(0.1, 3))
def test_spreading_keeps_the_mean_of_the_log_odds(values, slope):
    spread = spread_levels(np.array(values), TWO, slope)
    for own in (TWO == 0, TWO == 1):
        assert _logit(spread[own]).mean() == pytest.approx(_logit(np.array(values)[own]).mean(), abs=1e-9)


def test_a_family_of_one_slice_keeps_its_estimate():
    assert spread_levels(np.array([0.999]), np.array([0]), 2.0).tolist() == [0.999]


def test_nothing_to_spread_is_nothing():
    assert spread_levels(np.empty(0), np.empty(0, dtype=int), 1.5).size == 0
    assert fit_level_slope(np.empty(0), np.empty(0), np.empty(0, dtype=int)).new == 1.0
