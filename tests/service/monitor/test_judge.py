import numpy as np
import pytest
from scipy import stats

from nilometer.service import SCALES, judge_windows


def _moments(x):
    """Number, sum and sum of squares over the last axis."""
    return np.stack([np.full(x.shape[:-1], float(x.shape[-1])), x.sum(-1), (x**2).sum(-1)], axis=-1)


def test_many_equal_windows_give_the_two_sample_t_test():
    rng = np.random.default_rng(0)
    reference = rng.permuted(np.tile(np.linspace(0.1, 0.9, 100), (40, 1)), axis=1)[None]
    window = np.linspace(0.15, 0.95, 100)
    found = judge_windows(_moments(reference), _moments(window[None]))
    wanted = stats.ttest_ind(reference.ravel(), window, equal_var=True)
    assert found.after[0] - found.before[0] == pytest.approx(0.05)
    assert found.p_value[0] == pytest.approx(wanted.pvalue, rel=0.05)  # windows without any variance between them


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
