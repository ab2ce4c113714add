"""The arrays of several models' answers to the same prompts, as routes are decided and judged on them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Bools, Floats
from nilometer.errors import NotEnoughDataError

__all__ = ["AnswerTable", "split_labelled"]


@dataclass(frozen=True, kw_only=True)
class AnswerTable:
    """Answers as vectors, with what is known about them; rows are prompts, columns are models.

    Raises
    ------
    ValueError
        If an array does not fit the models and prompts, or a cost is negative.
    """

    models: tuple[str, ...]
    embeddings: NDArray[Any]
    """(prompts, models, dim) or (prompts, models, generations, dim); only NaN for a missing answer."""
    prompts: NDArray[Any] | None = None
    """(prompts, dim) embeddings of the prompts."""
    scores: Floats | None = None
    """(prompts, models) in [0, 1]; NaN where not labelled."""
    costs: Floats | None = None
    """(models,) price of one call, in any currency."""
    confidence: Floats | None = None
    """(prompts, models) probability of a right answer from log-probabilities; NaN where unknown."""
    groups: NDArray[Any] | None = None
    """(prompts,) groups of dependent prompts."""

    def __post_init__(self) -> None:
        n, m = np.shape(self.embeddings)[:2]
        if np.ndim(self.embeddings) not in (3, 4) or m != len(self.models):
            shape = f"(prompts, {len(self.models)}, dim) or (prompts, {len(self.models)}, generations, dim)"
            raise ValueError(f"`embeddings` must be {shape}, got {np.shape(self.embeddings)}.")
        for name, wanted in (("scores", (n, m)), ("confidence", (n, m)), ("costs", (m,)), ("groups", (n,))):
            value = getattr(self, name)
            if value is not None and np.shape(value) != wanted:
                raise ValueError(f"`{name}` must be {wanted}, got {np.shape(value)}.")
        if self.prompts is not None and (np.ndim(self.prompts) != 2 or len(self.prompts) != n):
            raise ValueError(f"`prompts` must be ({n}, dim), got {np.shape(self.prompts)}.")
        if self.costs is not None and not (np.isfinite(self.costs).all() and (self.costs >= 0).all()):
            raise ValueError(f"`costs` must be finite numbers >= 0, got {self.costs.tolist()}.")

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def single(self) -> NDArray[Any]:
        """(prompts, models, dim) the first generation, which is the answer a selection gives."""
        return self.embeddings if self.embeddings.ndim == 3 else self.embeddings[:, :, 0]

    @property
    def present(self) -> Bools:
        """(prompts, models) whether there is an answer."""
        return np.asarray(~np.isnan(self.single).all(axis=2))

    @property
    def labelled(self) -> Bools:
        """(prompts,) whether every answer has a label, and there are two or more; one that cannot be read counts."""
        if self.scores is None:
            return np.zeros(len(self), dtype=bool)
        known = ~np.isnan(self.scores)
        return np.asarray((known | ~self.present).all(axis=1) & (known.sum(axis=1) > 1))

    def rows(self, keep: NDArray[Any]) -> "AnswerTable":
        """Some of the prompts, by mask or number."""
        names = ("embeddings", "prompts", "scores", "confidence", "groups")
        kept = {name: getattr(self, name) for name in names}
        changes: dict[str, Any] = {name: None if value is None else value[keep] for name, value in kept.items()}
        return replace(self, **changes)

    def mean_scores(self) -> Floats:
        """(models,) mean of the labels of each model; -inf without any."""
        if self.scores is None:
            return np.full(len(self.models), -np.inf)
        known = ~np.isnan(self.scores)
        n = known.sum(axis=0)
        total = np.where(known, self.scores, 0.0).sum(axis=0)
        return np.where(n > 0, total / np.maximum(n, 1), -np.inf)


def split_labelled(table: AnswerTable, *, rng: np.random.Generator) -> tuple[AnswerTable, AnswerTable]:
    """Split answers for a fair test: half of the labelled prompts are judged, everything else is for fitting.

    Prompts of one group stay together.

    Raises
    ------
    NotEnoughDataError
        If fewer than four prompts have labels for all their answers.

    Examples
    --------
    >>> scores = np.tile([1.0, 0.0], (6, 1))
    >>> table = AnswerTable(models=("a", "b"), embeddings=np.zeros((6, 2, 3)), scores=scores)
    >>> [len(part) for part in split_labelled(table, rng=np.random.default_rng(0))]
    [3, 3]
    """
    labelled = np.flatnonzero(table.labelled)
    if len(labelled) < 4:
        raise NotEnoughDataError(f"{len(labelled)} prompts have labels for all answers.", "Label four or more.")
    groups = np.arange(len(table)) if table.groups is None else np.unique(table.groups, return_inverse=True)[1].ravel()
    kinds = rng.permutation(np.unique(groups[labelled]))
    judged = np.isin(groups, kinds[: len(kinds) // 2])
    return table.rows(~judged), table.rows(judged)
