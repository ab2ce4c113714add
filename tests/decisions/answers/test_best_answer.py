"""What a decision carries beside its value: risk, runner-up, stability, missing mass, abstention."""

import math

import numpy as np
import pytest

from nilometer.decisions import CostMatrix, best_answers, decide, decide_arrays, decide_many, user_rule
from nilometer.errors import ConfigError
from nilometer.estimators import NotEnoughData, Posterior


def test_the_runner_up_is_the_best_other_answer_and_regret_is_what_it_costs():
    decision = decide(Posterior.from_samples(["a"] * 5 + ["b"] * 3 + ["c"]), "zero_one")
    assert (decision.value, decision.runner_up) == ("a", "b")
    assert decision.regret == pytest.approx(2 / 9)
    number = decide(Posterior.from_samples([1, 2, 6]), "squared")
    assert (number.value, number.runner_up, number.regret) == (3.0, 2, pytest.approx(1.0))
    alone = decide(Posterior.from_samples(["a", "a"]), "zero_one")
    assert (alone.runner_up, alone.regret) == (None, None)


def test_a_list_of_draws_is_a_posterior_in_which_all_count_the_same():
    draws = [[1, 1, 4], [2, 2, 6]]
    posteriors = [Posterior.from_samples(own) for own in draws]
    assert decide(draws[0], "absolute") == decide(posteriors[0], "absolute")
    assert decide(np.array(draws[0]), "absolute") == decide(posteriors[0], "absolute")
    for metric in ("absolute", "qwk"):
        assert list(decide_many(draws, metric)) == list(decide_many(posteriors, metric))
        assert best_answers(draws, metric) == best_answers(posteriors, metric)


@pytest.mark.parametrize("given", [3, "yes", None])
def test_what_is_neither_a_posterior_nor_a_list_is_named(given):
    with pytest.raises(TypeError, match="`posterior` must be a Posterior or a list of draws, got"):
        decide(given, "absolute")
    with pytest.raises(TypeError, match="`posterior` must be a Posterior or a list of draws, got"):
        best_answers([given], "absolute")


def test_more_agreement_is_more_stability():
    def firm(n, m):
        return decide(Posterior.from_samples(["a"] * n + ["b"] * m), "zero_one").stability

    assert firm(3, 2) < firm(6, 2) < firm(12, 2)
    assert firm(30, 1) == 1.0
    # a Dirichlet over counts 4 and one unseen sample: P(p > 1/2) = 1 - (1/2)**4
    assert firm(4, 0) == pytest.approx(1 - 0.5**4, abs=0.04)


def test_stability_foretells_how_often_all_samples_would_agree():
    rng = np.random.default_rng(0)
    said, agreed = [], []
    for _ in range(300):
        p = rng.dirichlet([1.0] * 3)
        draws = rng.choice(list("abc"), 15, p=p)
        decision = decide(Posterior.from_samples(draws.tolist(), labels=list("abc")), "zero_one")
        said.append(decision.stability)
        agreed.append(decision.value == "abc"[int(p.argmax())])
    # the mean of 300 coin flips has a standard deviation of at most 0.029
    assert np.mean(said) == pytest.approx(np.mean(agreed), abs=0.07)
    assert np.corrcoef(said, agreed)[0, 1] > 0.3


def test_one_sample_has_no_stability_and_says_so():
    decision = decide(Posterior.from_samples(["a"]), "zero_one")
    assert isinstance(decision.stability, NotEnoughData)
    fields = decision.to_dict()
    assert fields["stability"] is None
    assert fields["stability_reason"] == "one sample says nothing of the next. Draw at least two."


def test_listed_labels_are_as_stable_as_the_missing_mass_allows():
    sure = Posterior.from_label_logprobs({1: math.log(0.6), 2: math.log(0.4)}, labels=[1, 2, 3])
    assert decide(sure, "zero_one").stability == 1.0
    # label 3 could hold 0.3 of the missing mass and would win
    open_ = Posterior.from_masses({1: 0.28, 2: 0.22}, labels=[1, 2, 3], largest_open=0.3)
    assert decide(open_, "zero_one").stability == 0.0
    assert decide(open_, "zero_one").missing_mass == pytest.approx(0.5)


