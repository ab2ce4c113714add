"""Scores of every text against every other under the text metrics of the field, as matrices."""

from collections.abc import Callable, Sequence

import numpy as np

from nilometer.arrays import ArrayLike, Float, Floats, Ints

from .encoded import (
    EncodedTexts,
    chrf_characters,
    chrf_words,
    encode_characters,
    encode_tokens,
    normalize_answer,
    rouge_tokens,
    tokenize_13a,
)
from .matches import common_subsequences, edit_distances, ngram_matches

__all__ = [
    "bleu_scores",
    "character_error_rates",
    "chrf_scores",
    "cosine_scores",
    "exact_match_scores",
    "rouge_l_scores",
    "rouge_n_scores",
    "token_f1_scores",
    "unit_vectors",
    "word_error_rates",
]

Texts = Sequence[str]


def chrf_scores(
    hypotheses: Texts, references: Texts | None = None, *, char_order: int = 6, word_order: int = 0, beta: float = 2.0
) -> Floats:
    r"""Score every hypothesis against every reference by chrF, 0 to 100; larger is better.

    .. math:: \mathrm{chrF} = 100\,\frac{(1+\beta^2)\,P R}{\beta^2 P + R}

    ``P`` and ``R`` are the mean n-gram precision and recall over the orders that both texts have. White space is
    removed first. Equal to sacrebleu's `sentence_chrf`; 0 where either text is empty. Not symmetric: recall of the
    reference weighs ``beta²`` times as much as precision.

    Parameters
    ----------
    hypotheses, references
        Texts; ``None`` compares the hypotheses with each other, in one product instead of two extractions.
    char_order, word_order
        Longest character and word n-grams; ``word_order=2`` is chrF++.
    beta
        Weight of recall.

    Returns
    -------
    numpy.ndarray
        (hypotheses, references).

    Raises
    ------
    ValueError
        If no order is asked for or ``beta`` is not positive.

    References
    ----------
    Popović (2015), "chrF: character n-gram F-score", WMT, doi:10.18653/v1/W15-3049.

    Examples
    --------
    >>> chrf_scores(["the cat"], ["the cats", "a dog"]).round(3)
    array([[77.571,  5.682]])
    """
    if char_order < 0 or word_order < 0 or char_order + word_order < 1:
        raise ValueError(f"`char_order` + `word_order` must be >= 1, got {char_order} and {word_order}.")
    if not beta > 0:
        raise ValueError(f"`beta` must be > 0, got {beta}.")
    texts, n_rows = _joined(hypotheses, references)
    encoded = [(encode_characters([chrf_characters(text) for text in texts]), char_order)]
    if word_order:
        encoded.append((encode_tokens(map(chrf_words, texts)), word_order))
    shape = _shape(len(texts), n_rows)
    precision, recall, n_orders = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for tokens, longest in encoded:
        for _, totals, matches in ngram_matches(tokens, range(1, longest + 1), n_rows=n_rows):
            rows, columns = _sides(totals, n_rows)
            precision += matches / np.maximum(rows, 1)[:, None]
            recall += matches / np.maximum(columns, 1)
            n_orders += (rows > 0)[:, None] & (columns > 0)
    # The mean over orders divides both by the same number, which cancels in all but one factor.
    below = (beta**2 * precision + recall) * np.maximum(n_orders, 1)
    return 100 * (1 + beta**2) * _ratio(precision * recall, below)


def bleu_scores(hypotheses: Texts, references: Texts | None = None) -> Float[Floats, "hypotheses references"]:
    r"""Sentence BLEU of every hypothesis against every reference, 0 to 100; larger is better.

    .. math:: \mathrm{BLEU} = 100 \min(1, e^{1 - r/h}) \exp\Big(\frac{1}{N} \sum_{n=1}^N \log p_n\Big)

    with h and r tokens in hypothesis and reference, and N = 4 or h if that is less. Tokens are those of
    `tokenize_13a`, orders without a match are smoothed by halving (method ``exp``), and a pair without any match
    has 0: sacrebleu's `sentence_bleu` with its defaults. Not symmetric.

    Parameters
    ----------
    hypotheses, references
        Texts; ``None`` compares the hypotheses with each other.

    Returns
    -------
    numpy.ndarray
        (hypotheses, references).

    References
    ----------
    Papineni et al. (2002), doi:10.3115/1073083.1073135; Chen and Cherry (2014), smoothing 3.

    Examples
    --------
    >>> bleu_scores(["the cat sat down"], ["the cat sat", "a dog"]).round(3)
    array([[59.46,  0.  ]])
    """
    texts, n_rows = _joined(hypotheses, references)
    tokens = encode_tokens(map(tokenize_13a, texts))
    shape = _shape(len(texts), n_rows)
    log_precision, halvings, any_match = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=bool)
    for _, totals, matches in ngram_matches(tokens, range(1, 5), n_rows=n_rows):
        rows = _sides(totals, n_rows)[0][:, None]
        matched = matches > 0
        any_match |= matched
        halvings += ~matched & (rows > 0)
        log_precision += np.log(np.maximum(matches.astype(np.float64), 1)) - np.log(np.maximum(rows, 1))
        log_precision -= np.where(matched, 0.0, halvings * np.log(2.0) * (rows > 0))
    hypothesis, reference = _sides(tokens.lengths, n_rows)
    n_orders = np.clip(hypothesis, 1, 4)[:, None]
    brevity = np.minimum(0.0, 1.0 - reference / np.maximum(hypothesis, 1)[:, None])
    return np.where(any_match, 100 * np.exp(brevity + log_precision / n_orders), 0.0)


