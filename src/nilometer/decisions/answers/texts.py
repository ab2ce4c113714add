"""Rules for texts: the sample with the best expected utility, as ``mbr`` chooses it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nilometer.arrays import Floats

from ..texts.utilities import TextUtility
from .labels import first_best
from .rule import Rule

__all__ = ["text_rule"]

_CANDIDATES, _TIE = 512, 1e-9


def text_rule(utility: TextUtility) -> Rule:
    """Make the rule of a text utility that scores in blocks: of the samples, the one with the best expected utility.

    The loss is the utility's largest value less the utility. For choosing among many texts, for paid utilities and for
    rankings, ``mbr`` and ``race_mbr`` are the tools.

    Examples
    --------
    >>> from nilometer.decisions import TEXT_UTILITIES
    >>> rule = text_rule(TEXT_UTILITIES["rouge1"])
    >>> rule.solve(("a b", "a b c", "x"), np.array([[0.4, 0.4, 0.2]]), None)
    ['a b']
    """
    top = utility.high if np.isfinite(utility.high) else 0.0

    def losses(answers: Sequence[str], truths: Sequence[str], _: object = None) -> Floats:
        assert utility.matrix is not None, "the table of utilities scores in blocks"
        table: Floats = top - np.asarray(utility.matrix(list(answers), list(truths)), dtype=np.float64)
        return table

    def solve(values: Sequence[str], weights: Floats, _: object = None) -> list[Any]:
        heaviest = np.sort(np.argsort(-weights.sum(axis=0), kind="stable")[:_CANDIDATES])
        chosen = [values[place] for place in heaviest]
        risks = weights @ losses(chosen, values).T
        tied = risks <= risks.min(axis=1, keepdims=True) + _TIE
        return [chosen[place] for place in first_best(-np.where(tied, weights[:, heaviest], -1.0))]

    return Rule(
        name=utility.name,
        kind="text",
        metric=f"{utility.name}(a, y)",
        answer="sample with the best expected utility",
        solve=solve,
        losses=losses,
        loss=lambda a, y, _: float(losses([a], [y])[0, 0]),
        measure=utility.name,
        higher_is_better=True,
        exactness="exact over the samples; of equals the heavier, then the first",
        score=lambda a, y, _: float(np.mean([top - losses([x], [t])[0, 0] for x, t in zip(a, y, strict=True)])),
        reference=utility.source or "minimum Bayes risk; Kumar and Byrne (2004)",
    )
