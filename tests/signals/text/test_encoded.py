"""Tokenisers against the packages that define them."""

from hypothesis import given, strategies as st
from rouge_score import tokenize as rouge_package
from sacrebleu.metrics import CHRF
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from nilometer.signals import normalize_answer
from nilometer.signals.text.encoded import (
    chrf_characters,
    chrf_words,
    encode_characters,
    encode_tokens,
    rouge_tokens,
    tokenize_13a,
)

ODD = st.text(st.sampled_from("ab Z9.,-'&;\n\t(<>quotamplskipé中\u2028\xa0\x1f🙂"), max_size=40)
TEXTS = st.one_of(st.text(st.characters(codec="utf-8"), max_size=40), ODD)


@given(TEXTS)
def test_13a_tokens_equal_those_of_sacrebleu(text):
    assert tokenize_13a(text) == Tokenizer13a()(text).split()


def test_13a_reads_entities_skipped_marks_and_hyphenated_line_ends():
    text = "&lt;b&gt; &amp;amp; <skipped>well-\nknown\nend &quot;1,000.5&quot;"
    assert tokenize_13a(text) == Tokenizer13a()(text).split()


@given(TEXTS)
def test_rouge_tokens_equal_those_of_rouge_score(text):
    assert rouge_tokens(text) == rouge_package.tokenize(text, None)


@given(TEXTS)
def test_chrf_words_equal_those_of_sacrebleu(text):
    assert chrf_words(text) == CHRF(word_order=2)._remove_punctuation(text)


@given(st.lists(TEXTS, max_size=5))
def test_characters_keep_their_identity(texts):
    ids, lengths, n_types = encode_characters(texts)
    joined = "".join(texts)
    assert lengths.tolist() == [len(text) for text in texts]
    assert n_types == len(set(joined))
    assert len({(i, c) for i, c in zip(ids.tolist(), joined, strict=True)}) == n_types


def test_lone_surrogates_are_characters():
    assert encode_characters(["\ud800a\ud800"]).ids.tolist() == [1, 0, 1]


def test_tokens_of_no_text_are_no_tokens():
    assert encode_tokens([]).n_types == 0
    assert encode_tokens([[], ["a"]]).lengths.tolist() == [0, 1]
    assert chrf_characters(" \n\t") == ""


def test_normalized_answers_follow_the_squad_script():
    assert normalize_answer("An  apple, the\nATHENS a.m. theatre!") == "apple athens am theatre"
    assert normalize_answer("the a") == ""
