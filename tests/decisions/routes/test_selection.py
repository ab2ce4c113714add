"""Choosing among answers."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.decisions import mbr, select_medoid, select_text, select_vote
from nilometer.estimators import Smoothie
from nilometer.signals import answer_embeddings


def outputs(seed, n=30, m=5, d=3):
    return np.random.default_rng(seed).normal(size=(n, m, d))


@given(st.integers(0, 1000))
def test_weighted_medoid_is_the_smallest_weighted_mean_distance(seed):
    rng = np.random.default_rng(seed)
    x, w = outputs(seed, n=6), rng.random(5) + 0.1
    x[rng.random((6, 5)) < 0.2] = np.nan
    found = select_medoid(x, weights=w)
    for row in range(6):
        here = [i for i in range(5) if not np.isnan(x[row, i, 0])]
        if len(here) < 2:
            continue
        risks = {
            i: sum(w[j] * np.sum((x[row, i] - x[row, j]) ** 2) for j in here) / sum(w[j] for j in here) for i in here
        }
        assert risks[int(found.models[row])] == pytest.approx(min(risks.values()))
        assert -found.closeness()[row] == pytest.approx(min(risks.values()))


def test_equal_weights_are_smoothie_with_one_neighbour():
    x = outputs(1, n=200)
    assert (select_medoid(x).models == Smoothie(1).fit(x).routes_).all()


def test_ties_go_to_the_greatest_weight_then_to_the_first():
    x = np.ones((1, 4, 2))
    assert select_medoid(x).models[0] == 0
    assert select_medoid(x, weights=[1.0, 3.0, 2.0, 3.0]).models[0] == 1


def test_a_lone_answer_is_given_and_no_answer_is_no_model():
    x = np.full((2, 3, 2), np.nan)
    x[0, 2] = 1.0
    found = select_medoid(x)
    assert found.models.tolist() == [2, -1]
    assert found.closeness()[1] == -np.inf
    assert found.reason(0, "abc") == "c alone answered"
    assert found.reason(1, "abc") == "no model answered"
    assert select_medoid([[[0.0], [1.0], [3.0]]]).reason(0, "abc") == (
        "b has support -2.5 from the other answers; next is a with -5"
    )


def test_votes_count_classes_by_hand():
    answers = [["4", "four", "4 ", None], ["a", "b", "B", "b"]]
    same = lambda text: text.strip().casefold()  # noqa: E731
    found = select_vote(answers, same=same)
    assert found.models.tolist() == [0, 1]
    np.testing.assert_allclose(found.closeness(), [2 / 3, 3 / 4])
    assert select_vote(answers, same=same, weights=[1, 5, 1, 1]).models.tolist() == [1, 1]


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=5, max_size=5), min_size=1, max_size=6), st.integers(0, 99))
def test_weighted_votes_equal_counting(answers, seed):
    w = np.random.default_rng(seed).random(5)
    found = select_vote(answers, weights=w)
    for row, given_ in enumerate(answers):
        totals = {kind: sum(w[j] for j in range(5) if given_[j] == kind) for kind in given_}
        assert totals[given_[found.models[row]]] == pytest.approx(max(totals.values()))


def test_odds_of_right_answers_make_the_vote_the_most_probable_answer():
    """Two of three answers, one strong model against two weak ones: Bayes by enumeration."""
    p = np.array([0.9, 0.6, 0.6])
    found = select_vote([["a", "b", "b"]], weights=np.log(p / (1 - p)))
    a = p[0] * (1 - p[1]) * (1 - p[2])
    b = (1 - p[0]) * p[1] * p[2]
    assert (found.models[0] == 0) == (a > b)


def test_negative_weights_and_ragged_rows_are_refused():
    with pytest.raises(ValueError, match="`weights` must be finite numbers >= 0"):
        select_vote([["a", "b"]], weights=[-1.0, 1.0])
    with pytest.raises(ValueError, match="`answers` must have 2 entries per row"):
        select_vote([["a", "b"], ["a"]])


def test_texts_are_chosen_by_expected_utility_and_gaps_left_out():
    answers = [["a cat sat", "a cat sat down", "dogs ran", None], [None, "", None, "x"], ["", "", None, None]]
    found = select_text(answers)
    texts = ["a cat sat", "a cat sat down", "dogs ran"]
    assert texts[found.models[0]] == mbr(texts).text
    assert found.models[1:].tolist() == [3, -1]
    assert select_text(answers, weights=[0.0, 0.0, 1.0, 0.0]).models[0] == 2
    assert select_text([["b", "a", "a"]], utility="exact_match").models[0] == 1


def test_the_weight_of_a_model_counts_for_its_own_answer():
    rows, weights = [["A", "B", "B", "C"]], [19, 1.5, 1.5, 1]
    chosen = select_medoid(answer_embeddings(rows), weights=weights).models
    assert chosen.tolist() == select_vote(rows, weights=weights).models.tolist() == [0]


@given(st.lists(st.floats(0.1, 20), min_size=4, max_size=4), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_weighted_medoid_of_discrete_answers_is_the_weighted_vote(weights, answers):
    totals = {answer: sum(w for w, a in zip(weights, answers, strict=True) if a == answer) for answer in answers}
    chosen = select_medoid(answer_embeddings([answers]), weights=weights).models[0]
    assert totals[answers[chosen]] == pytest.approx(max(totals.values()))
