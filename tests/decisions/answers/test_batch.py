"""Rules for whole batches against exhaustive search or a numeric optimiser."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score, ndcg_score, roc_auc_score

from nilometer.decisions import RULES, decide_many
from nilometer.estimators import Posterior

few = settings(max_examples=25)


def batches(labels, least=2, most=4):
    row = st.lists(st.sampled_from(labels), min_size=1, max_size=4)
    made = st.lists(row, min_size=least, max_size=most)
    return made.map(lambda rows: [Posterior.from_samples(samples, labels=labels) for samples in rows])


def pairs(batch):
    """Answers' places, truths and weights of the pooled expectation."""
    return [
        (i, y, w / len(batch)) for i, post in enumerate(batch) for y, w in zip(post.values, post.weights, strict=True)
    ]


def pooled(score, answers, batch):
    """A metric of weighted pairs (answer, truth), by its definition."""
    rows = pairs(batch)
    a, y, w = (
        np.array(x, float) for x in ([answers[i] for i, _, _ in rows], [r[1] for r in rows], [r[2] for r in rows])
    )
    return score(a, y, w)


def kappa(a, y, w):
    observed = float(w @ (a - y) ** 2)
    chance = float(w @ ((a[:, None] - y[None, :]) ** 2) @ w)
    return 1 - observed / chance if chance > 1e-12 else 0.0


def weighted_correlation(a, y, w):
    a, y = a - w @ a, y - w @ y
    spread = np.sqrt((w @ a**2) * (w @ y**2))
    return float(w @ (a * y) / spread) if spread > 1e-9 else 0.0


@few
@given(batch=batches([1, 2, 3, 4]))
def test_no_labelling_has_a_larger_kappa(batch):
    found = decide_many(batch, "qwk")
    best = max(pooled(kappa, answers, batch) for answers in product([1, 2, 3, 4], repeat=len(batch)))
    assert found.expected == pytest.approx(max(best, 0), abs=1e-9)
    assert pooled(kappa, found.values, batch) == pytest.approx(max(best, 0), abs=1e-9)


@few
@given(batch=batches([0, 1, 2, 5], least=3))
def test_no_numbers_have_a_larger_concordance(batch):
    found = decide_many(batch, "ccc")
    start = np.arange(len(batch), dtype=float)
    best = -minimize(lambda a: -pooled(kappa, a, batch), start, method="Nelder-Mead", options={"maxiter": 4000}).fun
    assert pooled(kappa, found.values, batch) >= best - 1e-4
    assert found.expected == pytest.approx(pooled(kappa, found.values, batch), abs=1e-9)


@few
@given(batch=batches([0, 1, 2, 5], least=3))
def test_no_numbers_have_a_larger_correlation(batch):
    found = decide_many(batch, "pearson")
    rng = np.random.default_rng(0)
    others = [pooled(weighted_correlation, rng.normal(size=len(batch)), batch) for _ in range(200)]
    assert pooled(weighted_correlation, found.values, batch) == pytest.approx(found.expected, abs=1e-9)
    assert found.expected >= max(others) - 1e-9


@few
@given(batch=batches([0, 1, 2, 5], least=3))
def test_no_order_has_a_larger_rank_correlation(batch):
    def ranked(order):
        rows = pairs(batch)
        y, w = np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
        mid = np.array([w[y < v].sum() + w[y == v].sum() / 2 for v in y])
        return weighted_correlation(np.array([order[r[0]] for r in rows], float), mid, w)

    found = decide_many(batch, "spearman")
    order = np.argsort(np.argsort(found.values, kind="stable"))
    assert ranked(order) == pytest.approx(max(map(ranked, permutations(range(len(batch))))), abs=1e-9)


@pytest.mark.parametrize(("name", "labels"), [("auc", [0, 1]), ("multipartite_auc", [0, 1, 2, 5])])
@few
@given(data=st.data())
def test_no_order_gets_more_of_the_distance_right(name, labels, data):
    batch = data.draw(batches(labels, least=3))

    def right(order):
        share = total = 0.0
        for i, j in permutations(range(len(batch)), 2):
            for (y, w), (t, v) in product(*(zip(batch[k].values, batch[k].weights, strict=True) for k in (i, j))):
                total += w * v * max(y - t, 0)
                share += w * v * max(y - t, 0) * ((order[i] > order[j]) + 0.5 * (order[i] == order[j]))
        return share / total if total else 0.5

    found = decide_many(batch, name)
    assert found.expected == pytest.approx(right(found.values), abs=1e-9)
    assert found.expected == pytest.approx(max(map(right, permutations(range(len(batch))))), abs=1e-9)


