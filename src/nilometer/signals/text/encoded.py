"""Texts as tokens: the tokenisers and normalisers that the metrics of the field are defined with."""

import re
import string
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Ints

__all__ = [
    "EncodedTexts",
    "chrf_characters",
    "chrf_words",
    "encode_characters",
    "encode_tokens",
    "normalize_answer",
    "rouge_tokens",
    "tokenize_13a",
]

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_SYMBOL = re.compile(r"([!-&(-+/:-@\[-`{-~])")
_POINT_AFTER_NON_DIGIT = re.compile(r"([^0-9])([.,])")
_POINT_BEFORE_NON_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")
_ROUGE_TOKEN = re.compile(r"[a-z0-9]+")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class EncodedTexts(NamedTuple):
    """Texts as integers, one after the other: equal tokens have equal numbers."""

    ids: Ints
    """(tokens,): numbers from 0, all texts joined."""
    lengths: Ints
    """(texts,): tokens of each text."""
    n_types: int
    """Distinct tokens; every number is smaller."""


def encode_tokens(texts: Iterable[Sequence[str]]) -> EncodedTexts:
    """Number the tokens of each text.

    Examples
    --------
    >>> encode_tokens([["a", "b", "a"], ["b"]]).ids
    array([0, 1, 0, 1])
    """
    numbers: dict[str, int] = {}
    ids: list[int] = []
    lengths = []
    for tokens in texts:
        ids.extend([numbers.setdefault(token, len(numbers)) for token in tokens])
        lengths.append(len(tokens))
    return EncodedTexts(np.array(ids, dtype=np.int64), np.array(lengths, dtype=np.int64), len(numbers))


def encode_characters(texts: Sequence[str]) -> EncodedTexts:
    """Number the code points of each text; lone surrogates are characters like any other.

    Examples
    --------
    >>> encode_characters(["aba", "", "b"])
    EncodedTexts(ids=array([0, 1, 0, 1]), lengths=array([3, 0, 1]), n_types=2)
    """
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    if len(points) == 0:
        return EncodedTexts(np.zeros(0, dtype=np.int64), lengths, 0)
    used = np.zeros(int(points.max()) + 1, dtype=np.int64)
    used[points] = 1
    number = np.cumsum(used) - 1
    return EncodedTexts(number[points], lengths, int(number[-1]) + 1)


def tokenize_13a(text: str) -> list[str]:
    """Tokens of the mteval-v13a scheme, the default of BLEU in sacrebleu.

    Symbols stand alone, full stops and commas unless between digits, a dash after a digit. A dash at the end of
    a line joins the word with the next line; other line ends are spaces.

    References
    ----------
    Post (2018), "A Call for Clarity in Reporting BLEU Scores", sec. 2, arXiv:1804.08771.

    Examples
    --------
    >>> tokenize_13a("It's 3.5, (ca. 5-6)!")
    ["It's", '3.5', ',', '(', 'ca', '.', '5', '-', '6', ')', '!']
    """
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
    text = _SYMBOL.sub(r" \1 ", f" {text} ")
    text = _POINT_AFTER_NON_DIGIT.sub(r"\1 \2 ", text)
    text = _POINT_BEFORE_NON_DIGIT.sub(r" \1 \2", text)
    if "-" in text:
        text = _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text)
    return text.split()


def rouge_tokens(text: str) -> list[str]:
    """Lower-cased runs of ``a-z0-9``: the tokens of ROUGE in the package rouge-score, without stemming.

    Any other character only separates, so a text in another script has no tokens at all.

    Examples
    --------
    >>> rouge_tokens("The café's 2 rooms")
    ['the', 'caf', 's', '2', 'rooms']
    """
    return _ROUGE_TOKEN.findall(text.lower())


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and the articles a, an, the; one space between words.

    References
    ----------
    Rajpurkar et al. (2016), "SQuAD", sec. 6.1, arXiv:1606.05250, and its evaluation script.

    Examples
    --------
    >>> normalize_answer("The  U.S. Army!")
    'us army'
    """
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def chrf_characters(text: str) -> str:
    """The characters that chrF sees: all but white space.

    Examples
    --------
    >>> chrf_characters("two words")
    'twowords'
    """
    return "".join(text.split())


def chrf_words(text: str) -> list[str]:
    """Words of chrF++: split at white space, with one punctuation mark at the end or else the start set apart.

    References
    ----------
    Popović (2017), "chrF++: words helping character n-grams", WMT.

    Examples
    --------
    >>> chrf_words('(yes) "no"')
    ['(yes', ')', '"no', '"']
    """
    words: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in _PUNCTUATION:
            words += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in _PUNCTUATION:
            words += [word[0], word[1:]]
        else:
            words.append(word)
    return words