def rouge_n_scores(
    hypotheses: Texts, references: Texts | None = None, *, order: int = 1
) -> Float[Floats, "hypotheses references"]:
    r"""ROUGE-n F1 of every two texts, 0 to 1; larger is better, symmetric.

    .. math:: F = \frac{2 M_n}{T_n(h) + T_n(r)}

    with ``M_n`` shared and ``T_n`` all n-grams of `rouge_tokens`: the F-measure of the package rouge-score without
    stemming. Texts without a token (any in a script other than Latin) have 0.

    Parameters
    ----------
    hypotheses, references
        Texts; ``None`` compares the hypotheses with each other.
    order
        n, at least 1.

    Raises
    ------
    ValueError
        If ``order`` is below 1.

    References
    ----------
    Lin (2004), "ROUGE", sec. 2, https://aclanthology.org/W04-1013.

    Examples
    --------
    >>> rouge_n_scores(["the cat sat"], ["a cat sat", "a dog"]).round(3)
    array([[0.667, 0.   ]])
    """
    if order < 1:
        raise ValueError(f"`order` must be >= 1, got {order}.")
    texts, n_rows = _joined(hypotheses, references)
    return _bag_f1(encode_tokens(map(rouge_tokens, texts)), order, n_rows)


def rouge_l_scores(hypotheses: Texts, references: Texts | None = None) -> Float[Floats, "hypotheses references"]:
    r"""ROUGE-L F1 of every two texts, 0 to 1; larger is better, symmetric.

    .. math:: F = \frac{2\,\mathrm{LCS}(h, r)}{|h| + |r|}

    over `rouge_tokens`: ``rougeL`` of the package rouge-score without stemming. Line ends only separate tokens.

    Parameters
    ----------
    hypotheses, references
        Texts; ``None`` compares the hypotheses with each other.

    Raises
    ------
    ConfigError
        If rapidfuzz (extra ``text``) is missing.

    References
    ----------
    Lin (2004), "ROUGE", sec. 3, https://aclanthology.org/W04-1013.

    Examples
    --------
    >>> rouge_l_scores(["the cat sat"], ["sat the cat", "a dog"]).round(3)
    array([[0.667, 0.   ]])
    """
    texts, n_rows = _joined(hypotheses, references)
    tokens = encode_tokens(map(rouge_tokens, texts))
    rows, columns = _sides(tokens.lengths, n_rows)
    return _ratio(2.0 * common_subsequences(tokens, n_rows=n_rows), rows[:, None] + columns)


def token_f1_scores(hypotheses: Texts, references: Texts | None = None) -> Float[Floats, "hypotheses references"]:
    r"""SQuAD token F1 of every two texts, 0 to 1; larger is better, symmetric.

    .. math:: F_1 = \frac{2 \sum_w \min(c_{hw}, c_{rw})}{|h| + |r|}

    over the words of `normalize_answer`. Two texts without a word have 1, one of them 0 (the rule of SQuAD 2.0).

    Parameters
    ----------
    hypotheses, references
        Texts; ``None`` compares the hypotheses with each other.

    References
    ----------
    Rajpurkar, Jia and Liang (2018), "Know What You Don't Know", arXiv:1806.03822, evaluation script.

    Examples
    --------
    >>> token_f1_scores(["the Eiffel Tower"], ["Eiffel tower, Paris", ""]).round(3)
    array([[0.8, 0. ]])
    """
    texts, n_rows = _joined(hypotheses, references)
    tokens = encode_tokens(normalize_answer(text).split() for text in texts)
    rows, columns = _sides(tokens.lengths, n_rows)
    both_empty = (rows == 0)[:, None] & (columns == 0)
    return np.where(both_empty, 1.0, _bag_f1(tokens, 1, n_rows))


def word_error_rates(hypotheses: Texts, references: Texts | None = None) -> Float[Floats, "hypotheses references"]:
    r"""Word error rate of every hypothesis against every reference, 0 upwards; smaller is better.

    .. math:: \mathrm{WER} = D(h, r) / \max(|r|, 1)

    with D the Levenshtein distance over words (runs without white space, unchanged). Not symmetric; above 1 if the
    hypothesis is much longer. Against an empty reference it is the number of words.

    Parameters
    ----------
    hypotheses, references
        Texts; ``None`` compares the hypotheses with each other.

    Raises
    ------
    ConfigError
        If rapidfuzz (extra ``text``) is missing.

    Examples
    --------
    >>> word_error_rates(["the cat sat"], ["the cat", "a dog"])
    array([[0.5, 1.5]])
    """
    texts, n_rows = _joined(hypotheses, references)
    return _error_rates(encode_tokens(map(str.split, texts)), n_rows)


