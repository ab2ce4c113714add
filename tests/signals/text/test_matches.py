"""Matches of all pairs against counting one pair at a time."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nilometer.signals.text.encoded import encode_characters, encode_tokens
from nilometer.signals.text.matches import EXACT_FLOAT32, common_subsequences, edit_distances, ngram_matches

FEW = settings(max_examples=25, deadline=None)
LISTS = st.lists(st.text(st.sampled_from("aab cd\n"), max_size=25), min_size=1, max_size=7)


def counted(first, second, n):
    grams = [Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (first, second)]
    return sum((grams[0] & grams[1]).values())


def brute(rows, columns, n):
    return np.array([[counted(r, c, n) for c in columns] for r in rows], dtype=float).reshape(len(rows), len(columns))


@given(LISTS)
@FEW
def test_all_pairs_equal_counting_each_pair(texts):
    for found in ngram_matches(encode_characters(texts), range(1, 7)):
        np.testing.assert_array_equal(found.matches, brute(texts, texts, found.order))
        assert found.totals.tolist() == [max(len(text) - found.order + 1, 0) for text in texts]


@given(LISTS, LISTS)
@FEW
def test_rows_against_columns_equal_counting_each_pair(rows, columns):
    for found in ngram_matches(encode_characters(rows + columns), [1, 3], n_rows=len(rows)):
        np.testing.assert_array_equal(found.matches, brute(rows, columns, found.order))


@given(LISTS)
@FEW
def test_slabs_of_columns_change_nothing(texts):
    encoded = encode_characters(texts)
    whole = [found.matches for found in ngram_matches(encoded, [1, 2])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nilometer.signals.text.matches.MAX_CELLS", 3)
        for one, other in zip(whole, ngram_matches(encoded, [1, 2]), strict=True):
            np.testing.assert_array_equal(one, other.matches)


def test_numbers_of_ngrams_do_not_overflow_with_many_types():
    rng = np.random.default_rng(0)
    texts = [[str(i) for i in rng.integers(0, 50_000, 3_000)] for _ in range(3)]
    texts.append(texts[0][1_000:])
    for found in ngram_matches(encode_tokens(texts), range(1, 7)):
        assert found.matches[0, 3] == pytest.approx(2_001 - found.order, abs=200 if found.order == 1 else 0)
        assert found.matches[0, 1] == sum(
            (
                Counter(zip(*(texts[0][i:] for i in range(found.order)), strict=False))
                & Counter(zip(*(texts[1][i:] for i in range(found.order)), strict=False))
            ).values()
        )


def test_one_character_repeated_ten_thousand_times_is_counted_as_often():
    texts = ["a" * 10_000, "a" * 7_000 + "b", ""]
    first, second = ngram_matches(encode_characters(texts), [1, 6])
    assert first.matches.tolist() == [[10_000, 7_000, 0], [7_000, 7_001, 0], [0, 0, 0]]
    assert second.matches[0, 1] == 6_995


def longest_common(first, second):
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
    return table[-1, -1]


def levenshtein(first, second):
    row = list(range(len(second) + 1))
    for i, a in enumerate(first):
        above = row
        row = [i + 1]
        for j, b in enumerate(second):
            row.append(min(above[j] + (a != b), above[j + 1] + 1, row[j] + 1))
    return row[-1]


@given(LISTS)
@FEW
def test_subsequences_and_distances_equal_dynamic_programming(texts):
    encoded = encode_characters(texts)
    np.testing.assert_array_equal(common_subsequences(encoded), [[longest_common(a, b) for b in texts] for a in texts])
    np.testing.assert_array_equal(edit_distances(encoded), [[levenshtein(a, b) for b in texts] for a in texts])
    np.testing.assert_array_equal(edit_distances(encoded, n_rows=1), edit_distances(encoded)[:1, 1:])


def test_whole_numbers_are_exact_in_float32_up_to_the_limit_and_not_beyond():
    assert float(np.float32(EXACT_FLOAT32 - 1)) == EXACT_FLOAT32 - 1
    assert float(np.float32(EXACT_FLOAT32 + 1)) != EXACT_FLOAT32 + 1
