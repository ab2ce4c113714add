import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.decisions import AcquireOptions, SliceCost, choose_slices, exponent_sensitivity, plan_acquisition
from nilometer.decisions.plans.acquire import _p_worst, cover_slice, moved_share
from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.estimators import Estimate, NotEnoughData


def _slice(name, accuracy, n=100, half=0.03):
    low, high = max(accuracy - half, 0.0), min(accuracy + half, 1.0)
    return Estimate(slice=name, n=n, accuracy=accuracy, low=low, high=high, confidence_level=0.95, method="x")


SLICES = [_slice("good", 0.95), _slice("bad", 0.4), _slice("middling", 0.7)]


def _plan(estimates=SLICES, budget=300.0, **options):
    return {row.slice: row for row in plan_acquisition(estimates, budget, rng=np.random.default_rng(0), **options)}


def test_bad_slices_get_most_and_the_budget_is_kept():
    found = _plan()
    assert found["bad"].n_new > found["middling"].n_new > found["good"].n_new
    assert 297 <= sum(row.cost for row in found.values()) <= 300


def test_first_example_closes_traffic_times_gap_times_slope():
    found = _plan([_slice("a", 0.5, half=1e-6), _slice("b", 0.5, n=300, half=1e-6)])
    # d err / d m at m = 0 is g err / have, with g log-normal around .3; one example in a million responses
    expected = 0.25 * 0.5 * 0.3 * np.exp(0.47**2 / 2) / 100 * 1e6
    assert found["a"].errors_closed_per_cost == pytest.approx(expected, rel=0.05)
    assert found["b"].errors_closed_per_cost == pytest.approx(3 * expected, rel=0.05)


def test_twice_the_cost_is_worth_half():
    costs = {"good": SliceCost(), "bad": SliceCost(cost=2), "middling": SliceCost()}
    plain, dear = _plan()["bad"], _plan(costs=costs)["bad"]
    assert dear.errors_closed_per_cost == pytest.approx(plain.errors_closed_per_cost / 2)
    assert dear.n_new < plain.n_new


def test_errors_beyond_the_target_do_not_count():
    found = _plan(options=AcquireOptions(target=0.6))
    assert found["good"].n_new == found["middling"].n_new == 0
    assert found["bad"].n_new == 300


def test_probability_of_being_worst():
    found = _plan([*SLICES, NotEnoughData(slice="new", n=100, reason="r", needed="n")], options=AcquireOptions(worst=1))
    assert sum(row.p_worst for row in found.values()) == pytest.approx(1)
    # a uniform accuracy is below .4 with probability .4
    assert found["new"].p_worst == pytest.approx(0.4, abs=0.04)
    assert found["new"].accuracy is None


def test_moved_share_is_nothing_for_the_same_plan_and_all_for_disjoint_ones():
    found = tuple(_plan().values())
    assert moved_share(found, found[::-1]) == 0
    dear = {row.slice: SliceCost(cost=1e6) for row in found}
    first, second = (
        tuple(_plan(costs={**dear, name: SliceCost()}, options=AcquireOptions(target=0.99)).values())
        for name in ("bad", "middling")
    )
    assert moved_share(first, second) == 1


def test_missing_and_impossible_costs_are_named():
    with pytest.raises(ConfigError, match="'bad' is missing"):
        _plan(costs={"good": SliceCost()})
    with pytest.raises(ConfigError, match="of 'good' must be > 0"):
        _plan(costs={"good": SliceCost(cost=0)})
    with pytest.raises(ConfigError, match="`budget` must be > 0"):
        _plan(budget=0.0)


def test_cover_reaches_every_corner():
    rng = np.random.default_rng(1)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10.0]])
    features = np.repeat(centres, 25, axis=0) + rng.normal(0, 0.1, (100, 2))
    assert sorted((cover_slice(features, 4) // 25).tolist()) == [0, 1, 2, 3]


def test_cover_stops_when_nothing_new_is_left_and_bears_nan():
    features = np.array([[1.0, np.nan], [1.0, np.nan], [2.0, np.nan]])
    assert len(cover_slice(features, 3)) == 2
    assert cover_slice(np.empty((0, 2)), 3).tolist() == []


def test_chosen_slices_are_the_middles_of_equal_parts_of_the_difficulty():
    scores = {"e": 1.0, "b": 0.1, "c": 0.5, "d": 0.9, "a": 0.0}
    assert choose_slices(scores, 2) == ("b", "d")
    assert choose_slices(scores, 5) == ("a", "b", "c", "d", "e")
    nine = {str(i): float(i) for i in range(9)}
    assert choose_slices(nine, 3) == ("1", "4", "7")
    with pytest.raises(NotEnoughDataError, match="6 slices cannot be chosen of 5"):
        choose_slices(scores, 6)


def test_draws_of_the_sensitivity_follow_the_generator():
    rows = [_slice(name, a, half=0.15) for name, a in (("a", 0.5), ("b", 0.55), ("c", 0.6), ("d", 0.9))]
    found = {tuple(exponent_sensitivity(rows, 50, rng=np.random.default_rng(s)).values()) for s in range(6)}
    assert len(found) > 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_probability_of_being_among_the_worst_is_the_share_of_ranks(seed, worst):
    accuracies = np.random.default_rng(seed).random((7, 150))
    ranks = np.argsort(np.argsort(accuracies, axis=0), axis=0)
    assert _p_worst(accuracies, worst).tolist() == pytest.approx((ranks < worst).mean(axis=1).tolist())
