"""Cost and quality of policies."""

import numpy as np
import pytest

from nilometer.decisions import (
    PolicyPoint,
    cheapest_point,
    compare_with_mixing,
    fixed_points,
    oracle_point,
    policy_point,
)
from nilometer.errors import NotEnoughDataError

SCORES = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
COSTS = np.array([1.0, 5.0])


def test_points_by_hand():
    points = {point.name: point for point in fixed_points(["a", "b"], SCORES, costs=COSTS)}
    assert (points["a"].cost, points["a"].quality) == (1.0, 0.5)
    assert (points["b"].cost, points["b"].quality) == (5.0, 0.75)
    assert (points["random"].cost, points["random"].quality) == (3.0, 0.625)
    assert (points["oracle"].cost, points["oracle"].quality) == ((1 + 1 + 5 + 5) / 4, 1.0)


def test_a_missing_answer_scores_zero_alone_and_is_not_drawn():
    scores = np.array([[np.nan, 1.0], [1.0, 1.0]])
    points = {point.name: point for point in fixed_points(["a", "b"], scores)}
    assert points["a"].quality == 0.5
    assert points["random"].quality == 1.0


def test_the_oracle_takes_the_cheapest_of_the_best():
    assert oracle_point(np.array([[1.0, 1.0], [0.0, 0.0]]), COSTS).cost == 1.0


def test_gain_is_measured_against_the_mix_at_equal_cost():
    own = np.array([1.0, 1.0, 1.0, 1.0])
    point = compare_with_mixing(policy_point("x", "cascade", own, costs=3.0), own, SCORES, costs=COSTS)
    assert point.gain == pytest.approx(1.0 - 0.5 * (0.5 + 0.75))
    beyond = compare_with_mixing(policy_point("x", "select", own, costs=50.0), own, SCORES, costs=COSTS)
    assert beyond.gain == pytest.approx(0.25)
    assert compare_with_mixing(policy_point("x", "route", own, costs=0.5), own, SCORES, costs=COSTS).gain is None


def test_intervals_are_those_of_a_mean():
    values = np.random.default_rng(0).random(50)
    point = policy_point("x", "model", values, confidence_level=0.9)
    half = 1.6765508919142629 * values.std(ddof=1) / np.sqrt(50)  # t quantile of scipy 1.16, 49 df
    assert point.low == pytest.approx(values.mean() - half)
    assert point.high == pytest.approx(values.mean() + half)


def test_budgets_and_targets_pick_points():
    points = fixed_points(["a", "b"], SCORES, costs=COSTS)
    assert cheapest_point(points, budget=4.9).name == "a"
    assert cheapest_point(points, budget=5).name == "b"
    assert cheapest_point(points, target=0.5).name == "a"
    assert cheapest_point(points, target=0.6).name == "b"
    with pytest.raises(NotEnoughDataError, match=r"Nothing costs 0\.5 or less\. The cheapest costs 1"):
        cheapest_point(points, budget=0.5)
    with pytest.raises(NotEnoughDataError, match=r"Nothing reaches 0\.9\. The best reaches 0\.750"):
        cheapest_point(points, target=0.9)
    with pytest.raises(ValueError, match="exactly one of `budget` and `target`"):
        cheapest_point(points)


def test_no_labels_no_point():
    with pytest.raises(NotEnoughDataError, match="No prompt has labels"):
        policy_point("x", "model", np.array([]))


def test_of_points_that_cost_the_same_the_better_reaches_a_target():
    points = [
        PolicyPoint(name, "single", 1.0, quality, quality, quality, 9) for name, quality in (("a", 0.7), ("b", 0.9))
    ]
    assert cheapest_point(points, target=0.6).name == "b"
