import numpy as np
import pytest
from scipy import stats

from nilometer.service import SCALES, judge_windows


def _moments(x):
    """Number, sum and sum of squares over the last axis."""
    return np.stack([np.full(x.shape[:-1], float(x.shape[-1])), x.sum(-1), (x**2).sum(-1)], axis=-1)


def test_p_value_is_the_larger_of_the_t_test_and_bennetts_bound():
    rng = np.random.default_rng(0)
    reference = rng.permuted(np.tile(np.linspace(0.1, 0.9, 100), (40, 1)), axis=1)[None]
    variance = np.linspace(0.1, 0.9, 100).var(ddof=1)
    for shift in (0.05, 0.2):
        window = np.linspace(0.1, 0.9, 100) + shift
        found = judge_windows(_moments(reference), _moments(window[None]))
        by_t = stats.ttest_ind(reference.ravel(), window, equal_var=True).pvalue
        spread2 = variance * (1 + 1 / 40)
        u = 0.5 * shift / spread2
        bennett = 2 * np.exp(-100 * spread2 / 0.25 * ((1 + u) * np.log(1 + u) - u))
        assert found.after[0] - found.before[0] == pytest.approx(shift)
        assert found.p_value[0] == pytest.approx(max(by_t, bennett), rel=0.1)


def test_mean_of_skewed_values_does_not_alarm_more_often_than_said():
    rng = np.random.default_rng(5)
    reference = (rng.random((1, 24, 100)) < 0.02).astype(float).repeat(4000, axis=0)
    found = judge_windows(_moments(reference), _moments((rng.random((4000, 100)) < 0.02).astype(float)))
    assert (found.p_value <= 1e-3).sum() <= stats.binom.ppf(0.999, 4000, 1e-3)


def test_rhythm_of_the_reference_is_no_change():
    rng = np.random.default_rng(1)
    centre = 0.5 + 0.15 * np.sin(np.arange(168) / 24 * 2 * np.pi)
    reference = np.clip(centre[:, None] + rng.normal(0, 0.1, (168, 400)), 0, 1)[None]
    window = np.clip(0.64 + rng.normal(0, 0.1, (1, 400)), 0, 1)
    assert judge_windows(_moments(reference), _moments(window)).p_value[0] > 0.1


def test_slices_are_judged_together_by_holm():
    rng = np.random.default_rng(2)
    reference = rng.random((5, 20, 200))
    window = rng.random((5, 200))
    found = judge_windows(_moments(reference), _moments(window))
    ordered = np.sort(found.p_value)
    raised = np.maximum.accumulate(ordered * np.arange(5, 0, -1)).clip(max=1)
    np.testing.assert_allclose(np.sort(found.adjusted), raised)


@pytest.mark.parametrize(("n_windows", "n", "n_now"), [(4, 100, 100), (20, 29, 100), (20, 100, 29), (0, 0, 0)])
def test_too_little_is_not_judged(n_windows, n, n_now):
    rng = np.random.default_rng(3)
    reference, window = rng.random((1, n_windows, n)), rng.random((1, n_now))
    found = judge_windows(_moments(reference), _moments(window))
    assert not found.is_judged[0]
    assert found.p_value[0] == found.adjusted[0] == 1


def test_constant_slice_changes_by_any_amount_and_only_then():
    reference = np.full((2, 10, 50), 0.5)
    found = judge_windows(_moments(reference), _moments(np.stack([np.full(50, 0.5), np.full(50, 0.6)])))
    assert found.p_value[0] == 1
    assert found.p_value[1] < 1e-6


def test_p_values_are_uniform_while_nothing_changes():
    rng = np.random.default_rng(4)
    reference = rng.beta(2, 1, (2000, 24, 60))
    found = judge_windows(_moments(reference), _moments(rng.beta(2, 1, (2000, 60))))
    for level in (0.01, 0.05, 0.2):
        alarms = int((found.p_value <= level).sum())
        assert alarms <= stats.binom.ppf(0.999, 2000, level)


def test_scales_spend_the_month_once():
    assert sum(scale.level(0.3) * 720 / scale.hours for scale in SCALES) == pytest.approx(0.3)
