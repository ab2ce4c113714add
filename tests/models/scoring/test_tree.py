"""Scores against the enumeration of every answer of a small model."""

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.models.scoring.tree import apart, ended, path_logprobs, prefix_tree

TOKENS = "ab1"
END = "."
LENGTH = 5


class SmallModel:
    """Answers over three letters and an end; the next token depends on the last two, and after five there is an end."""

    def __init__(self, seed):
        self._table = np.random.default_rng(seed).dirichlet(np.ones(4), size=(4, 4))

    def next(self, said):
        """Probabilities of a, b, 1 and the end."""
        if len(said) == LENGTH:
            return np.array([0.0, 0.0, 0.0, 1.0])
        known = [TOKENS.index(char) for char in said[-2:]]
        first, second = [3] * (2 - len(known)) + known
        return self._table[first, second]

    def probability(self, said):
        """Of a whole answer, its end included."""
        p = 1.0
        for place, char in enumerate(said + END):
            p *= self.next(said[:place])[(TOKENS + END).index(char)]
        return p

    def answers(self):
        """Every answer with its probability."""
        texts = ("".join(chars) for n in range(LENGTH + 1) for chars in itertools.product(TOKENS, repeat=n))
        return {text: self.probability(text) for text in texts}


def scored(model, candidates, *, closed):
    tree = prefix_tree([list(text) for text in candidates])
    said = []
    for node, parent in enumerate(tree.parents.tolist()):
        said.append((said[parent] if parent >= 0 else "") + tree.tokens[node])
    steps = np.log([model.next(text[:-1])[TOKENS.index(text[-1])] for text in said])
    paths = path_logprobs(tree, steps)
    with np.errstate(divide="ignore"):
        ends = np.log([model.next(text)[3] for text in said])
    return np.exp(ended(tree, paths, ends) if closed else apart(tree, paths))


CANDIDATES = st.lists(st.text("ab1", min_size=1, max_size=4), min_size=1, max_size=8, unique=True)


@given(CANDIDATES, st.integers(0, 50))
def test_scores_equal_the_enumeration_of_all_answers(candidates, seed):
    model = SmallModel(seed)
    answers = model.answers()
    assert sum(answers.values()) == pytest.approx(1.0)
    begun = dict.fromkeys(candidates, 0.0)
    for text, p in answers.items():
        longest = max((one for one in candidates if text.startswith(one)), key=len, default=None)
        if longest is not None:
            begun[longest] += p
    assert scored(model, candidates, closed=False) == pytest.approx([begun[one] for one in candidates], abs=1e-12)
    assert scored(model, candidates, closed=True) == pytest.approx([answers[one] for one in candidates], abs=1e-12)


def test_equal_candidates_share_their_probability():
    tree = prefix_tree(["1", "1"])
    assert np.exp(apart(tree, path_logprobs(tree, np.log([0.25])))).tolist() == [0.25, 0.25]


def test_paths_of_the_tree_see_themselves_and_what_leads_to_them():
    tree = prefix_tree(["ab", "ac", "b"])
    assert tree.depths.tolist() == [0, 1, 1, 0]
    assert tree.ancestors().astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]


def test_candidate_without_tokens_is_refused():
    with pytest.raises(ValueError, match="`sequences` must hold at least one token each, got none in number 1"):
        prefix_tree(["a", ""])
