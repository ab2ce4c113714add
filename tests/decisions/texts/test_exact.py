"""Decisions against the double loop over hypotheses and references."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sacrebleu import sentence_chrf

from nilometer.decisions import (
    TEXT_UTILITIES,
    TextUtility,
    batched_utility,
    cosine_utility,
    exact_match_utility,
    mbr,
    mbr_many,
    pairwise_utility,
)
from nilometer.decisions.texts.exact import rank_order
from nilometer.errors import ConfigError
from nilometer.signals import normalize_answer

SAMPLES = st.lists(
    st.sampled_from(["", "a cat", "the cat sat", "The cat sat.", "two\nlines", "naïve 中文", "x"]),
    min_size=1,
    max_size=8,
)
FEW = settings(max_examples=15, deadline=None)


def matrix(name, rows, columns):
    return TEXT_UTILITIES[name].matrix(rows, columns)


@pytest.mark.parametrize("name", TEXT_UTILITIES)
@given(SAMPLES, st.integers(0, 1000))
@FEW
def test_scores_equal_the_weighted_mean_over_all_samples_as_given(name, samples, seed):
    weights = np.random.default_rng(seed).random(len(samples)) + 0.01
    expected = matrix(name, samples, samples) @ (weights / weights.sum())
    decision = mbr(samples, utility=name, weights=weights)
    np.testing.assert_allclose(decision.scores, expected, atol=1e-9)
    assert decision.expected_utility == pytest.approx(max(expected))
    assert decision.text == samples[decision.index]


@given(SAMPLES)
@FEW
def test_self_exclusion_leaves_out_one_copy(samples):
    if len(samples) < 2:
        return
    table = matrix("chrf", samples, samples)
    np.fill_diagonal(table, 0)
    decision = mbr(samples, exclude_self=True)
    np.testing.assert_allclose(decision.scores, table.sum(axis=1) / (len(samples) - 1), atol=1e-9)


@given(SAMPLES, SAMPLES)
@FEW
def test_separate_pseudo_references_alone_make_the_mean(hypotheses, references):
    decision = mbr(hypotheses, pseudo_references=references, utility="token_f1")
    expected = matrix("token_f1", hypotheses, references).mean(axis=1)
    np.testing.assert_allclose(decision.scores, expected, atol=1e-12)
    assert sum(r.weight for r in decision.ranking) <= 1 + 1e-12


def test_equal_texts_are_merged_with_their_counts():
    ranking = mbr(["b", "a", "b", "c"], utility="exact_match").ranking
    assert [(r.text, r.index, r.count, r.weight) for r in ranking] == [
        ("b", 0, 2, 0.5),
        ("a", 1, 1, 0.25),
        ("c", 3, 1, 0.25),
    ]


def test_exact_match_is_the_majority_vote_over_equivalence_classes():
    answers = ["Paris", "London", "paris.", "the Paris", "London"]
    assert mbr(answers, utility="exact_match").text == "London"
    decision = mbr(answers, utility=exact_match_utility(normalize_answer))
    assert decision.text == "Paris"
    assert decision.expected_utility == pytest.approx(3 / 5)


def test_weights_equal_to_the_probability_square_it_and_logprobs_do_not():
    samples = ["a"] * 6 + ["b"] * 4
    p = np.array([0.6] * 6 + [0.4] * 4)
    squared = mbr(samples, utility="exact_match", weights=p)
    assert squared.expected_utility == pytest.approx(0.36 / (0.36 + 0.16))
    once = mbr(samples, utility="exact_match", logprobs=np.log(p))
    assert once.expected_utility == pytest.approx(0.6)
    assert once.n_effective == pytest.approx(1 / (0.6**2 + 0.4**2))
    assert mbr(samples, utility="exact_match").n_effective == pytest.approx(10)


def test_logprobs_far_below_the_range_of_floats_still_weigh():
    decision = mbr(["a", "b"], utility="exact_match", logprobs=[-5000.0, -5000.0 + np.log(3)])
    assert (decision.text, decision.expected_utility) == ("b", pytest.approx(0.75))
    assert mbr(["a", "b"], utility="exact_match", logprobs=[-np.inf, -9.0]).expected_utility == 1


def test_ties_go_to_the_heavier_then_the_earlier_text():
    flat = pairwise_utility(lambda _h, _r: 0.1 + 0.2, name="flat")
    assert [r.text for r in mbr(["a", "b", "c", "b"], utility=flat).ranking] == ["b", "a", "c"]


@given(SAMPLES, st.permutations(range(8)))
@FEW
def test_the_order_of_samples_does_not_change_the_best_score(samples, order):
    shuffled = [samples[i] for i in order if i < len(samples)]
    assert mbr(shuffled).expected_utility == pytest.approx(mbr(samples).expected_utility)


def test_one_hypothesis_wins_without_a_runner_up():
    decision = mbr(["only\n"])
    assert (decision.text, decision.runner_up, decision.margin) == ("only\n", None, None)
    assert decision.expected_utility == pytest.approx(100)


def test_the_margin_is_what_the_runner_up_loses():
    decision = mbr(["the cat sat", "the cat sat down", "a dog"])
    by_hand = [
        np.mean([sentence_chrf(h, [r]).score for r in ("the cat sat", "the cat sat down", "a dog")])
        for h in ("the cat sat down", "the cat sat")
    ]
    assert decision.margin == pytest.approx(by_hand[0] - by_hand[1])


def test_a_function_is_asked_once_for_each_pair_and_half_of_them_if_symmetric():
    asked = []
    texts = ["a", "bb", "a", "ccc"]

    def closeness(hypothesis, reference):
        asked.append((hypothesis, reference))
        return -abs(len(hypothesis) - len(reference))

    whole = mbr(texts, utility=closeness)
    assert (whole.n_calls, len(asked), len(set(asked))) == (9, 9, 9)
    assert whole.utility == "closeness"
    half = mbr(texts, utility=pairwise_utility(closeness, symmetric=True))
    assert half.n_calls == 6
    assert half.scores == pytest.approx(whole.scores)
    assert whole.text == "a"  # 0 and 0 and -1 and -2: as good as bb, and heavier


def test_a_batched_function_sees_all_pairs_at_once():
    sizes = []

    def judge(pairs):
        sizes.append(len(pairs))
        return [float(h == r) for h, r in pairs]

    assert mbr(["x", "y", "x"], utility=batched_utility(judge)).text == "x"
    assert sizes == [4]


def test_cosine_in_linear_time_equals_the_matrix():
    rng = np.random.default_rng(0)
    vectors = {text: rng.normal(size=5) for text in "abcdef"} | {"zero": np.zeros(5)}
    utility = cosine_utility(vectors)
    texts = [*"abcdefa", "zero"]
    for exclude_self in (False, True):
        linear = mbr(texts, utility=utility, exclude_self=exclude_self)
        table = utility.matrix(texts, texts)
        if exclude_self:
            np.fill_diagonal(table, 0)
        np.testing.assert_allclose(linear.scores, table.sum(axis=1) / (8 - exclude_self), atol=1e-12)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(["sun", "moon", "star", "sky"], 6)) for _ in range(40)]
    whole = {name: mbr(texts, utility=name, exclude_self=True) for name in TEXT_UTILITIES}
    monkeypatch.setattr("nilometer.decisions.texts.scores.BLOCK_TEXTS", 7)
    monkeypatch.setattr("nilometer.decisions.texts.scores.BLOCK_CHARACTERS", 150)
    for name, before in whole.items():
        after = mbr(texts, utility=name, exclude_self=True)
        np.testing.assert_allclose(after.scores, before.scores, atol=1e-9)
        assert after.text == before.text


def test_long_texts_take_the_memory_of_two_blocks(monkeypatch):
    monkeypatch.setattr("nilometer.decisions.texts.scores.BLOCK_CHARACTERS", 1 << 15)
    rng = np.random.default_rng(2)
    words = np.array([f"w{i}" for i in range(200)])
    texts = [" ".join(rng.choice(words, 400)) for _ in range(60)]
    tracemalloc.start()
    decision = mbr(texts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert decision.n_calls == 60 * 60
    assert peak < 20e6  # all at once: 40 MB


def test_many_prompts_are_decided_one_at_a_time_and_named_in_errors():
    stream = mbr_many(iter([["a", "a", "b"], ["c"], []]), utility="exact_match")
    assert [next(stream).text, next(stream).text] == ["a", "c"]
    with pytest.raises(ValueError, match="prompt 2: `hypotheses` must hold at least one text, got none"):
        next(stream)
    weighted = mbr_many([["a", "b"], ["c"]], utility="exact_match", weights=[[1, 2], None])
    assert [d.text for d in weighted] == ["b", "c"]
    with pytest.raises(ValueError, match="must have one entry per prompt, got 1"):
        list(mbr_many([["a"], ["b"]], weights=[None]))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"hypotheses": []}, ValueError, "`hypotheses` must hold at least one text, got none"),
        ({"hypotheses": "abc"}, TypeError, "`hypotheses` must be a list of strings, got one string"),
        ({"hypotheses": ["a", None]}, TypeError, "`hypotheses` must hold strings, got NoneType at 1"),
        ({"hypotheses": ["a"], "pseudo_references": []}, ValueError, "`pseudo_references` must hold at least one"),
        ({"weights": [1, -1]}, ValueError, r"`weights` must be finite and >= 0, got -1.0 at 1"),
        ({"weights": [1, np.nan]}, ValueError, r"`weights` must be finite and >= 0, got nan at 1"),
        ({"weights": [0, 0]}, ValueError, "`weights` must not all be zero"),
        ({"weights": [1]}, ValueError, r"one number for each of the 2 texts, got shape \(1,\)"),
        ({"logprobs": [0.1, -1]}, ValueError, "`logprobs` must be at most 0, got 0.1 at 0"),
        ({"logprobs": [-np.inf, -np.inf]}, ValueError, "`logprobs` must not all be zero"),
        ({"logprobs": [-1, -1], "weights": [1, 1]}, ValueError, "must not both be given"),
        ({"utility": "rouge_l2"}, ConfigError, "got 'rouge_l2'. Did you mean 'rougeL'"),
        ({"utility": 3}, TypeError, "must be a name, a TextUtility or a function"),
        ({"utility": lambda _h, _r: float("nan")}, ValueError, "must give 4 finite scores for as many pairs, got nan"),
        ({"utility": batched_utility(lambda _pairs: [1.0])}, ValueError, r"got shape \(1,\)"),
        ({"exclude_self": True, "pseudo_references": ["a"]}, ValueError, "`exclude_self` must be False"),
        ({"hypotheses": ["a"], "exclude_self": True}, ValueError, "needs weight on at least two samples"),
        ({"utility": cosine_utility({"a": [1.0]})}, ValueError, "a vector for every text, got none for 'b'"),
    ],
)
def test_bad_input_is_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        mbr(**{"hypotheses": ["a", "b"], **arguments})


@pytest.mark.parametrize("scores", [np.zeros((1, 1)), np.full((2, 2), np.nan)])
def test_a_matrix_of_another_shape_or_without_a_number_is_refused(scores):
    utility = TextUtility("mine", matrix=lambda hypotheses, references: scores)
    with pytest.raises(ValueError, match=r"`utility` must give finite scores of shape \(2, 2\)"):
        mbr(["a", "b"], utility=utility)


def test_a_utility_without_a_matrix_and_without_pairs_is_refused():
    with pytest.raises(TypeError, match="`utility` must have a `matrix` or `pairs`, got neither in 'mine'"):
        mbr(["a", "b"], utility=TextUtility("mine"))


def test_means_that_differ_by_rounding_are_equal_whatever_the_unit():
    for scale in (1e-6, 1.0, 1e9):
        means = scale * np.array([1.0, 1.0 + 4e-16, 1e-9])
        assert rank_order(means, np.array([0.6, 0.2, 0.2])).tolist() == [0, 1, 2]
