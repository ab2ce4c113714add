"""What a text decision is judged by: the table of utilities, and how a function of yours becomes one."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from nilometer.arrays import Floats
from nilometer.errors import ConfigError
from nilometer.signals import (
    bleu_scores,
    character_error_rates,
    chrf_scores,
    cosine_scores,
    exact_match_scores,
    rouge_l_scores,
    rouge_n_scores,
    token_f1_scores,
    unit_vectors,
    word_error_rates,
)

__all__ = [
    "TEXT_UTILITIES",
    "TextUtility",
    "batched_utility",
    "cosine_utility",
    "exact_match_utility",
    "pairwise_utility",
    "resolve_utility",
]

Texts = Sequence[str]
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class TextUtility:
    """How good a hypothesis is if a reference is the truth; larger is better.

    Give ``matrix`` where scores come in blocks, or ``pairs`` where each one costs (a neural metric, a judge).
    """

    name: str
    """What results call it."""
    matrix: Callable[[Texts, Texts | None], Floats] | None = None
    """(hypotheses, references) scores; references ``None`` means the hypotheses themselves."""
    pairs: Callable[[Pairs], ArrayLike] | None = None
    """One score for each (hypothesis, reference) of a list; asked for each pair once."""
    expected: Callable[[Texts, Texts, Floats], tuple[Floats, Floats]] | None = None
    """A way around the matrix: expected utility under the weights, and utility of each hypothesis for itself."""
    symmetric: bool = False
    """Whether exchanging the two texts changes nothing: half the work then."""
    formula: str = ""
    """In one line."""
    low: float = -np.inf
    """Smallest value."""
    high: float = np.inf
    """Largest value."""
    source: str = ""
    """The implementation it equals to 1e-6, or the paper."""


def pairwise_utility(
    function: Callable[[str, str], float], *, symmetric: bool = False, name: str | None = None
) -> TextUtility:
    """Make a utility of a function of one hypothesis and one reference.

    Parameters
    ----------
    function
        Larger is better.
    symmetric
        Promise that ``function(a, b) == function(b, a)``: then each unordered pair is asked once.
    name
        The function's own by default.

    Examples
    --------
    >>> pairwise_utility(lambda h, r: -abs(len(h) - len(r)), name="length").name
    'length'
    """
    return TextUtility(
        name or _name_of(function),
        pairs=lambda pairs: [function(hypothesis, reference) for hypothesis, reference in pairs],
        symmetric=symmetric,
    )


def batched_utility(
    function: Callable[[Pairs], ArrayLike], *, symmetric: bool = False, name: str | None = None
) -> TextUtility:
    """Make a utility of a function that scores a list of (hypothesis, reference) at once.

    The form for a neural metric on a GPU or a judge behind an API: it sees as large a batch as there is.

    Parameters
    ----------
    function, symmetric, name
        As `pairwise_utility`.

    Examples
    --------
    >>> batched_utility(lambda pairs: [float(h == r) for h, r in pairs], name="same").pairs([("a", "a")])
    [1.0]
    """
    return TextUtility(name or _name_of(function), pairs=function, symmetric=symmetric)


def _name_of(function: Callable[..., object]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def cosine_utility(embed: Callable[[list[str]], ArrayLike] | Mapping[str, ArrayLike]) -> TextUtility:
    r"""Cosine of the embeddings of two texts, in linear time.

    .. math:: \sum_j w_j \cos(e_i, e_j) = \hat e_i \cdot \sum_j w_j \hat e_j

    exactly, so no pair is visited. A zero vector has 0 with everything.

    Parameters
    ----------
    embed
        From a list of texts to a (texts, dim) array, or a mapping from text to vector.

    Examples
    --------
    >>> cosine_utility({"yes": [1.0, 0.0], "no": [0.0, 1.0]}).matrix(["yes", "no"], ["yes"])
    array([[1.],
           [0.]])
    """
    look_up = partial(_look_up, embed) if isinstance(embed, Mapping) else embed

    def matrix(hypotheses: Texts, references: Texts | None) -> Floats:
        return cosine_scores(look_up(list(hypotheses)), None if references is None else look_up(list(references)))

    def expected(hypotheses: Texts, references: Texts, weights: Floats) -> tuple[Floats, Floats]:
        rows = unit_vectors(look_up(list(hypotheses)))
        columns = rows if references is hypotheses else unit_vectors(look_up(list(references)))
        return rows @ (weights @ columns), np.einsum("ij,ij->i", rows, rows)

    return TextUtility(
        "cosine", matrix, expected=expected, symmetric=True, formula="e_h · e_r / (‖e_h‖ ‖e_r‖)", low=-1, high=1
    )


def _look_up(vectors: Mapping[str, ArrayLike], texts: list[str]) -> Floats:
    missing = next((text for text in texts if text not in vectors), None)
    if missing is not None:
        raise ValueError(f"`embed` must hold a vector for every text, got none for {missing[:40]!r}.")
    return np.array([vectors[text] for text in texts], dtype=np.float64)


def exact_match_utility(normalize: Callable[[str], str] | None = None) -> TextUtility:
    """1 for the same answer: MBR with it is the majority vote (self-consistency).

    Parameters
    ----------
    normalize
        Maps a text to its equivalence class, such as `nilometer.signals.normalize_answer`; identity by default.

    Examples
    --------
    >>> exact_match_utility(str.casefold).matrix(["Yes", "no"], ["YES"])
    array([[1.],
           [0.]])
    """

    def expected(hypotheses: Texts, references: Texts, weights: Floats) -> tuple[Floats, Floats]:
        mass: dict[str, float] = {}
        for text, weight in zip(references, weights.tolist(), strict=True):
            key = normalize(text) if normalize else text
            mass[key] = mass.get(key, 0.0) + weight
        keys = (normalize(text) if normalize else text for text in hypotheses)
        return np.array([mass.get(key, 0.0) for key in keys]), np.ones(len(hypotheses))

    return TextUtility(
        "exact_match",
        partial(_exact_matrix, normalize),
        expected=expected,
        symmetric=True,
        formula="1 if h = r else 0",
        low=0,
        high=1,
        source="majority vote; give a normaliser with exact_match_utility",
    )


def _exact_matrix(normalize: Callable[[str], str] | None, hypotheses: Texts, references: Texts | None) -> Floats:
    return exact_match_scores(hypotheses, references, normalize=normalize)


def _minus(rates: Callable[[Texts, Texts | None], Floats], hypotheses: Texts, references: Texts | None) -> Floats:
    return -rates(hypotheses, references)


_F = "2·shared / (all of h + all of r), "
_TABLE = (
    TextUtility(
        "bleu",
        bleu_scores,
        formula="100·BP·exp(mean log p_n), n ≤ 4, exp smoothing, 13a tokens",
        low=0,
        high=100,
        source="sacrebleu sentence_bleu",
    ),
    TextUtility(
        "cer",
        partial(_minus, character_error_rates),
        formula="−edits / characters of r",
        high=0,
        source="rapidfuzz Levenshtein; needs nilometer[text]",
    ),
    TextUtility(
        "chrf",
        chrf_scores,
        formula="100·5PR / (4P + R), character n-grams, n ≤ 6",
        low=0,
        high=100,
        source="sacrebleu sentence_chrf",
    ),
    TextUtility(
        "chrf++",
        partial(chrf_scores, word_order=2),
        formula="chrf with word n-grams, n ≤ 2",
        low=0,
        high=100,
        source="sacrebleu sentence_chrf, word_order=2",
    ),
    exact_match_utility(),
    TextUtility(
        "rouge1",
        rouge_n_scores,
        symmetric=True,
        formula=_F + "words",
        low=0,
        high=1,
        source="rouge-score rouge1 F-measure",
    ),
    TextUtility(
        "rouge2",
        partial(rouge_n_scores, order=2),
        symmetric=True,
        formula=_F + "pairs of words",
        low=0,
        high=1,
        source="rouge-score rouge2 F-measure",
    ),
    TextUtility(
        "rougeL",
        rouge_l_scores,
        symmetric=True,
        formula="2·LCS / (words of h + words of r)",
        low=0,
        high=1,
        source="rouge-score rougeL F-measure; needs nilometer[text]",
    ),
    TextUtility(
        "token_f1",
        token_f1_scores,
        symmetric=True,
        formula=_F + "normalised words",
        low=0,
        high=1,
        source="SQuAD 2.0 evaluation script",
    ),
    TextUtility(
        "wer",
        partial(_minus, word_error_rates),
        formula="−edits / words of r",
        high=0,
        source="rapidfuzz Levenshtein; needs nilometer[text]",
    ),
)

TEXT_UTILITIES: dict[str, TextUtility] = {utility.name: utility for utility in _TABLE}
"""Every utility that has a name."""


def resolve_utility(utility: str | TextUtility | Callable[[str, str], float]) -> TextUtility:
    """Return the utility of that name, the utility itself, or one made of a function.

    Raises
    ------
    ConfigError
        If no utility has the name.
    TypeError
        If it is none of the three.

    Examples
    --------
    >>> resolve_utility("chrf").high
    100
    """
    if isinstance(utility, TextUtility):
        return utility
    if isinstance(utility, str):
        if utility in TEXT_UTILITIES:
            return TEXT_UTILITIES[utility]
        folded = {name.lower().replace("_", ""): name for name in TEXT_UTILITIES}
        key = utility.lower().replace("-", "").replace("_", "").replace(" ", "")
        close = difflib.get_close_matches(key, folded, n=1)
        hint = f" Did you mean {folded[close[0]]!r}?" if close else ""
        raise ConfigError(f"`utility` must be one of {', '.join(TEXT_UTILITIES)}, got {utility!r}.{hint}")
    if callable(utility):
        return pairwise_utility(utility)
    raise TypeError(f"`utility` must be a name, a TextUtility or a function of two texts, got {utility!r}.")
