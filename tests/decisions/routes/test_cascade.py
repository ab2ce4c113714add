"""Cascades: what is asked, what it costs, and what stopping is certified for."""

import numpy as np
import pytest
from scipy.stats import binom

from nilometer.decisions import Cascade, calibrate_stop, cascade_for_budget, run_cascade

PRICES = np.array([1.0, 2.0, 3.0, 20.0])


def answers(seed, n=200):
    """Three cheap models that agree more or less, and a dear one."""
    rng = np.random.default_rng(seed)
    spread = rng.random((n, 1, 1)) * 3
    x = rng.normal(size=(n, 4, 2)) * spread
    x[:, 3] = rng.normal(size=(n, 2))
    return x


def test_agreement_stops_and_disagreement_asks_the_last_model():
    x = np.array([[[0.0], [0.1], [9.0], [5.0]], [[0.0], [4.0], [9.0], [5.0]]])
    run = run_cascade(Cascade((0, 1), 3, -0.5), x)
    assert run.models.tolist() == [0, 3]
    assert run.asked.tolist() == [[True, True, False, False], [True, True, False, True]]
    np.testing.assert_allclose(run.costs(PRICES), [3.0, 23.0])
    cascade = Cascade((0, 1), 3, -0.5)
    assert run.reason(0, cascade, "abcd") == "a, b agree (-0.01 >= -0.5); the answer is that of a"
    assert run.reason(1, cascade, "abcd") == "a, b do not agree (-16 < -0.5); d was asked, d answers"


def test_never_and_always_stopping_are_the_ends():
    x = answers(0)
    never, always = (run_cascade(Cascade((0, 1, 2), 3, least), x) for least in (np.inf, -np.inf))
    assert (never.models == 3).all()
    assert (always.models < 3).all()
    np.testing.assert_allclose(never.costs(PRICES), 26.0)
    np.testing.assert_allclose(always.costs(PRICES), 6.0)


@pytest.mark.parametrize("budget", [6.0, 9.3, 15.0, 25.9, 26.0, 100.0])
def test_the_budget_is_kept_and_used(budget):
    x = answers(1)
    cascade = cascade_for_budget(x, PRICES, first=[0, 1, 2], last=3, budget=budget)
    spent = run_cascade(cascade, x).costs(PRICES).mean()
    assert spent <= budget + 1e-9
    assert spent >= min(budget, 26.0) - 20.0 / len(x) - 1e-9


def test_a_silent_last_model_leaves_the_consensus_and_lone_answers_do_not_stop():
    x = np.array([[[0.0], [4.0], [np.nan], [np.nan]], [[0.0], [np.nan], [np.nan], [5.0]]])
    run = run_cascade(Cascade((0, 1), 3, -0.5), x)
    assert run.models.tolist() == [0, 3]
    assert not run.stopped.any()


def test_certified_stopping_keeps_its_promise():
    """300 draws at 90 %: at most 10 % may exceed, 3.3 binomial standard deviations are 5.7 points."""
    broken = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        closeness = rng.random(300)
        harm = (rng.random(300) < 0.4 * (1 - closeness)).astype(float)
        rule = calibrate_stop(closeness, harm, max_harm=0.08, confidence_level=0.9)
        least = min(rule.least_closeness, 1.0)
        truth = 0.4 * (1 - least) ** 2 / 2  # expected harm of stopping above `least`
        broken.append(truth > 0.08)
    assert np.mean(broken) < 0.157


@pytest.mark.parametrize(("n", "stopped"), [(58, 0.0), (59, 1.0)])
def test_without_harm_59_labels_certify_five_percent(n, stopped):
    """0.95 ** 59 < 0.05 < 0.95 ** 58, the rule of three."""
    assert calibrate_stop(np.ones(n), np.zeros(n), max_harm=0.05).stopped == stopped


def test_more_labels_allow_more_stopping_and_few_allow_none():
    closeness = np.linspace(0, 1, 1000)
    harm = (closeness < 0.3).astype(float)
    shares = [
        calibrate_stop(closeness[:: 1000 // n], harm[:: 1000 // n], max_harm=0.05).stopped for n in (20, 100, 1000)
    ]
    assert shares[0] == 0.0
    assert shares[0] < shares[1] < shares[2] <= 0.75


def test_the_bound_holds_the_measured_harm():
    closeness = np.linspace(0, 1, 500)
    rule = calibrate_stop(closeness, (closeness < 0.2).astype(float), max_harm=0.15)
    assert rule.harm < rule.harm_bound <= 0.15


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [((0,), 3, "two or more different models"), ((0, 3), 3, "without the last"), ((0, 9), 3, "of 0..3")],
)
def test_impossible_cascades_are_refused(first, last, text):
    with pytest.raises(ValueError, match=text):
        run_cascade(Cascade(first, last, 0.0), answers(2))


def test_bad_budgets_and_harms_are_refused():
    with pytest.raises(ValueError, match="`budget` must be >= 6, the cost of the first models, got 5"):
        cascade_for_budget(answers(3), PRICES, first=[0, 1, 2], last=3, budget=5)
    with pytest.raises(ValueError, match=r"`max_harm` must lie in \(0, 1\), got 0"):
        calibrate_stop([1.0], [0.0], max_harm=0)
    with pytest.raises(ValueError, match=r"`harm` must hold one number in \[0, 1\]"):
        calibrate_stop([1.0], [2.0], max_harm=0.1)


def test_the_bound_is_where_the_smaller_of_two_tail_bounds_is_the_error_rate():
    """Hoeffding's and Bentkus' bounds on the chance of 12 harms or fewer among 300, with scipy's binomial."""
    rule = calibrate_stop(np.ones(300), (np.arange(300) < 12).astype(float), max_harm=0.2)

    def tails(limit):
        mean = 12 / 300
        divergence = mean * np.log(mean / limit) + (1 - mean) * np.log((1 - mean) / (1 - limit))
        return np.array([np.exp(-300 * divergence), np.e * binom.cdf(12, 300, limit)])

    assert tails(rule.harm_bound).min() == pytest.approx(0.05, rel=1e-4)
    assert np.argmin(tails(rule.harm_bound)) == 1
