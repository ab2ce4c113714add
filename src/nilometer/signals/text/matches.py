"""How much every two texts share: clipped n-gram matches, longest common subsequences and edit distances."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import AnyFloats, Ints
from nilometer.errors import ConfigError

from .encoded import EncodedTexts

__all__ = ["NgramMatches", "common_subsequences", "edit_distances", "ngram_matches"]

MAX_CELLS = 1 << 24
"""Cells of the occurrence matrix held at once: 64 MiB of float32."""
EXACT_FLOAT32 = 1 << 24
"""Whole numbers below this are exact in float32."""


class NgramMatches(NamedTuple):
    """Shared n-grams of every pair of texts, for one order."""

    order: int
    """Length n of the n-grams."""
    totals: Ints
    """(texts,): n-grams of each text, ``max(length - n + 1, 0)``."""
    matches: AnyFloats
    """(rows, columns): shared n-grams of the pair, each counted as often as both texts have it."""


def ngram_matches(texts: EncodedTexts, orders: Sequence[int], *, n_rows: int | None = None) -> Iterator[NgramMatches]:
    r"""Clipped n-gram matches of all pairs of texts, exact, one order at a time.

    .. math:: M_{ij} = \sum_g \min(c_{ig}, c_{jg}) = \sum_g \sum_{t \ge 1} [c_{ig} \ge t][c_{jg} \ge t]

    where ``c_ig`` is how often text i has the n-gram g. The t-th occurrence of g is a column of a 0/1 matrix, and
    ``M`` is its product with its own transpose. N-grams are numbered without hashing, so nothing collides; columns
    that only one text has matter to the diagonal alone and are left out of the product. Memory is
    ``O(tokens + texts · columns)`` with at most 64 MiB of the matrix at once.

    Parameters
    ----------
    texts
        From `encode_characters` or `encode_tokens`.
    orders
        Lengths of the n-grams, ascending.
    n_rows
        None: every text with every text. A number: the first ``n_rows`` texts (rows) with the others (columns).

    Examples
    --------
    >>> from nilometer.signals.text.encoded import encode_characters
    >>> next(ngram_matches(encode_characters(["aab", "aba", "b"]), [1])).matches
    array([[3., 3., 1.],
           [3., 3., 1.],
           [1., 1., 1.]], dtype=float32)
    """
    n_texts = len(texts.lengths)
    docs = np.repeat(np.arange(n_texts), texts.lengths)
    left = np.repeat(np.cumsum(texts.lengths), texts.lengths) - np.arange(len(docs))
    codes, n_codes, length = texts.ids, max(texts.n_types, 1), 1
    doc_bits = max(n_texts - 1, 1).bit_length()
    for order in orders:
        while length < order:
            codes, n_codes = _lengthen(codes, n_codes, (texts, length, doc_bits))
            length += 1
        whole = left[: len(codes)] >= order
        totals = np.maximum(texts.lengths - order + 1, 0)
        cells = _shared_occurrences(codes[whole], docs[: len(codes)][whole], (doc_bits, n_rows))
        exact = np.dtype(np.float32 if totals.max(initial=0) < EXACT_FLOAT32 else np.float64)
        yield NgramMatches(order, totals, _products(cells, totals.astype(exact), n_rows))


def _lengthen(codes: Ints, n_codes: int, source: tuple[EncodedTexts, int, int]) -> tuple[Ints, int]:
    """Numbers of the n-grams one longer; renumbered first if they would not fit 63 bits with the text's number."""
    texts, length, doc_bits = source
    if (n_codes * texts.n_types) >> (63 - doc_bits):
        values, codes = np.unique(codes, return_inverse=True)
        n_codes = len(values)
    return codes[:-1] * texts.n_types + texts.ids[length:], n_codes * texts.n_types


def _shared_occurrences(codes: Ints, docs: Ints, layout: tuple[int, int | None]) -> tuple[Ints, Ints, int]:
    """Text and column of every occurrence that another text (on the other side) has too; the number of columns."""
    doc_bits, n_rows = layout
    if len(codes) == 0:
        return docs, codes, 0
    key = (codes << doc_bits) | docs
    key.sort()
    runs = _starts(key)
    counts = np.diff(runs, append=len(key))
    run_codes, run_docs = key[runs] >> doc_bits, key[runs] & ((1 << doc_bits) - 1)
    gram_starts = _starts(run_codes)
    gram_ends = np.append(gram_starts[1:], len(runs))
    shared = gram_ends - gram_starts > 1
    if n_rows is not None:
        shared &= (run_docs[gram_starts] < n_rows) & (run_docs[gram_ends - 1] >= n_rows)
    shared = np.repeat(shared, gram_ends - gram_starts)
    run_docs, counts, run_codes = run_docs[shared], counts[shared], run_codes[shared]
    if len(counts) == 0:
        return run_docs, counts, 0
    gram_starts = _starts(run_codes)
    most = np.maximum.reduceat(counts, gram_starts)
    first_column = np.repeat(np.cumsum(most) - most, np.diff(gram_starts, append=len(counts)))
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = np.repeat(first_column, counts) + nth
    wanted = np.bincount(columns) > 1
    kept = wanted[columns]
    number = np.cumsum(wanted) - 1
    return np.repeat(run_docs, counts)[kept], number[columns[kept]], int(number[-1]) + 1


