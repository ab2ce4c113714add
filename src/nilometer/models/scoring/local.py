"""Scoring in this process: the prompt and all its candidates in one forward pass."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from nilometer.arrays import Floats

from ..cache import check_positions
from ..hf import HFRunner
from .tree import PrefixTree, apart, ended, path_logprobs, prefix_tree

__all__ = ["HFScorer"]


class HFScorer:
    """Scores candidates by a Hugging Face model; the tokens that candidates share are read once.

    The nodes of the tree follow the prompt in one sequence; each attends to the prompt and to the path that leads to
    it, and has the position that it has in its candidate. So the numbers are those of one pass per candidate.

    Parameters
    ----------
    runner
        Holds the model, its tokenizer and the chat template.
    closed
        Whether the end of the answer belongs to a candidate; else what follows is free, but is not a longer candidate.
    batch
        Prompts in one pass.
    """

    def __init__(self, runner: HFRunner, *, closed: bool = False, batch: int = 8) -> None:
        self._runner, self._closed, self._batch = runner, closed, batch

    def score(self, prompts: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Floats]:
        """Return, for each prompt, the natural-log probability of each of its candidates, before temperature.

        Raises
        ------
        ValueError
            If a candidate has no token.
        ConfigError
            If a prompt with its candidates has more tokens than the model has positions.
        """
        found: list[Floats] = []
        trees = [prefix_tree([self._runner.tokens(text) for text in texts]) for texts in candidates]
        ids = [self._runner.encode(prompt)[0].tolist() for prompt in prompts]
        for start in range(0, len(prompts), self._batch):
            found += self._pass(ids[start : start + self._batch], trees[start : start + self._batch])
        return found

    @cached_property
    def _ends(self) -> list[int]:
        """Tokens that end an answer; finding those with a stop text takes the whole vocabulary."""
        return sorted(self._runner.end_tokens())

    def _pass(self, ids: list[list[int]], trees: list[PrefixTree]) -> list[Floats]:
        import torch

        longest = max(map(len, ids))
        size = max(len(tree.tokens) for tree in trees)
        check_positions(self._runner.model, longest, max(int(tree.depths.max()) + 1 for tree in trees))
        tokens = np.zeros((len(ids), longest + size), dtype=np.int64)
        places = np.zeros_like(tokens)
        seen = np.zeros((len(ids), longest + size, longest + size), dtype=bool)
        for row, (own, tree) in enumerate(zip(ids, trees, strict=True)):
            _fill(tokens[row], places[row], seen[row], own=own, tree=tree, longest=longest)
        model = self._runner.model
        with torch.inference_mode():
            mask = torch.zeros(seen.shape, dtype=model.dtype).masked_fill(
                ~torch.from_numpy(seen), torch.finfo(model.dtype).min
            )
            out = model(
                input_ids=torch.from_numpy(tokens).to(model.device),
                position_ids=torch.from_numpy(places).to(model.device),
                attention_mask=mask[:, None].to(model.device),
                use_cache=False,
                logits_to_keep=size + 1,
            )
            logprobs = torch.log_softmax(out.logits.float(), -1).cpu()
        return [self._of_tree(tree, logprobs[row]) for row, tree in enumerate(trees)]

    def _of_tree(self, tree: PrefixTree, logprobs: Any) -> Floats:
        """Log-probabilities of the candidates; row 0 stands behind the prompt, row i + 1 behind node i."""
        import torch

        n = len(tree.tokens)
        before = torch.from_numpy(tree.parents + 1)
        steps = logprobs[before, torch.tensor(tree.tokens)].double().numpy()
        paths = path_logprobs(tree, steps)
        if not self._closed:
            return apart(tree, paths)
        ends = torch.logsumexp(logprobs[1 : n + 1][:, torch.tensor(self._ends)], -1)
        return ended(tree, paths, ends.double().numpy())


def _fill(tokens: Any, places: Any, seen: Any, *, own: list[int], tree: PrefixTree, longest: int) -> None:
    """Write one prompt, its end at the same column as all others', and the nodes behind it."""
    n, nodes = len(own), len(tree.tokens)
    begin, end = longest - n, longest + nodes
    tokens[begin:longest], tokens[longest:end] = own, tree.tokens
    places[begin:longest], places[longest:end] = np.arange(n), n + tree.depths
    seen[begin:longest, begin:longest] = np.tri(n, dtype=bool)
    seen[longest:end, begin:longest] = True
    seen[longest:end, longest:end] = tree.ancestors()
    rest = np.r_[0:begin, end : len(tokens)]
    seen[rest, rest] = True  # padding sees itself, so that no row is empty
