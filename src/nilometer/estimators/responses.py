"""Responses as one value: profiles with slices, families, labels and probabilities, made once and passed on."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nilometer.traces import SliceIndex, index_slices

from .profiles import Profiles, as_profiles

__all__ = ["Responses", "as_responses"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Responses:
    """The profiles of n responses, and what is known of each; every stage after the signals takes this value.

    Examples
    --------
    >>> import pyarrow as pa
    >>> responses = as_responses(pa.table({"max": [0.1, 2.0]}), ["a", "b"], correct=[1.0, None])
    >>> responses.labelled.slices.names, responses.n_labels
    (('a',), 1)
    """

    profiles: Profiles
    slices: SliceIndex
    families: SliceIndex
    """Larger unit of each slice (its task, its customer); its slices err together."""
    correct: Floats
    """Shape (n,), labels in [0, 1], NaN where there is none."""
    p_correct: Floats
    """Shape (n,), probability of a correct answer, NaN where not known."""

    def __len__(self) -> int:
        return len(self.correct)

    def rows(self, rows: NDArray[Any]) -> "Responses":
        """Return the selected responses, by a mask or by row numbers."""
        return Responses(
            profiles=self.profiles.rows(rows),
            slices=self.slices.take(rows),
            families=self.families.take(rows),
            correct=self.correct[rows],
            p_correct=self.p_correct[rows],
        )

    @property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Tell which responses have a label, shape (n,)."""
        return ~np.isnan(self.correct)

    @property
    def labelled(self) -> "Responses":
        """Return the responses that have a label."""
        known = self.is_labelled
        return self if known.all() else self.rows(known)

    @property
    def n_labels(self) -> int:
        """Responses with a label."""
        return int(self.is_labelled.sum())

    @property
    def weights(self) -> Floats:
        """Shape (n,), equal sums for all families, n in total."""
        counts = self.families.counts
        return np.asarray((len(self) / len(counts) / counts)[self.families.codes])

    @property
    def accuracies(self) -> dict[str, float]:
        """Share of correct answers by slice; every response must have a label."""
        shares = np.bincount(self.slices.codes, self.correct, len(self.slices.names)) / self.slices.counts
        return dict(zip(self.slices.names, shares.tolist(), strict=True))

    def only(self, features: set[str]) -> "Responses":
        """Keep some of the features, so that taking rows does not copy the others."""
        return replace(self, profiles=self.profiles.only(features))

    def with_p_correct(self, p_correct: Floats) -> "Responses":
        """Return the same responses with other probabilities."""
        return replace(self, p_correct=p_correct)


def as_responses(
    X: Any, slices: Any = None, *, correct: Any = None, families: Any = None, p_correct: Any = None
) -> Responses:
    """Put profiles and what is known of each response into one value; a value made before comes back as it is.

    Parameters
    ----------
    X
        Profiles in any form that :func:`as_profiles` takes, or ``Responses``.
    slices
        Shape (n,), slice of each response; None is one slice called ``all``.
    correct
        Shape (n,), labels in [0, 1], NaN or None where there is none; None has no labels at all.
    families
        Shape (n,), larger unit that each slice belongs to; None makes each slice its own family.
    p_correct
        Shape (n,), probability of a correct answer, NaN where not known.

    Raises
    ------
    ValueError
        If the parts are not equally long.
    """
    if isinstance(X, Responses):
        return X
    profiles = as_profiles(X)
    n = len(profiles)
    index = SliceIndex(np.zeros(n, dtype=np.int64), ("all",) * bool(n)) if slices is None else index_slices(slices)
    units = index if families is None else index_slices(families)
    labels, p = (
        np.full(n, np.nan) if one is None else np.asarray(one, dtype=np.float64) for one in (correct, p_correct)
    )
    lengths = {"profiles": n, "labels": len(labels), "slices": len(index), "families": len(units), "p_correct": len(p)}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{count:,} {name}" for name, count in lengths.items())
        raise ValueError(f"profiles, labels, slices, families and `p_correct` must be equally long, got {said}.")
    return Responses(profiles=profiles, slices=index, families=units, correct=labels, p_correct=p)