def character_error_rates(hypotheses: Texts, references: Texts | None = None) -> Float[Floats, "hypotheses references"]:
    r"""Character error rate of every hypothesis against every reference, 0 upwards; smaller is better.

    As `word_error_rates` over code points, white space included.

    Parameters
    ----------
    hypotheses, references
        Texts; ``None`` compares the hypotheses with each other.

    Raises
    ------
    ConfigError
        If rapidfuzz (extra ``text``) is missing.

    Examples
    --------
    >>> character_error_rates(["kitten"], ["sitting"]).round(3)
    array([[0.429]])
    """
    texts, n_rows = _joined(hypotheses, references)
    return _error_rates(encode_characters(texts), n_rows)


def exact_match_scores(
    hypotheses: Texts, references: Texts | None = None, *, normalize: Callable[[str], str] | None = None
) -> Floats:
    """1 where two texts are equal and 0 elsewhere; symmetric.

    Parameters
    ----------
    hypotheses, references
        Texts; ``None`` compares the hypotheses with each other.
    normalize
        Applied first, such as `normalize_answer`, whose use gives SQuAD's exact match; nothing by default.

    Examples
    --------
    >>> exact_match_scores(["The cat."], ["cat", "dog"], normalize=normalize_answer)
    array([[1., 0.]])
    """
    texts, n_rows = _joined(hypotheses, references)
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(normalize(t) if normalize else t, len(numbers)) for t in texts], dtype=np.int64)
    rows, columns = _sides(ids, n_rows)
    return np.asarray(rows[:, None] == columns, dtype=np.float64)


def cosine_scores(hypotheses: ArrayLike, references: ArrayLike | None = None) -> Float[Floats, "hypotheses references"]:
    """Cosine of every two embeddings, -1 to 1; larger is better, symmetric. A zero vector has 0 with everything.

    Parameters
    ----------
    hypotheses, references
        (texts, dim) arrays; ``None`` compares the hypotheses with each other.

    Raises
    ------
    ValueError
        If an array is not two-dimensional and finite, or the dimensions differ.

    Examples
    --------
    >>> cosine_scores([[1.0, 0.0], [3.0, 4.0]])
    array([[1. , 0.6],
           [0.6, 1. ]])
    """
    rows = unit_vectors(hypotheses)
    columns = rows if references is None else unit_vectors(references)
    if rows.shape[1] != columns.shape[1]:
        raise ValueError(f"embeddings must have one dimension, got {rows.shape[1]} and {columns.shape[1]}.")
    return np.clip(rows @ columns.T, -1.0, 1.0)


def unit_vectors(embeddings: ArrayLike) -> Float[Floats, "texts dim"]:
    """Rows scaled to length 1; a zero row stays zero.

    Raises
    ------
    ValueError
        If the array is not two-dimensional and finite.

    Examples
    --------
    >>> unit_vectors([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(f"embeddings must be a finite (texts, dim) array, got shape {vectors.shape}.")
    return _ratio(vectors, np.linalg.norm(vectors, axis=1, keepdims=True))


def _joined(hypotheses: Texts, references: Texts | None) -> tuple[list[str], int | None]:
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise TypeError("texts must be a list of strings, got one string. Put it in a list.")
    if references is None:
        return list(hypotheses), None
    return [*hypotheses, *references], len(hypotheses)


def _shape(n_texts: int, n_rows: int | None) -> tuple[int, int]:
    return (n_texts, n_texts) if n_rows is None else (n_rows, n_texts - n_rows)


def _sides(values: Ints, n_rows: int | None) -> tuple[Ints, Ints]:
    return (values, values) if n_rows is None else (values[:n_rows], values[n_rows:])


def _ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """``above / below``, and 0 where ``below`` is 0."""
    result = np.zeros(np.broadcast_shapes(np.shape(above), np.shape(below)))
    np.divide(above, below, out=result, where=np.asarray(below) > 0)
    return result


def _bag_f1(tokens: EncodedTexts, order: int, n_rows: int | None) -> Floats:
    _, totals, matches = next(ngram_matches(tokens, [order], n_rows=n_rows))
    rows, columns = _sides(totals, n_rows)
    return _ratio(2.0 * matches.astype(np.float64), rows[:, None] + columns)


def _error_rates(tokens: EncodedTexts, n_rows: int | None) -> Floats:
    references = _sides(tokens.lengths, n_rows)[1]
    return np.asarray(edit_distances(tokens, n_rows=n_rows) / np.maximum(references, 1), dtype=np.float64)
