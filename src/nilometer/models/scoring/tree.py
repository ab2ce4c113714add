"""Candidates as a tree of tokens: what they share is read once, shorter ones are kept apart from longer ones."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from nilometer.arrays import Bools, Floats, Ints

__all__ = ["PrefixTree", "Scorer", "apart", "ended", "path_logprobs", "prefix_tree"]


class Scorer(Protocol):
    """Gives the probability of every candidate answer to a prompt."""

    def score(self, prompts: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Floats]:
        """Return, for each prompt, the natural-log probability of each of its candidates, shape (candidates,)."""
        ...


class PrefixTree(NamedTuple):
    """Token sequences that share their beginnings; node 0 is the first token of the first one."""

    tokens: tuple[Hashable, ...]
    """(nodes,) token of each node."""
    parents: Ints
    """(nodes,) node before it; -1 is the end of the prompt."""
    depths: Ints
    """(nodes,) tokens from the prompt to it, less one."""
    last: Ints
    """(candidates,) node at which each candidate ends."""

    def ancestors(self) -> Bools:
        """(nodes, nodes) whether the second node lies on the path to the first, itself included."""
        mask = np.eye(len(self.parents), dtype=bool)
        for node, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                mask[node] |= mask[parent]
        return mask


def prefix_tree(sequences: Sequence[Sequence[Hashable]]) -> PrefixTree:
    """Lay token sequences out as a tree; equal sequences end at the same node.

    Raises
    ------
    ValueError
        If a sequence is empty.

    Examples
    --------
    >>> tree = prefix_tree([["1"], ["1", "0"], ["2"]])
    >>> tree.tokens, tree.parents.tolist(), tree.last.tolist()
    (('1', '0', '2'), [-1, 0, -1], [0, 1, 2])
    """
    places: dict[tuple[int, Hashable], int] = {}
    tokens: list[Hashable] = []
    parents: list[int] = []
    depths: list[int] = []
    last = []
    for number, sequence in enumerate(sequences):
        if not len(sequence):
            raise ValueError(f"`sequences` must hold at least one token each, got none in number {number}.")
        node = -1
        for depth, token in enumerate(sequence):
            if (node, token) not in places:
                places[node, token] = len(tokens)
                tokens.append(token)
                parents.append(node)
                depths.append(depth)
            node = places[node, token]
        last.append(node)
    return PrefixTree(tuple(tokens), np.array(parents, dtype=np.int64), np.array(depths), np.array(last))


def path_logprobs(tree: PrefixTree, steps: Floats) -> Floats:
    r"""Log-probability of the path to every node, in nats: the sum of the steps on it.

    .. math:: \log p(t_1 \dots t_d \mid x) = \sum_{i=1}^d \log p(t_i \mid x, t_1 \dots t_{i-1})

    Parameters
    ----------
    tree
        The candidates.
    steps
        (nodes,) log-probability of each token behind what stands before it.

    Returns
    -------
    (nodes,), each at most 0.

    Examples
    --------
    >>> path_logprobs(prefix_tree([["1", "0"], ["2"]]), np.log([0.5, 0.2, 0.4])).round(3).tolist()
    [-0.693, -2.303, -0.916]
    """
    found = np.array(steps, dtype=np.float64)
    for node, parent in enumerate(tree.parents.tolist()):
        if parent >= 0:
            found[node] += found[parent]
    return found


def apart(tree: PrefixTree, paths: Floats) -> Floats:
    r"""Log-probability that an answer begins with a candidate and with no longer one, in nats, per candidate.

    .. math:: p(c) = p(\text{path to } c) - \sum_{d} p(\text{path to } d)

    over the candidates ``d`` that begin with the tokens of ``c``, the nearest of each branch. So "1" does not hold the
    probability of "10", and all candidates together at most 1: what is left is mass on everything else. Equal
    candidates share one probability, which each of them gets.

    Parameters
    ----------
    tree
        The candidates.
    paths
        (nodes,) of ``path_logprobs``.

    Examples
    --------
    >>> tree = prefix_tree([["1"], ["1", "0"], ["2"]])
    >>> np.exp(apart(tree, np.log([0.5, 0.1, 0.4]))).round(3).tolist()
    [0.4, 0.1, 0.4]
    """
    masses = np.exp(paths)
    ends = set(tree.last.tolist())
    own = {node: masses[node] for node in ends}
    for node in ends:
        above = int(tree.parents[node])
        while above >= 0 and above not in ends:
            above = int(tree.parents[above])
        if above >= 0:
            own[above] -= masses[node]
    found = np.array([own[node] for node in tree.last.tolist()])
    logprobs: Floats = np.log(np.maximum(found, np.finfo(float).tiny))
    return logprobs


def ended(tree: PrefixTree, paths: Floats, ends: Floats) -> Floats:
    """Log-probability that an answer is a candidate and ends there, in nats, per candidate.

    Parameters
    ----------
    tree
        The candidates.
    paths
        (nodes,) of ``path_logprobs``.
    ends
        (nodes,) log-probability that the answer ends behind each node.
    """
    return np.asarray((paths + ends)[tree.last])
