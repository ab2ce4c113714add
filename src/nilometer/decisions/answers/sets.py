"""Rules for sets and bags: F-measures exactly over all sets, Hamming loss, Jaccard index."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from nilometer.arrays import Floats

from .rule import Parameter, Rule

__all__ = ["SET_RULES", "f_measure", "jaccard", "occurrences"]

_TIE = 1e-12
_SIZES_AT_ONCE = 64
_DENSE = 4_000_000
_ALL_SUBSETS = 12
"""Up to so many different items, Jaccard looks at every set."""
_NESTED, _LISTED = 512, 256

Item = tuple[str, int]


class _Sets(NamedTuple):
    """The answers of a posterior as rows of a membership table."""

    items: list[Item]
    """Of a bag, each occurrence of a word is an item of its own."""
    member: Any
    """Shape (answers, items), 0 or 1; sparse where it would be large."""
    sizes: Floats
    is_bag: bool

    def answer(self, places: Any) -> Any:
        """The set or bag of the items at these places."""
        chosen = [self.items[place][0] for place in places]
        return tuple(sorted(chosen)) if self.is_bag else frozenset(chosen)


def occurrences(value: Any) -> frozenset[Item]:
    """Items of a set or bag, each occurrence numbered."""
    if isinstance(value, frozenset):
        return frozenset((item, 0) for item in value)
    counts: dict[str, int] = {}
    found = []
    for item in value:
        counts[item] = counts.get(item, -1) + 1
        found.append((item, counts[item]))
    return frozenset(found)


def _sets(values: Sequence[Any]) -> _Sets:
    rows = [occurrences(value) for value in values]
    items = sorted({item for row in rows for item in row}, key=lambda item: (str(item[0]), item[1]))
    places = {item: place for place, item in enumerate(items)}
    sizes = np.array([len(row) for row in rows])
    columns = np.fromiter((places[item] for row in rows for item in row), dtype=np.int64, count=int(sizes.sum()))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    member = csr_array((np.ones(len(columns)), columns, starts), shape=(len(rows), len(items)))
    dense = len(rows) * len(items) <= _DENSE
    is_bag = any(isinstance(value, tuple) for value in values)
    return _Sets(items, member.toarray() if dense else member, sizes.astype(float), is_bag)


def f_measure(answer: Any, truth: Any, beta: float = 1.0) -> float:
    """F_beta of two sets or bags, in [0, 1]; two empty ones agree."""
    a, y = occurrences(answer), occurrences(truth)
    if not a and not y:
        return 1.0
    return (1 + beta**2) * len(a & y) / (beta**2 * len(y) + len(a))


def _best_f(values: Sequence[Any], weights: Floats, beta: float) -> list[Any]:
    """General F-measure maximiser: for each size k the k items with the largest gain, then the best k."""
    sets = _sets(values)
    sizes, groups = np.unique(sets.sizes, return_inverse=True)
    return [_best_f_of(sets, row, _BySize(sizes, groups), beta=beta) for row in weights]


class _BySize(NamedTuple):
    sizes: Floats
    """Different sizes of the answers."""
    groups: np.ndarray
    """Place of each answer's size."""

    def weighted(self, weights: Floats) -> Any:
        """Table that sums answers of one size, shape (sizes, answers)."""
        shape, places = (len(self.sizes), len(weights)), np.arange(len(weights))
        if shape[0] * shape[1] > _DENSE:
            return csr_array((weights, (self.groups, places)), shape=shape)
        table = np.zeros(shape)
        table[self.groups, places] = weights
        return table

    def factor(self, k: np.ndarray, beta: float) -> Floats:
        """What an item in both gives to F of k items and each size, shape (k, sizes)."""
        factor: Floats = (1 + beta**2) / (beta**2 * self.sizes[None, :] + k[:, None])
        return factor


def _best_f_of(sets: _Sets, weights: Floats, by_size: _BySize, *, beta: float) -> Any:
    table = by_size.weighted(weights)
    share, whole = table @ sets.member, by_size.sizes * np.asarray(table.sum(axis=1)).ravel()
    best_value, best_k = float(weights[sets.sizes == 0].sum()), 0
    for start in range(1, len(sets.items) + 1, _SIZES_AT_ONCE):
        k = np.arange(start, min(start + _SIZES_AT_ONCE, len(sets.items) + 1))
        gains = by_size.factor(k, beta) @ share
        values = -np.sort(-gains, axis=1).cumsum(axis=1)[np.arange(len(k)), k - 1]
        top = int(np.argmax(values >= values.max() - _TIE))
        if values[top] > best_value + _TIE:
            best_value, best_k = float(values[top]), int(k[top])
        # no answer of more items can reach more than the whole of every set
        if float(by_size.factor(k[-1:] + 1, beta)[0] @ whole) <= best_value:
            break
    if best_k == 0:
        return sets.answer([])
    gains = (by_size.factor(np.array([best_k]), beta) @ share)[0]
    return sets.answer(np.argsort(-gains.round(12), kind="stable")[:best_k])


def _likely_items(values: Sequence[Any], weights: Floats, _: object = None) -> list[Any]:
    sets = _sets(values)
    return [sets.answer(np.flatnonzero(row > 0.5 + _TIE)) for row in weights @ sets.member]