@few
@given(batch=batches([0, 1, 3]))
def test_no_order_has_a_larger_expected_gain(batch):
    gains = [sum(w * (2**y - 1) for y, w in zip(p.values, p.weights, strict=True)) for p in batch]

    def dcg(order):
        return sum(gains[i] / np.log2(place + 2) for place, i in enumerate(order))

    found = decide_many(batch, "ndcg")
    assert found.expected == pytest.approx(max(map(dcg, permutations(range(len(batch))))))
    assert dcg(np.argsort(-np.array(found.values), kind="stable")) == pytest.approx(found.expected)


@few
@given(batch=batches(["a", "b", "c"]))
def test_no_labelling_has_a_larger_balanced_accuracy(batch):
    masses = {k: np.array([dict(zip(p.values, p.weights, strict=True)).get(k, 0.0) for p in batch]) for k in "abc"}
    held = [k for k in "abc" if masses[k].sum() > 0]

    def recall(answers):
        return np.mean([sum(masses[k][i] for i, a in enumerate(answers) if a == k) / masses[k].sum() for k in held])

    found = decide_many(batch, "balanced_accuracy")
    assert found.expected == pytest.approx(max(map(recall, product("abc", repeat=len(batch)))))
    assert recall(found.values) == pytest.approx(found.expected)


@few
@given(batch=batches([0, 1], most=6))
def test_no_labelling_has_a_larger_f1_of_the_data_set(batch):
    p = np.array([post.mean for post in batch])

    def f1(called):
        called = np.array(called)
        return 2 * float(p @ called) / (p.sum() + called.sum()) if p.sum() + called.sum() else 0.0

    found = decide_many(batch, "dataset_f1")
    assert found.expected == pytest.approx(max(map(f1, product([0, 1], repeat=len(batch)))))
    assert f1(found.values) == pytest.approx(found.expected)


def test_scores_agree_with_scikit_learn_and_scipy():
    rng = np.random.default_rng(5)
    truth, answer, number = rng.integers(0, 4, 80), rng.integers(0, 4, 80), rng.normal(size=80).round(1)
    realized = {name: RULES[name].realized for name in RULES}
    assert realized["qwk"](answer, truth) == pytest.approx(cohen_kappa_score(answer, truth, weights="quadratic"))
    assert realized["pearson"](number, truth) == pytest.approx(pearsonr(number, truth)[0])
    assert realized["spearman"](number, truth) == pytest.approx(spearmanr(number, truth)[0])
    assert realized["auc"](number, truth > 1) == pytest.approx(roc_auc_score(truth > 1, number))
    assert realized["multipartite_auc"](number, truth > 1) == pytest.approx(roc_auc_score(truth > 1, number))
    distinct = number + np.arange(80) * 1e-6
    assert realized["ndcg"](distinct, truth) == pytest.approx(ndcg_score([2.0**truth - 1], [distinct]))
    assert realized["balanced_accuracy"](answer, truth) == pytest.approx(balanced_accuracy_score(truth, answer))
    assert realized["dataset_f1"](answer > 1, truth > 1) == pytest.approx(f1_score(truth > 1, answer > 1))


def test_a_calibrated_simulation_has_each_rule_win_its_own_metric():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([0.6] * 5, 3000)
    truth = (weights.cumsum(axis=1) > rng.random((3000, 1))).argmax(axis=1)
    batch = [Posterior.from_label_logprobs(dict(zip(range(5), np.log(w), strict=True))) for w in weights]
    names = ("zero_one", "squared", "absolute", "ccc")
    answers = {name: decide_many(batch, name).values for name in names}
    for name in names:
        scores = {other: RULES[name].realized(answers[other], truth) for other in names}
        best = max(scores, key=scores.get) if RULES[name].higher_is_better else min(scores, key=scores.get)
        assert best == name, scores


def test_a_constant_batch_is_no_reason_to_fail():
    same = [Posterior.from_samples([2, 3], labels=[1, 2, 3])] * 3
    assert decide_many(same, "qwk").expected == 0
    assert decide_many(same, "ccc").values == [2.5] * 3
    sure = [Posterior.from_samples([2, 2], labels=[1, 2, 3])] * 3
    assert decide_many(sure, "qwk").values == [2] * 3
    assert decide_many([], "qwk").values == []


@pytest.mark.parametrize(("rule", "kind"), [("qwk", int), ("ccc", float), ("macro_recall", str)])
def test_answers_of_a_batch_are_plain_values(rule, kind):
    labels = ["a", "b"] if kind is str else [1, 2, 3]
    batch = [Posterior.from_samples([labels[i % 2], labels[-1]], labels=labels) for i in range(4)]
    assert {type(value) for value in decide_many(batch, rule).values} == {kind}


@pytest.mark.parametrize("labels", [None, [10, 9], [10.0, 9.0]])
def test_of_numbers_the_smaller_wins_a_tie_whatever_the_order_of_the_scale(labels):
    batch = [Posterior.from_samples([9, 10], labels=labels) for _ in range(2)]
    assert list(decide_many(batch, "balanced_accuracy").values) == [9, 9]
