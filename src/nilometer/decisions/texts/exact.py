"""The text with the best expected utility among samples: minimum Bayes risk, exactly."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import ArrayLike

from nilometer.arrays import Float, Floats, Int, Ints

from .distinct import DistinctTexts, distinct_texts
from .scores import expected_utilities
from .utilities import TextUtility, resolve_utility

__all__ = ["MBRDecision", "RankedText", "mbr", "mbr_many", "rank_order"]

Texts = Sequence[str]
Utility = str | TextUtility | Callable[[str, str], float]


@dataclass(frozen=True)
class RankedText:
    """A distinct text in the ranking."""

    text: str
    """As given."""
    index: int
    """Its first position among the hypotheses."""
    count: int
    """How many hypotheses are equal to it."""
    weight: float
    """Its share of the weight of the pseudo-references."""
    expected_utility: float
    """Mean utility against the pseudo-references, in the unit of the utility."""


@dataclass(frozen=True)
class MBRDecision:
    """Which text to answer with, and how far ahead it is.

    The winner is what the samples agree on most. That is not evidence that it is true.
    """

    ranking: tuple[RankedText, ...]
    """Distinct texts, best first; equal utility: the larger weight first, then the earlier one."""
    scores: tuple[float, ...]
    """Expected utility of each hypothesis, in the order given."""
    utility: str
    """Name of the utility."""
    n_references: int
    """Distinct pseudo-references."""
    n_effective: float
    """1 / Σ w² over the pseudo-references as given: how many equally weighted ones they are worth."""
    n_calls: int
    """Scores computed."""

    @property
    def text(self) -> str:
        """The answer."""
        return self.ranking[0].text

    @property
    def index(self) -> int:
        """Its first position among the hypotheses."""
        return self.ranking[0].index

    @property
    def expected_utility(self) -> float:
        """Its mean utility against the pseudo-references."""
        return self.ranking[0].expected_utility

    @property
    def runner_up(self) -> RankedText | None:
        """The next best distinct text, if there is one."""
        return self.ranking[1] if len(self.ranking) > 1 else None

    @property
    def margin(self) -> float | None:
        """Expected utility lost by answering with the runner-up."""
        return self.expected_utility - self.ranking[1].expected_utility if len(self.ranking) > 1 else None


def mbr(
    hypotheses: Texts,
    *,
    utility: Utility = "chrf",
    pseudo_references: Texts | None = None,
    weights: ArrayLike | None = None,
    logprobs: ArrayLike | None = None,
    exclude_self: bool = False,
) -> MBRDecision:
    r"""Return the hypothesis with the best expected utility, and the whole ranking.

    .. math:: \hat y = \arg\max_{h \in H} \sum_{r \in R} w_r\, u(h, r)

    Every pair is scored, in blocks: memory does not grow with the square of the number of texts. Equal texts are
    merged first and count as often as they were given. With `exact_match` this is the majority vote. For a
    utility whose calls cost money or GPU time see `race_mbr`.

    Parameters
    ----------
    hypotheses
        Samples of the answer to one prompt; any string, also empty or of many lines.
    utility
        A name in `TEXT_UTILITIES`, a `TextUtility`, or a function of hypothesis and reference, larger is better.
    pseudo_references
        Samples that stand for the truth; the hypotheses themselves by default.
    weights
        One non-negative number per pseudo-reference *as given*: those of equal texts are added up. Sampling has
        already counted a likely text often, so leave it out for plain samples. In particular, weights ∝ p(text)
        on samples that hold duplicates make it p²; use ``logprobs`` for that.
    logprobs
        Log-probability of each whole pseudo-reference, at most 0. Each *distinct* text then weighs
        exp(logprob), however often it was given (of unlike values for one text the largest). Use it where the
        texts come from a beam or a deduplicated list, or to replace sampling noise by probability.
    exclude_self
        Leave one copy of the hypothesis itself out of its mean. It changes the winner only if weights are unequal
        or u(y, y) is not the same for every y.

    Raises
    ------
    ValueError
        If there is no text, weights or logprobs are unusable, or the utility gives a score that is not finite.
    ConfigError
        If the utility has no such name.

    References
    ----------
    Kumar and Byrne (2004), "Minimum Bayes-Risk Decoding", NAACL. Eikema and Aziz (2020), arXiv:2005.10283.
    Jinnai et al. (2024), "Model-Based Minimum Bayes Risk Decoding", arXiv:2311.05263, for ``logprobs``.

    Examples
    --------
    >>> decision = mbr(["the cat sat", "the cat sat down", "a dog ran"])
    >>> decision.text, round(decision.expected_utility, 2), decision.runner_up.text
    ('the cat sat down', 67.03, 'the cat sat')
    """
    measure = resolve_utility(utility)
    same = pseudo_references is None
    if not same and exclude_self:
        raise ValueError("`exclude_self` must be False with `pseudo_references`, got True.")
    own = distinct_texts(hypotheses, (weights, logprobs) if same else None)
    references, weight = own, own.weights
    if pseudo_references is not None:
        references = distinct_texts(pseudo_references, (weights, logprobs), name="pseudo_references")
        share = dict(zip(references.texts, references.weights.tolist(), strict=True))
        weight = np.array([share.get(text, 0.0) for text in own.texts])
    found = expected_utilities(measure, own.texts, None if same else references.texts, weights=references.weights)
    means = found.means
    if exclude_self:
        copy = own.weights if logprobs is not None else own.weights / own.counts
        means = _without_one_copy(means, found.with_itself, copy)
    return _decision(own, weight, means, about=(measure.name, references, found.n_calls))


def mbr_many(
    samples: Iterable[Texts],
    *,
    utility: Utility = "chrf",
    weights: Iterable[ArrayLike | None] | None = None,
    logprobs: Iterable[ArrayLike | None] | None = None,
    exclude_self: bool = False,
) -> Iterator[MBRDecision]:
    """Yield the decision of `mbr` for each of many prompts, one at a time.

    Parameters
    ----------
    samples
        The hypotheses of each prompt; a generator will do.
    utility, exclude_self
        As `mbr`.
    weights, logprobs
        Those of each prompt, or ``None`` for a prompt without.

    Raises
    ------
    ValueError
        As `mbr`, with the number of the prompt; also if the iterables differ in length.

    Examples
    --------
    >>> [decision.text for decision in mbr_many([["a", "b", "b"], ["c"]], utility="exact_match")]
    ['b', 'c']
    """
    measure = resolve_utility(utility)
    prompts = iter(enumerate(samples))
    evidence = [repeat(None) if values is None else iter(values) for values in (weights, logprobs)]
    for number, hypotheses in prompts:
        try:
            w, p = [next(values) for values in evidence]
        except StopIteration:
            raise ValueError(f"`weights` and `logprobs` must have one entry per prompt, got {number}.") from None
        try:
            yield mbr(hypotheses, utility=measure, weights=w, logprobs=p, exclude_self=exclude_self)
        except ValueError as exc:
            raise ValueError(f"prompt {number}: {exc}") from exc


def _without_one_copy(
    means: Float[Floats, " h"], with_itself: Float[Floats, " h"], copy: Float[Floats, " h"]
) -> Float[Floats, " h"]:
    if (copy >= 1.0).any():
        raise ValueError("`exclude_self` needs weight on at least two samples.")
    return np.asarray((means - copy * with_itself) / (1.0 - copy))


def rank_order(means: Float[Floats, " h"], weights: Float[Floats, " h"]) -> Int[Ints, " h"]:
    """Order from best to worst: larger mean, then larger weight, then earlier; 12 digits decide what is equal.

    Examples
    --------
    >>> rank_order(np.array([0.3, 0.1 + 0.2, 0.5]), np.array([0.2, 0.4, 0.4]))
    array([2, 1, 0])
    """
    scale = float(np.abs(means).max(initial=0.0)) or 1.0
    return np.lexsort((np.round(-weights, 12), np.round(-means / scale, 12)))


def _decision(
    own: DistinctTexts, weights: Floats, means: Floats, *, about: tuple[str, DistinctTexts, int]
) -> MBRDecision:
    name, references, n_calls = about
    ranking = tuple(
        RankedText(own.texts[i], int(own.first[i]), int(own.counts[i]), float(weights[i]), float(means[i]))
        for i in rank_order(means, weights).tolist()
    )
    scores = tuple(means[own.positions].tolist())
    return MBRDecision(ranking, scores, name, len(references.texts), references.n_effective, n_calls)