def _starts(ordered: Ints) -> Ints:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def _products(cells: tuple[Ints, Ints, int], totals: AnyFloats, n_rows: int | None) -> AnyFloats:
    """Sum over columns of the products of occurrence, a slab of columns at a time."""
    docs, columns, n_columns = cells
    n = len(totals)
    shape = (n, n) if n_rows is None else (n_rows, n - n_rows)
    matches = np.zeros(shape, dtype=totals.dtype)
    width = max(1, MAX_CELLS // max(n, 1))
    if n_columns > width:
        order = np.argsort(columns, kind="stable")
        docs, columns = docs[order], columns[order]
    for start in range(0, n_columns, width):
        stop = min(start + width, n_columns)
        low, high = (0, len(docs)) if n_columns <= width else np.searchsorted(columns, [start, stop])
        slab = np.zeros((n, stop - start), dtype=totals.dtype)
        slab[docs[low:high], columns[low:high] - start] = 1
        matches += slab @ slab.T if n_rows is None else slab[:n_rows] @ slab[n_rows:].T
    if n_rows is None:
        np.fill_diagonal(matches, totals)
    return matches


def common_subsequences(texts: EncodedTexts, *, n_rows: int | None = None) -> NDArray[np.int32]:
    """Length of the longest common subsequence of every pair of texts, by rapidfuzz.

    Parameters
    ----------
    texts, n_rows
        As `ngram_matches`.

    Raises
    ------
    ConfigError
        If rapidfuzz is missing: it comes with the extra ``text``.

    References
    ----------
    Hyyrö (2004), "Bit-parallel LCS-length computation revisited".

    Examples
    --------
    >>> from nilometer.signals.text.encoded import encode_characters
    >>> common_subsequences(encode_characters(["abcd", "bd"]))
    array([[4, 2],
           [2, 2]], dtype=int32)
    """
    rows, columns = _lengths(texts, n_rows)
    indel = _distances("Indel", texts, n_rows)
    return np.asarray((rows[:, None] + columns[None, :] - indel) // 2, dtype=np.int32)


def edit_distances(texts: EncodedTexts, *, n_rows: int | None = None) -> NDArray[np.int32]:
    """Levenshtein distance of every pair of texts: fewest insertions, deletions and substitutions, by rapidfuzz.

    Parameters
    ----------
    texts, n_rows
        As `ngram_matches`.

    Raises
    ------
    ConfigError
        If rapidfuzz is missing: it comes with the extra ``text``.

    Examples
    --------
    >>> from nilometer.signals.text.encoded import encode_characters
    >>> edit_distances(encode_characters(["abcd", "bd"]), n_rows=1)
    array([[2]], dtype=int32)
    """
    return _distances("Levenshtein", texts, n_rows)


def _lengths(texts: EncodedTexts, n_rows: int | None) -> tuple[Ints, Ints]:
    if n_rows is None:
        return texts.lengths, texts.lengths
    return texts.lengths[:n_rows], texts.lengths[n_rows:]


def _distances(name: str, texts: EncodedTexts, n_rows: int | None) -> NDArray[np.int32]:
    try:
        from rapidfuzz import distance, process
    except ImportError as exc:
        raise ConfigError("ROUGE-L, WER and CER need rapidfuzz. pip install 'nilometer[text]'.") from exc
    sequences = _as_strings(texts)
    rows = sequences if n_rows is None else sequences[:n_rows]
    columns = rows if n_rows is None else sequences[n_rows:]
    scorer = getattr(distance, name).distance
    return np.asarray(process.cdist(rows, columns, scorer=scorer, dtype=np.int32), dtype=np.int32)


def _as_strings(texts: EncodedTexts) -> list[Any]:
    """One character per token where Unicode has enough of them: rapidfuzz compares strings fastest."""
    ends = np.cumsum(texts.lengths)[:-1]
    if texts.n_types > 0x110000:
        return [part.tolist() for part in np.split(texts.ids, ends)]
    return [part.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass") for part in np.split(texts.ids, ends)]
