"""Rules for sets and labels against exhaustive search."""

from collections import Counter
from itertools import chain, combinations, product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nilometer.decisions import CostMatrix, decide, user_rule
from nilometer.decisions.answers.sets import f_measure
from nilometer.errors import ConfigError
from nilometer.estimators import Posterior

few = settings(max_examples=25)
CASES = [("f1", None), ("f_beta", 0.5), ("f_beta", 3), ("hamming", None), ("jaccard", None)]
sets = st.lists(st.frozensets(st.sampled_from("abcde")), min_size=1, max_size=6)
bags = st.lists(st.lists(st.sampled_from("ab"), max_size=3).map(lambda x: tuple(sorted(x))), min_size=1, max_size=5)


def every_set(items="abcde"):
    return [frozenset(c) for c in chain.from_iterable(combinations(items, n) for n in range(len(items) + 1))]


def overlap(a, y):
    return sum((Counter(a) & Counter(y)).values())


def f(a, y, beta=1.0):
    if not a and not y:
        return 1.0
    return (1 + beta**2) * overlap(a, y) / (beta**2 * len(y) + len(a))


UTILITIES = {
    "f1": lambda a, y, p: f(a, y),
    "f_beta": lambda a, y, p: f(a, y, p),
    "hamming": lambda a, y, p: -(len(a) + len(y) - 2 * overlap(a, y)),
    "jaccard": lambda a, y, p: overlap(a, y) / (len(a) + len(y) - overlap(a, y)) if a or y else 1.0,
}


@pytest.mark.parametrize(("name", "parameter"), CASES)
@few
@given(samples=sets)
def test_no_set_at_all_is_better(name, parameter, samples):
    def value(a):
        return np.mean([UTILITIES[name](a, y, parameter) for y in samples])

    decision = decide(Posterior.from_samples(samples), name, parameter=parameter)
    assert value(decision.value) == pytest.approx(max(map(value, every_set())))
    assert decision.risk == pytest.approx((0 if name == "hamming" else 1) - value(decision.value))


@pytest.mark.parametrize("name", ["f1", "hamming", "jaccard"])
@few
@given(samples=bags)
def test_no_bag_at_all_is_better(name, samples):
    def value(a):
        return np.mean([UTILITIES[name](a, y, None) for y in samples])

    answer = decide(Posterior.from_samples(samples), name).value
    every = [("a",) * i + ("b",) * j for i, j in product(range(4), repeat=2)]
    assert value(answer) == pytest.approx(max(map(value, every)))


def test_the_best_set_need_not_be_a_sample():
    samples = [frozenset("a"), frozenset("b"), frozenset("c")]
    decision = decide(Posterior.from_samples(samples), "f1")
    assert decision.value == frozenset("abc")
    assert decision.risk == pytest.approx(0.5)
    assert decision.runner_up in samples


def test_an_empty_set_is_an_answer():
    samples = [frozenset()] * 3 + [frozenset("a")]
    assert decide(Posterior.from_samples(samples), "f1").value == frozenset()
    assert decide(Posterior.from_samples([frozenset()]), "jaccard").value == frozenset()


def test_many_items_stop_early_and_agree_with_the_whole_scan():
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(400)]
    samples = [frozenset(rng.choice(words[: 40 if i % 2 else 400], 20)) for i in range(30)]
    posterior = Posterior.from_samples(samples)
    answer = decide(posterior, "f1").value
    # the full scan: for every size the items with the largest gain
    items = sorted(set().union(*samples))
    member = np.array([[item in sample for item in items] for sample in samples], float)
    best = 0.0
    for k in range(1, len(items) + 1):
        gains = (member * (2 / (member.sum(axis=1) + k))[:, None]).mean(axis=0)
        best = max(best, np.sort(gains)[::-1][:k].sum())
    assert np.mean([f(answer, y) for y in samples]) == pytest.approx(best)


def test_sparse_tables_give_the_same(monkeypatch):
    import nilometer.decisions.answers.sets as module

    rng = np.random.default_rng(1)
    posterior = Posterior.from_samples([frozenset(rng.choice(list("abcdefghijklmnop"), 6)) for _ in range(20)])
    names = ("f1", "hamming", "jaccard")
    dense = [decide(posterior, name).value for name in names]
    monkeypatch.setattr(module, "_DENSE", 0)
    assert [decide(posterior, name).value for name in names] == dense