def jaccard(answer: Any, truth: Any, _: object = None) -> float:
    """Items in both over items in either, in [0, 1]; two empty sets agree."""
    a, y = occurrences(answer), occurrences(truth)
    return len(a & y) / len(a | y) if a | y else 1.0


def _best_jaccard(values: Sequence[Any], weights: Floats, _: object = None) -> list[Any]:
    sets = _sets(values)
    n = len(sets.items)
    if n <= _ALL_SUBSETS:
        every = ((np.arange(2**n)[:, None] >> np.arange(n)[None, :]) & 1).astype(float)
        every = every[np.argsort(every.sum(axis=1), kind="stable")]
        expected = _jaccard_of(every @ sets.member.T, every.sum(axis=1), sets.sizes) @ weights.T
        return [sets.answer(np.flatnonzero(every[place])) for place in _first_largest(expected.T)]
    return [_best_listed_jaccard(sets, row) for row in weights]


def _best_listed_jaccard(sets: _Sets, weights: Floats) -> Any:
    """The best of the heaviest samples and of the k likeliest items, for every k."""
    likeliest = np.argsort(-(weights @ sets.member).round(12), kind="stable")[:_NESTED]
    nested = np.cumsum(np.asarray(_dense(sets.member[:, likeliest])), axis=1).T
    heaviest = np.sort(np.argsort(-weights, kind="stable")[:_LISTED])
    shared = np.asarray(_dense(sets.member[heaviest] @ sets.member.T))
    both = np.concatenate([nested, shared])
    sizes = np.concatenate([np.arange(1, len(likeliest) + 1), sets.sizes[heaviest]])
    place = int(_first_largest((_jaccard_of(both, sizes, sets.sizes) @ weights)[None, :])[0])
    if place < len(likeliest):
        return sets.answer(likeliest[: place + 1])
    return sets.answer(np.flatnonzero(_dense(sets.member[[heaviest[place - len(likeliest)]]])[0]))


def _jaccard_of(both: Floats, sizes: Floats, other_sizes: Floats) -> Floats:
    either = sizes[:, None] + other_sizes[None, :] - both
    found: Floats = np.where(either > 0, both / np.maximum(either, 1.0), 1.0)
    return found


def _first_largest(values: Floats) -> np.ndarray:
    found: np.ndarray = np.argmax(values >= values.max(axis=1, keepdims=True) - _TIE, axis=1)
    return found


def _dense(table: Any) -> Any:
    return table if isinstance(table, np.ndarray) else table.toarray()


def _mean_of(function: Any) -> Any:
    def score(answers: Sequence[Any], truths: Sequence[Any], parameter: Any = None) -> float:
        return float(np.mean([function(a, y, parameter) for a, y in zip(answers, truths, strict=True)]))

    return score


def _f1(answer: Any, truth: Any, _: object = None) -> float:
    return f_measure(answer, truth)


SET_RULES = (
    Rule(
        name="f1",
        kind="set",
        metric="1 − 2|a ∩ y| / (|a| + |y|)",
        answer="k items with the largest gain, best k (GFM)",
        solve=lambda values, weights, _: _best_f(values, weights, 1.0),
        loss=lambda a, y, _: 1 - f_measure(a, y),
        score=_mean_of(_f1),
        measure="F1",
        higher_is_better=True,
        aliases=("set_f1", "token_f1"),
        exactness="exact over all sets and bags, not only the samples",
        reference="Dembczyński et al. (2011), NeurIPS",
    ),
    Rule(
        name="f_beta",
        kind="set",
        metric="1 − (1+β²)|a ∩ y| / (β²|y| + |a|)",
        answer="k items with the largest gain, best k (GFM)",
        solve=_best_f,
        loss=lambda a, y, beta: 1 - f_measure(a, y, beta),
        score=_mean_of(f_measure),
        measure="F_β",
        higher_is_better=True,
        parameter=Parameter("beta", 2.0, 0.0, np.inf, "weight of recall over precision"),
        exactness="exact over all sets and bags, not only the samples",
        reference="Dembczyński et al. (2011), NeurIPS",
    ),
    Rule(
        name="hamming",
        kind="set",
        metric="|a Δ y|",
        answer="items with probability above 1/2",
        solve=_likely_items,
        loss=lambda a, y, _: float(len(occurrences(a) ^ occurrences(y))),
        measure="mean |a Δ y|",
        exactness="exact over all sets and bags; an item at 1/2 is left out",
        reference="Dembczyński et al. (2012), Machine Learning 88",
    ),
    Rule(
        name="jaccard",
        kind="set",
        metric="1 − |a ∩ y| / |a ∪ y|",
        answer="best set",
        solve=_best_jaccard,
        loss=lambda a, y, _: 1 - jaccard(a, y),
        score=_mean_of(jaccard),
        measure="Jaccard",
        higher_is_better=True,
        exactness=f"exact over all sets up to {_ALL_SUBSETS} items; beyond, best of samples and k likeliest items",
        reference="Chierichetti et al. (2010), Finding the Jaccard median",
    ),
)
"""Rules whose answer is a set (``frozenset``) or a bag (sorted ``tuple``)."""
