"""Embeddings from characters."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.signals import ngram_embeddings


def cosine(a, b):
    """Exact cosine of square roots of n-gram counts, n = 1 to 4."""

    def counts(text):
        text, found = f" {' '.join(text.lower().split())} ", {}
        for n in range(1, 5):
            for i in range(len(text) - n + 1):
                found[text[i : i + n]] = found.get(text[i : i + n], 0) + 1
        return found

    x, y = counts(a), counts(b)
    dot = sum(np.sqrt(x[k] * y[k]) for k in x.keys() & y.keys())
    return dot / np.sqrt(sum(x.values()) * sum(y.values()))


def test_inner_products_are_near_the_exact_cosine():
    rng = np.random.default_rng(0)
    words = ["nile", "flood", "grain", "stone", "column", "level", "year", "harvest", "river", "king"]
    texts = [" ".join(rng.choice(words, 8)) for _ in range(30)]
    vectors = ngram_embeddings(texts, dim=4096)
    gaps = [vectors[i] @ vectors[j] - cosine(texts[i], texts[j]) for i in range(30) for j in range(i)]
    assert np.abs(gaps).max() < 0.05
    assert abs(np.mean(gaps)) < 0.01


@given(st.text("aZ9 .\n\u00e9\u4e2d\U0001f30a", max_size=60))
def test_vectors_have_length_one_unless_the_text_is_blank(text):
    vector = ngram_embeddings([text])[0]
    if text.split():
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    else:
        assert np.isnan(vector).all()


def test_the_same_on_every_machine():
    pinned = [0.267, 0.535, 0.0, 0.267, 0.267, -0.535, -0.267, -0.378]
    np.testing.assert_allclose(ngram_embeddings(["Nile"], dim=8)[0], pinned, atol=5e-4)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="`dim` must be >= 2, got 1"):
        ngram_embeddings(["a"], dim=1)
    with pytest.raises(ValueError, match="`lengths` must be numbers >= 1"):
        ngram_embeddings(["a"], lengths=[0])
