"""Scores against sacrebleu, rouge-score and SQuAD's counting, text by text."""

import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu, sentence_chrf

from nilometer.errors import ConfigError
from nilometer.signals import (
    bleu_scores,
    character_error_rates,
    chrf_scores,
    cosine_scores,
    exact_match_scores,
    normalize_answer,
    rouge_l_scores,
    rouge_n_scores,
    token_f1_scores,
    word_error_rates,
)

WORDS = st.lists(
    st.sampled_from(["the", "The", "cat", "sat", "on", "a", "mat", ".", "3.5", "naïve", "中文", "\n", "x-ray"]),
    max_size=12,
)
TEXTS = st.one_of(WORDS.map(" ".join), st.text(st.characters(codec="utf-8"), max_size=20))
LISTS = st.lists(TEXTS, min_size=1, max_size=5)
FEW = settings(max_examples=20, deadline=None)
ROUGE = RougeScorer(["rouge1", "rouge2", "rougeL"])


def pairs(score, rows, columns):
    return np.array([[score(h, r) for r in columns] for h in rows]).reshape(len(rows), len(columns))


def rouge(kind):
    return lambda h, r: ROUGE.score(r, h)[kind].fmeasure


def squad_f1(hypothesis, reference):
    h, r = normalize_answer(hypothesis).split(), normalize_answer(reference).split()
    if not h or not r:
        return float(h == r)
    shared = sum((Counter(h) & Counter(r)).values())
    precision, recall = shared / len(h), shared / len(r)
    return 2 * precision * recall / (precision + recall) if shared else 0.0


PEERS = {
    "chrF": (chrf_scores, lambda h, r: sentence_chrf(h, [r]).score),
    "chrF++": (
        lambda h, r=None: chrf_scores(h, r, word_order=2),
        lambda h, r: sentence_chrf(h, [r], word_order=2).score,
    ),
    "chrF, order 3, beta 1": (
        lambda h, r=None: chrf_scores(h, r, char_order=3, beta=1),
        lambda h, r: sentence_chrf(h, [r], char_order=3, beta=1).score,
    ),
    "BLEU": (bleu_scores, lambda h, r: sentence_bleu(h, [r]).score),
    "ROUGE-1": (rouge_n_scores, rouge("rouge1")),
    "ROUGE-2": (lambda h, r=None: rouge_n_scores(h, r, order=2), rouge("rouge2")),
    "ROUGE-L": (rouge_l_scores, rouge("rougeL")),
    "token F1": (token_f1_scores, squad_f1),
}


@pytest.mark.parametrize("name", PEERS)
@given(LISTS, LISTS)
@FEW
def test_scores_equal_those_of_the_package_that_defines_them(name, rows, columns):
    ours, theirs = PEERS[name]
    np.testing.assert_allclose(ours(rows, columns), pairs(theirs, rows, columns), atol=1e-11, rtol=0)
    np.testing.assert_allclose(ours(rows), pairs(theirs, rows, rows), atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", ["ROUGE-1", "ROUGE-2", "ROUGE-L", "token F1"])
@given(LISTS)
@FEW
def test_f1_scores_are_symmetric(name, texts):
    scores = PEERS[name][0](texts)
    np.testing.assert_array_equal(scores, scores.T)


def test_bleu_of_short_and_empty_texts_by_hand():
    assert bleu_scores(["cat"], ["cat"])[0, 0] == pytest.approx(100)
    assert bleu_scores(["the cat"], ["the dog"])[0, 0] == pytest.approx(100 * np.sqrt(1 / 2 * 1 / 2))
    assert bleu_scores(["", "cat"], ["", "dog"]).tolist() == [[0, 0], [0, 0]]


def test_empty_texts_have_the_scores_of_the_packages():
    assert chrf_scores(["", "a"]).tolist() == [[0, 0], [0, 100]]
    assert rouge_l_scores(["", "a"]).tolist() == [[0, 0], [0, 1]]
    assert token_f1_scores(["", "the", "cat"]).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_error_rates_divide_by_the_reference_and_pass_one():
    assert word_error_rates(["a b c d", ""], ["a", ""]).tolist() == [[3, 4], [1, 0]]
    assert character_error_rates(["ab\nc"], ["ab c", "x"]).tolist() == [[0.25, 4]]


def test_exact_match_uses_the_normaliser_it_is_given():
    texts = ["A cat", "cat.", "Cat"]
    assert exact_match_scores(texts).tolist() == np.eye(3).tolist()
    assert exact_match_scores(texts, normalize=normalize_answer).min() == 1
    assert exact_match_scores(["a"], ["a", "b"]).tolist() == [[1, 0]]


def test_cosines_are_those_of_the_angle_and_zero_for_a_zero_vector():
    angle = np.array([0.0, np.pi / 3, np.pi])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1) * [[1], [5], [0.1]]
    np.testing.assert_allclose(cosine_scores(vectors), np.cos(angle[:, None] - angle), atol=1e-12)
    assert cosine_scores([[0.0, 0.0]], vectors).tolist() == [[0, 0, 0]]


def test_no_hypotheses_give_an_empty_matrix():
    assert chrf_scores([], ["a"]).shape == (0, 1)
    assert bleu_scores(["a"], []).shape == (1, 0)
    assert rouge_l_scores([]).shape == (0, 0)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"`char_order` \+ `word_order` must be >= 1, got 0 and 0"):
        chrf_scores(["a"], char_order=0)
    with pytest.raises(ValueError, match="`beta` must be > 0, got 0"):
        chrf_scores(["a"], beta=0)
    with pytest.raises(ValueError, match="`order` must be >= 1, got 0"):
        rouge_n_scores(["a"], order=0)
    with pytest.raises(TypeError, match="texts must be a list of strings, got one string"):
        bleu_scores("text")
    with pytest.raises(ValueError, match=r"embeddings must be a finite \(texts, dim\) array, got shape \(2,\)"):
        cosine_scores([1.0, 2.0])
    with pytest.raises(ValueError, match="embeddings must have one dimension, got 2 and 1"):
        cosine_scores([[1.0, 2.0]], [[1.0]])


def test_missing_rapidfuzz_names_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(ConfigError, match=r"need rapidfuzz. pip install 'nilometer\[text\]'"):
        rouge_l_scores(["a"])
    assert rouge_n_scores(["a"]).tolist() == [[1]]
