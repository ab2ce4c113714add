"""A judge's score and preference by hand and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from nilometer.decisions import judge_score, prefer
from nilometer.errors import ConfigError
from nilometer.estimators import Posterior


def test_log_probabilities_give_the_mean_and_the_bounds_of_what_is_missing():
    posterior = Posterior.from_masses({3: 0.2, 4: 0.6}, labels=range(1, 6), largest_open=0.1)
    score = judge_score(posterior)
    assert (score.score, score.mode) == (pytest.approx(3.75), 4.0)
    assert (score.low, score.high) == pytest.approx(((3.0 + 0.1 * 1 + 0.1 * 2) / 1.0, (3.0 + 0.1 * 5) / 0.9))
    assert score.missing_mass == pytest.approx(0.2)


def test_draws_give_students_interval():
    draws = [3, 4, 4, 5, 4, 2]
    score = judge_score(Posterior.from_samples(draws, labels=range(1, 6)))
    low, high = stats.t.interval(0.95, 5, np.mean(draws), stats.sem(draws))
    assert (score.low, score.high) == pytest.approx((low, high))


def test_the_interval_of_draws_covers_the_mean_as_promised():
    rng = np.random.default_rng(1)
    p = np.array([0.05, 0.1, 0.3, 0.35, 0.2])
    inside = 0
    for _ in range(400):
        score = judge_score(Posterior.from_samples(rng.choice(5, 12, p=p), labels=range(5)))
        inside += score.low <= p @ np.arange(5) <= score.high
    # 400 draws at 0.95: sd 4.4, and Student's interval is near its level for bounded scores
    assert 360 <= inside <= 396


def test_one_draw_leaves_the_scale_open():
    score = judge_score(Posterior.from_samples([4], labels=range(1, 6)))
    assert (score.low, score.high) == (1.0, 5.0)
    with pytest.raises(ConfigError, match="one sample has no error bar"):
        judge_score(Posterior.from_samples([4]))


def test_the_lower_tail_is_the_mean_of_the_worst_tenth():
    posterior = Posterior.from_samples([1] + [3] * 9 + [5] * 10)
    assert judge_score(posterior).lower_tail == pytest.approx((0.05 * 1 + 0.05 * 3) / 0.1)


def test_preference_is_free_of_a_pull_of_place():
    # the judge prefers the first answer with .7 and adds .2 to whatever stands first
    first, swapped = ({"A": p, "B": 1 - p} for p in (0.7 + 0.2, 0.3 + 0.2))
    made = [Posterior.from_label_logprobs({k: math.log(v) for k, v in row.items()}) for row in (first, swapped)]
    preference = prefer(*made)
    assert preference.p_first == pytest.approx(0.7)
    assert preference.position_bias == pytest.approx(0.2)
    assert preference.is_consistent is False
    assert prefer(*made[::-1]).p_first == pytest.approx(0.3)


def test_ties_count_half():
    tie = Posterior.from_samples(["C", "C", "A", "B"])
    assert prefer(tie, tie).p_first == 0.5
    with pytest.raises(ConfigError, match="the posterior must hold 'A' or 'B'"):
        prefer(Posterior.from_samples(["x", "y"]), tie)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ConfigError, match="a judge's scores must be numbers, got 'good'"):
        judge_score(Posterior.from_samples(["good", "good"]))
    with pytest.raises(ValueError, match="`confidence_level` must lie in"):
        judge_score(Posterior.from_samples([1, 2]), confidence_level=1.0)
