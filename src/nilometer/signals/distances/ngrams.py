"""Embeddings of texts from their characters: no model, no download, wording and not meaning."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Floats, Floats32

__all__ = ["ngram_embeddings"]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def ngram_embeddings(texts: Sequence[str | None], *, dim: int = 512, lengths: Sequence[int] = (1, 2, 3, 4)) -> Floats32:
    """Unit vectors whose inner product is about the cosine of the texts' character n-gram counts.

    Counts are damped by a square root, then signed feature hashing puts them into ``dim`` numbers, so the
    inner product is off by a few hundredths at 512. Case and runs of white space do not count. Texts that say
    the same in other words are far apart: take a language model's embedding where meaning matters.

    Parameters
    ----------
    texts
        ``None`` and blank texts give a vector of only NaN: a missing output.
    dim
        Length of the vectors.
    lengths
        Lengths of the n-grams.

    Raises
    ------
    ValueError
        If ``dim`` is below 2 or a length below 1.

    References
    ----------
    Weinberger et al. (2009), "Feature Hashing for Large Scale Multitask Learning", sec. 2, arXiv:0902.2206.

    Examples
    --------
    >>> a, b, c = ngram_embeddings(["the Nile rose", "The Nile  rose.", "42"])
    >>> bool(a @ b > 0.9), bool(abs(a @ c) < 0.4)
    (True, True)
    """
    if dim < 2:
        raise ValueError(f"`dim` must be >= 2, got {dim}.")
    if not lengths or min(lengths) < 1:
        raise ValueError(f"`lengths` must be numbers >= 1, got {list(lengths)}.")
    vectors = np.full((len(texts), dim), np.nan, dtype=np.float32)
    for row, text in enumerate(texts):
        words = " ".join((text or "").lower().split())
        if words:
            vectors[row] = _vector(words, dim, lengths)
    return vectors


def _vector(text: str, dim: int, lengths: Sequence[int]) -> Floats:
    codes = np.frombuffer(f" {text} ".encode("utf-32-le", errors="replace"), dtype=np.uint32).astype(np.uint64)
    grams = np.concatenate([_hashes(codes, n) for n in lengths])
    kinds, counts = np.unique(grams, return_counts=True)
    sign = np.where(kinds & np.uint64(1), 1.0, -1.0)
    places = ((kinds >> np.uint64(1)) % np.uint64(dim)).astype(np.int64)
    vector = np.bincount(places, sign * np.sqrt(counts), minlength=dim)
    norm = float(np.sqrt(vector @ vector))
    if norm == 0.0:  # every bucket cancelled: keep the text apart from others
        vector[int(places[0])] = norm = 1.0
    return np.asarray(vector / norm)


def _hashes(codes: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Hash of every n-gram, the same on every machine; short texts give the whole text."""
    width = min(n, len(codes))
    grams = np.full(len(codes) - width + 1, n, dtype=np.uint64)
    for i in range(width):
        grams = (grams ^ codes[i : i + len(grams)]) * _MULTIPLIER
        grams ^= grams >> _SHIFT
    return grams