@few
@given(
    counts=st.lists(st.integers(1, 5), min_size=3, max_size=3),
    costs=st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=4, max_size=4),
    tail=st.sampled_from([1.0, 0.4]),
)
def test_no_row_of_a_cost_matrix_is_cheaper(counts, costs, tail):
    samples = [label for label, n in zip("abc", counts, strict=True) for _ in range(n)]
    matrix = CostMatrix(costs=costs, labels=("a", "b", "c"), answers=("a", "b", "c", "ask"), tail=tail)
    decision = decide(Posterior.from_samples(samples), "cost", parameter=matrix)

    def risk(row):
        drawn = sorted((row["abc".index(y)] for y in samples), reverse=True)
        left, total = tail * len(drawn), 0.0
        for cost in drawn:
            total, left = total + min(1.0, max(left, 0.0)) * cost, left - 1
        return total / (tail * len(drawn))

    assert decision.risk == pytest.approx(min(map(risk, costs)))
    assert decision.value == matrix.answers[int(np.argmin([round(risk(row), 9) for row in costs]))]


@given(samples=st.lists(st.sampled_from("xyz"), min_size=1, max_size=9))
@few
def test_zero_one_takes_the_most_frequent(samples):
    decision = decide(Posterior.from_samples(samples), "accuracy")
    assert samples.count(decision.value) == max(map(samples.count, "xyz"))
    assert decision.risk == pytest.approx(1 - samples.count(decision.value) / len(samples))
    assert decision.value == min(x for x in "xyz" if samples.count(x) == samples.count(decision.value))


@given(samples=st.lists(st.integers(0, 6), min_size=1, max_size=9))
@few
def test_a_metric_of_ones_own_takes_the_best_candidate(samples):
    def utility(answer, truth):
        return 1 / (1 + abs(answer - truth)) - 0.1 * answer

    rule = user_rule(utility, higher_is_better=True, name="mine")
    decision = decide(Posterior.from_samples(samples), rule)
    values = [np.mean([utility(a, y) for y in samples]) for a in samples]
    assert -decision.risk == pytest.approx(max(values))
    everything = user_rule(utility, higher_is_better=True, candidates=range(10))
    assert decide(Posterior.from_samples(samples), everything).risk <= decision.risk + 1e-12


def test_a_plain_function_is_a_loss():
    posterior = Posterior.from_samples(["aa", "aaaa", "aaaaaa"])
    assert decide(posterior, lambda answer, truth: abs(len(answer) - len(truth))).value == "aaaa"


def test_bad_rules_say_why():
    posterior = Posterior.from_samples(["a", "b"])
    with pytest.raises(ConfigError, match="Did you mean squared"):
        decide(posterior, "sqared")
    with pytest.raises(ConfigError, match="absolute needs numbers, got answers such as 'a'"):
        decide(posterior, "mae")
    with pytest.raises(ConfigError, match="f1 needs sets or bags"):
        decide(posterior, "f1")
    with pytest.raises(ConfigError, match="qwk is a metric of many answers"):
        decide(posterior, "qwk")
    with pytest.raises(ConfigError, match="`parameter` of cost must be a CostMatrix"):
        decide(posterior, "cost")
    with pytest.raises(ConfigError, match="zero_one takes no parameter"):
        decide(posterior, "zero_one", parameter=1)
    with pytest.raises(ConfigError, match="asymmetric needs its parameter ratio"):
        decide(Posterior.from_samples([1, 2]), "asymmetric")
    with pytest.raises(ConfigError, match="`parameter` of pinball, level, must lie between 0 and 1, got 2"):
        decide(Posterior.from_samples([1, 2]), "pinball", parameter=2)
    with pytest.raises(ValueError, match="`user` must give finite numbers"):
        decide(posterior, lambda a, y: float("nan"))
    with pytest.raises(ValueError, match="`costs` must have one row per answer"):
        CostMatrix(costs=[[1]], labels=("a", "b"))
    with pytest.raises(ValueError, match="the cost matrix must name every answer of the posterior, 'b'"):
        decide(posterior, "cost", parameter=CostMatrix(costs=[[0, 1], [1, 0]], labels=("a", "c")))


@pytest.mark.parametrize("name", ["f1", "jaccard"])
def test_of_equally_good_sets_the_smaller_is_the_answer(name):
    samples = [frozenset(), frozenset("a")]
    assert decide(Posterior.from_samples(samples), name).value == frozenset()


def test_a_set_and_a_bag_of_the_same_items_are_equal():
    assert f_measure(frozenset({"a", "b"}), ("a", "b")) == 1.0
    assert f_measure(frozenset({"a"}), ("a", "a")) == pytest.approx(2 / 3)
