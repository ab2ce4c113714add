"""Every rule for numbers against brute force: no answer on a fine grid has a smaller expected loss."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nilometer.decisions import RULES, CostMatrix, bregman_rule, decide, decide_arrays
from nilometer.decisions.answers.minimisers import smape_best
from nilometer.errors import ConfigError
from nilometer.estimators import Posterior

# written anew, not taken from the rules: loss(answer, truth, parameter) of two numbers
LOSSES = {
    "squared": lambda a, y, p: (a - y) ** 2,
    "poisson_deviance": lambda a, y, p: 2 * ((y * math.log(y / a) if y else 0.0) - y + a),
    "gamma_deviance": lambda a, y, p: 2 * (math.log(a / y) + y / a - 1),
    "absolute": lambda a, y, p: abs(a - y),
    "pinball": lambda a, y, p: p * (y - a) if y >= a else (1 - p) * (a - y),
    "asymmetric": lambda a, y, p: p * (y - a) if a < y else a - y,
    "log_cosh": lambda a, y, p: math.log(math.cosh(a - y)),
    "huber": lambda a, y, p: (a - y) ** 2 / 2 if abs(a - y) <= p else p * (abs(a - y) - p / 2),
    "rmsle": lambda a, y, p: (math.log(1 + a) - math.log(1 + y)) ** 2,
    "mape": lambda a, y, p: abs(a - y) / abs(y),
    "smape": lambda a, y, p: 2 * abs(a - y) / (abs(a) + abs(y)) if a or y else 0.0,
    "mspe": lambda a, y, p: ((a - y) / y) ** 2,
    "linex": lambda a, y, p: math.exp(p * (a - y)) - p * (a - y) - 1,
    "within": lambda a, y, p: float(abs(a - y) > p + 1e-7),
}
PARAMETERS = {"pinball": 0.3, "asymmetric": 4.0, "huber": 0.7, "linex": -0.5, "within": 0.9}

few = settings(max_examples=20)
positive = st.integers(1, 24).map(lambda i: i / 4)
posteriors = st.lists(st.tuples(positive, st.integers(1, 5)), min_size=1, max_size=7)


def make(rows):
    return Posterior.from_samples([value for value, count in rows for _ in range(count)])


def expected(loss, answer, posterior, parameter):
    pairs = zip(posterior.values, posterior.weights, strict=True)
    return sum(w * loss(answer, y, parameter) for y, w in pairs)


@pytest.mark.parametrize("name", LOSSES)
@few
@given(rows=posteriors)
def test_no_answer_on_a_grid_is_better(name, rows):
    posterior, loss, parameter = make(rows), LOSSES[name], PARAMETERS.get(name)
    decision = decide(posterior, name, parameter=parameter)
    grid = np.unique(np.concatenate([np.linspace(0.2, 6.2, 121), posterior.values]))
    best = min(expected(loss, a, posterior, parameter) for a in grid.tolist())
    assert expected(loss, decision.value, posterior, parameter) <= best + 1e-9
    assert decision.risk == pytest.approx(expected(loss, decision.value, posterior, parameter), abs=1e-8)


@few
@given(rows=st.lists(st.tuples(st.integers(-8, 8), st.integers(1, 5)), min_size=1, max_size=7))
@pytest.mark.parametrize("name", ["squared", "absolute", "pinball", "log_cosh", "huber", "smape", "within", "linex"])
def test_negative_numbers_and_zero_too(name, rows):
    posterior, loss, parameter = make(rows), LOSSES[name], PARAMETERS.get(name)
    answer = decide(posterior, name, parameter=parameter).value
    grid = np.arange(-8.5, 8.51, 0.1).round(2).tolist()
    assert (
        expected(loss, answer, posterior, parameter)
        <= min(expected(loss, a, posterior, parameter) for a in grid) + 1e-9
    )


@few
@given(rows=st.lists(st.tuples(st.integers(0, 10).map(lambda i: i / 10), st.integers(1, 4)), min_size=1, max_size=6))
def test_log_loss_is_least_at_the_mean(rows):
    posterior = make(rows)
    mean = decide(posterior, "log_loss").value
    assert mean == pytest.approx(posterior.mean)
    if 0 < mean < 1:
        cross = [-(mean * math.log(a) + (1 - mean) * math.log(1 - a)) for a in np.linspace(0.01, 0.99, 99)]
        assert -(mean * math.log(mean) + (1 - mean) * math.log(1 - mean)) <= min(cross) + 1e-12


@few
@given(rows=posteriors)
def test_squared_label_is_the_best_of_the_values(rows):
    posterior = make(rows)
    answer = decide(posterior, "squared_label").value
    risks = [expected(LOSSES["squared"], value, posterior, None) for value in posterior.values]
    assert answer in posterior.values
    assert expected(LOSSES["squared"], answer, posterior, None) == pytest.approx(min(risks))


@few
@given(rows=posteriors)
def test_interval_has_the_least_winkler_score_of_all_pairs_of_values(rows):
    posterior, alpha = make(rows), 0.3

    def winkler(low, high):
        pairs = zip(posterior.values, posterior.weights, strict=True)
        return sum(w * (high - low + 2 / alpha * (max(low - y, 0) + max(y - high, 0))) for y, w in pairs)

    decision = decide(posterior, "interval", parameter=alpha)
    best = min(winkler(low, high) for low in posterior.values for high in posterior.values if low <= high)
    assert winkler(*decision.value) == pytest.approx(best)
    assert decision.risk == pytest.approx(best)


def worst(losses, share):
    """Mean of the largest share, loss by loss."""
    left, total = share, 0.0
    for loss, weight in sorted(losses, reverse=True):
        taken = min(left, weight)
        total, left = total + taken * loss, left - taken
    return total / share


def level_of(losses, level):
    reached = 0.0
    for loss, weight in sorted(losses):
        reached += weight
        if reached >= level - 1e-9:
            return loss
    raise AssertionError


AVERSE = [("absolute_cvar", 0.3, worst), ("absolute_quantile", 0.6, level_of)]


@pytest.mark.parametrize(("name", "parameter", "risk"), AVERSE)
@few
@given(rows=posteriors)
def test_risk_averse_answers_are_the_best_on_a_grid(name, parameter, risk, rows):
    posterior = make(rows)

    def of(a):
        return risk([(abs(a - y), w) for y, w in zip(posterior.values, posterior.weights, strict=True)], parameter)

    decision = decide(posterior, name, parameter=parameter)
    assert of(decision.value) <= min(map(of, np.linspace(0, 6.5, 131).tolist())) + 1e-9
    assert decision.risk == pytest.approx(of(decision.value))


NUMERIC = [rule.name for rule in RULES.values() if rule.kind == "number" and not rule.is_batch] + ["zero_one"]


@pytest.mark.parametrize("name", NUMERIC)
def test_many_rows_at_once_give_what_each_row_gives(name):
    rng = np.random.default_rng(3)
    values = rng.integers(1, 9, (40, 9)) / (10 if name == "log_loss" else 2)
    values[::3, 5:] = np.nan
    parameter = PARAMETERS.get(name)
    found = decide_arrays(values, name, parameter=parameter)
    for row, answer, risk in zip(values, found.answers, found.risks, strict=True):
        alone = decide(Posterior.from_samples(row[~np.isnan(row)]), name, parameter=parameter)
        assert np.allclose(answer, alone.value)
        assert risk == pytest.approx(alone.risk, abs=1e-9)


@pytest.mark.parametrize("name", NUMERIC)
@few
@given(rows=posteriors, shuffled=st.randoms())
def test_the_order_of_samples_does_not_matter(name, rows, shuffled):
    samples = [min(value / 6, 0.9) for value, count in rows for _ in range(count)]
    first = decide(Posterior.from_samples(samples), name, parameter=PARAMETERS.get(name))
    shuffled.shuffle(samples)
    again = decide(Posterior.from_samples(samples), name, parameter=PARAMETERS.get(name))
    assert first == again


@few
@given(rows=posteriors, shift=st.integers(-9, 9))
@pytest.mark.parametrize("name", ["squared", "absolute", "huber", "log_cosh", "within", "interval", "absolute_cvar"])
def test_moving_all_samples_moves_the_answer(name, rows, shift):
    values = np.array([value for value, count in rows for _ in range(count)])
    moved = decide_arrays(values[None] + shift, name).answers
    assert moved == pytest.approx(decide_arrays(values[None], name).answers + shift, abs=1e-9)


def test_ties_go_to_the_lower_answer():
    even = Posterior.from_samples([1, 2])
    assert decide(even, "absolute").value == 1
    assert decide(even, "zero_one").value == 1
    assert decide(even, "squared_label").value == 1
    assert decide(Posterior.from_samples([1, 1, 5, 5]), "within").value == 1


def test_numpy_quantiles_agree():
    values = np.random.default_rng(0).normal(size=(50, 21))
    for level in (0.1, 0.5, 0.83):
        found = decide_arrays(values, "pinball", parameter=level).answers
        assert np.allclose(found, np.quantile(values, level, axis=1, method="inverted_cdf"))


def test_any_bregman_loss_has_the_mean_for_its_answer():
    # generator x log x on positive numbers gives the generalised Kullback-Leibler divergence
    rule = bregman_rule("kl", lambda a, y, _: y * np.log(y / a) - y + a, "KL")
    posterior = Posterior.from_samples([1, 2, 6])
    risks = [decide(posterior, rule).risk - np.mean([y * np.log(y / a) - y + a for y in (1, 2, 6)]) for a in (2.9, 3.1)]
    assert decide(posterior, rule).value == 3
    assert max(risks) < 0


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("mape", [0.0, 1.0], "mape needs y ≠ 0, got 0."),
        ("rmsle", [-1.0, 1.0], "rmsle needs y > −1, got -1."),
        ("gamma_deviance", [0.0, 1.0], "gamma_deviance needs y > 0, got 0."),
        ("log_loss", [0.5, 2.0], "log_loss needs 0 ≤ y ≤ 1, got 2."),
        ("poisson_deviance", [0.0, 0.0], "poisson_deviance needs y ≥ 0, not all 0, got 0."),
    ],
)
def test_a_value_outside_the_domain_is_named(name, values, says):
    with pytest.raises(ConfigError, match=f"^{says}$"):
        decide(Posterior.from_samples(values), name)


def test_values_that_are_not_numbers_are_refused_in_arrays():
    with pytest.raises(ValueError, match="`values` must be finite"):
        decide_arrays([[1, math.inf]], "mae")
    with pytest.raises(ValueError, match="`weights` must be >= 0"):
        decide_arrays([[1.0, 2.0]], "mae", weights=[[0, 0]])
    with pytest.raises(ValueError, match="`weights` must be >= 0"):
        decide_arrays([[np.nan, np.nan]], "mae")
    with pytest.raises(ConfigError, match="f1 is no rule for single numbers"):
        decide_arrays([[1.0]], "f1")
    with pytest.raises(ConfigError, match="cost is no rule"):
        decide_arrays([[1.0]], "cost", parameter=CostMatrix(costs=[[0, 1], [1, 0]], labels=(0, 1)))


def test_many_rows_are_solved_block_by_block():
    values, weights = np.tile([1.0, 2.0, 8.0], (1200, 1)), np.tile([0.2, 0.5, 0.3], (1200, 1))
    assert (smape_best(values, weights) == smape_best(values[:1], weights[:1])[0]).all()