def test_tolerance_says_when_numbers_are_the_same_decision():
    posterior = Posterior.from_samples([1, 2, 3, 4, 5] * 4)
    tight, loose = (decide(posterior, "squared", tolerance=t).stability for t in (0.01, 2.0))
    assert tight < 0.2
    assert loose > 0.99


def test_the_same_seed_gives_the_same_decision_and_samples_stay_as_they_are():
    samples = [3, 1, 2, 2]
    posterior = Posterior.from_samples(samples)
    assert decide(posterior, "mae", seed=4) == decide(posterior, "mae", seed=4)
    assert samples == [3, 1, 2, 2]
    with pytest.raises(ValueError, match="read-only"):
        posterior.weights[0] = 1.0


def test_abstention_is_chosen_where_it_is_cheaper():
    posterior = Posterior.from_samples(["a", "a", "b", "c"])
    kept = decide(posterior, "zero_one", abstain_cost=0.6)
    left = decide(posterior, "zero_one", abstain_cost=0.5)
    assert (kept.value, kept.abstained, kept.risk) == ("a", False, 0.5)
    assert (left.value, left.abstained, left.risk, left.runner_up) == (None, True, 0.5, "a")


def test_many_decisions_are_those_of_each_and_expect_their_mean_risk():
    rng = np.random.default_rng(2)
    posteriors = [Posterior.from_samples(rng.integers(0, 5, 6)) for _ in range(5)]
    found = decide_many(posteriors, "absolute")
    assert list(found) == [decide(one, "absolute") for one in posteriors]
    assert found.expected == pytest.approx(np.mean([row.risk for row in found]))
    assert best_answers(posteriors, "absolute") == found.values
    assert len(found[:2]) == 2


@pytest.mark.parametrize("metric", ["qwk", "ccc", "spearman", "balanced_accuracy"])
def test_metrics_of_a_batch_have_stability_but_no_risk_of_one_answer(metric):
    rng = np.random.default_rng(2)
    posteriors = [Posterior.from_samples(rng.integers(c, c + 2, 8), labels=range(6)) for c in (0, 1, 3, 4)]
    found = decide_many(posteriors, metric)
    assert all(row.risk is None and 0 <= row.stability <= 1 for row in found)
    assert best_answers(posteriors, metric) == found.values
    with pytest.raises(ConfigError, match="`abstain_cost` has no meaning"):
        decide_many(posteriors, metric, abstain_cost=1.0)


def test_tables_of_decisions_hold_any_kind_of_answer():
    sets = decide_many([Posterior.from_samples([frozenset("ab"), frozenset("ab"), frozenset()])], "f1")
    assert sets.to_arrow()["value"].to_pylist() == [["a", "b"]]
    assert sets.to_dicts()[0]["rule"] == "f1"
    pair = decide_many([Posterior.from_samples([1, 2, 3])], "interval").to_arrow()
    assert pair["value"].to_pylist() == [[1.0, 3.0]]


def test_long_and_many_texts_stay_within_bounds():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["alpha", "beta", "gamma", "delta"], 1500)) for _ in range(300)]
    posterior = Posterior.from_samples(texts * 30)
    assert decide(posterior, "zero_one").risk == pytest.approx(1 - 1 / 300)


@pytest.mark.parametrize("values", [[1.0, 2.0], np.zeros((3, 0))])
def test_arrays_hold_prompts_by_samples(values):
    with pytest.raises(ValueError, match=r"`values` must have shape \(prompts, samples\)"):
        decide_arrays(values, "squared")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: CostMatrix(costs=[[0.0, np.inf]], labels=("a", "b"), answers=("a",)), "`costs` must be finite"),
        (lambda: CostMatrix(costs=[[0.0]], labels=("a",), tail=0.0), r"`tail` must lie in \(0, 1\], got 0"),
        (lambda: user_rule(lambda a, y: 0.0, name="x", tail=1.5), r"`tail` must lie in \(0, 1\], got 1\.5"),
    ],
)
def test_costs_and_rules_out_of_range_are_refused(made, message):
    with pytest.raises(ValueError, match=message):
        made()


def test_a_rule_of_ones_own_is_a_function():
    with pytest.raises(TypeError, match="`function` must be callable, got 'f1'"):
        user_rule("f1", name="x")
