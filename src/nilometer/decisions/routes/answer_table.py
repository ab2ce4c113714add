"""The arrays of several models' answers to the same prompts, as routes are decided and judged on them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import Bools, Floats

__all__ = ["AnswerTable"]


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
        """(prompts,) whether every present answer has a label, and there are two or more."""
        if self.scores is None:
            return np.zeros(len(self), dtype=bool)
        here = self.present
        known = ~np.isnan(self.scores)
        return np.asarray((known | ~here).all(axis=1) & ((known & here).sum(axis=1) > 1))

    def rows(self, keep: NDArray[Any]) -> "AnswerTable":
        """Some of the prompts, by mask or number."""
        names = ("embeddings", "prompts", "scores", "confidence", "groups")
        kept = {name: getattr(self, name) for name in names}
        changes: dict[str, Any] = {name: None if value is None else value[keep] for name, value in kept.items()}
        return replace(self, **changes)
