from itertools import permutations

import numpy as np
import pytest

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import canary_test


def _answers(rng, shift=0.0, n=6, prompts="abcd", noise=0.05):
    return {p: -np.arange(1.0, 6.0) + shift + rng.normal(0, noise, (n, 5)) for p in prompts}


def test_unchanged_model_alerts_no_more_often_than_promised():
    rng, trials = np.random.default_rng(0), 300
    alerts = sum(
        canary_test(_answers(rng), _answers(rng), rng=rng, n_permutations=99).p_value <= 0.1 for _ in range(trials)
    )
    # .1 and three binomial standard errors
    assert alerts / trials <= 0.1 + 3 * np.sqrt(0.09 / trials)


def test_a_shift_of_one_standard_deviation_is_seen():
    rng = np.random.default_rng(1)
    found = canary_test(_answers(rng), _answers(rng, shift=0.05), rng=rng)
    assert found.p_value <= 0.001
    assert found.shift == pytest.approx(0.05, abs=0.02)


def test_p_value_is_that_of_all_shuffles():
    rng = np.random.default_rng(2)
    before, after = {"a": rng.random((3, 2))}, {"a": rng.random((3, 2)) + 0.4}
    values = np.concatenate([before["a"], after["a"]])
    spread = values.std(axis=0)

    def statistic(order):
        return (np.abs(values[order[:3]].mean(axis=0) - values[order[3:]].mean(axis=0)) / spread).mean()

    seen = statistic([0, 1, 2, 3, 4, 5])
    exact = np.mean([statistic(list(order)) >= seen - 1e-12 for order in permutations(range(6))])
    found = canary_test(before, after, rng=rng, n_permutations=9999, least_p_value=0.2)
    assert found.statistic == pytest.approx(seen)
    # a share of 9,999 shuffles, four standard errors
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 9999) + 1e-4)


def test_a_server_without_noise_shows_any_change_and_no_other():
    one = {p: np.tile([-1.0, -2.0], (4, 1)) for p in "ab"}
    other = {p: values + 1e-3 for p, values in one.items()}
    rounding = {p: values + 1e-7 for p, values in one.items()}
    rng = np.random.default_rng(3)
    assert canary_test(one, other, rng=rng).p_value <= 0.01
    assert canary_test(one, one, rng=rng).p_value == 1
    assert canary_test(one, rounding, rng=rng).p_value == 1


def test_alternatives_that_were_not_given_count_as_the_least():
    before = {"a": np.array([[-1.0, np.nan]] * 5)}
    found = canary_test(before, {"a": np.array([[-1.0, -1.0]] * 5)}, rng=np.random.default_rng(4))
    assert found.p_value == 1


def test_largest_shift_comes_first():
    rng = np.random.default_rng(5)
    before = _answers(rng, prompts="ab")
    after = {"a": before["a"], "b": before["b"] + 1}
    assert list(canary_test(before, after, rng=rng).shifts) == ["b", "a"]


@pytest.mark.parametrize(
    ("before", "after", "error", "text"),
    [
        ({"a": np.ones((5, 2))}, {"b": np.ones((5, 2))}, NotEnoughDataError, "no prompt was asked both"),
        ({"a": np.ones((1, 2))}, {"a": np.ones((1, 2))}, NotEnoughDataError, "allow no p-value below 1."),
        ({"a": np.ones((3, 2))}, {"a": np.ones((3, 2))}, NotEnoughDataError, "allow no p-value below 0.1"),
        ({"a": np.ones((5, 2))}, {"a": np.ones((5, 3))}, ValueError, "`after` must have k = 2"),
        ({"a": np.full((5, 2), np.nan)}, {"a": np.ones((5, 2))}, ValueError, "must have log-probabilities"),
    ],
)
def test_bad_answers_are_named(before, after, error, text):
    with pytest.raises(error, match=text):
        canary_test(before, after, rng=np.random.default_rng(0))
