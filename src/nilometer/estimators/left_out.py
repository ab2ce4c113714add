"""Rules fitted without a family of slices, and what they say of that family."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .accuracy import Threshold
from .intervals import LEAST_SLICES, Residuals, fit_residuals
from .reference import has_both_kinds

if TYPE_CHECKING:
    from .sentinel import Sentinel

__all__ = ["LeftOut", "Rule", "family_of_slices", "left_out_probabilities", "left_out_residuals"]


class Rule(NamedTuple):
    """What one fit on some of the labelled slices learned."""

    accuracy: float
    accuracy_without_logprobs: float
    threshold: Threshold | None
    classifier: Any


class LeftOut(NamedTuple):
    """A labelled slice, estimated by a rule that never saw its family."""

    rule: Rule
    family: str
    estimated: float
    realized: float
    n_labels: int


def family_of_slices(
    groups: NDArray[np.str_], families: NDArray[np.str_], labels: NDArray[np.float64]
) -> dict[str, list[str]]:
    """Return the slices of every family whose absence leaves labels of both kinds.

    Raises
    ------
    ValueError
        If a slice lies in two families.
    """
    pairs = sorted(set(zip(families.tolist(), groups.tolist(), strict=True)))
    found: dict[str, list[str]] = {}
    for family, name in pairs:
        found.setdefault(family, []).append(name)
    if len(pairs) > len(set(groups.tolist())):
        twice = next(name for _, name in pairs if sum(name == other for _, other in pairs) > 1)
        raise ValueError(f"`families` must give every slice one family, got several for {twice!r}.")
    return {family: slices for family, slices in found.items() if has_both_kinds(labels[families != family])}


def left_out_residuals(left_out: Mapping[str, LeftOut], *, without: str | None = None) -> Residuals | None:
    """Summarise the residuals of all families but one; None if fewer than ``LEAST_SLICES`` remain."""
    rows = [row for row in left_out.values() if row.family != without]
    if len({row.family for row in rows}) < LEAST_SLICES:
        return None
    estimated, realized, n = (
        np.array([getattr(row, name) for row in rows], dtype=np.float64)
        for name in ("estimated", "realized", "n_labels")
    )
    return fit_residuals(estimated, realized, n, families=np.array([row.family for row in rows]))


def left_out_probabilities(sentinel: "Sentinel") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (probability of a correct answer, label) of the labelled responses, each family left out once.

    Families whose absence leaves labels of one kind only are not among them.
    """
    parts = [(np.empty(0), np.empty(0))]
    for name, row in sentinel.left_out_.items():
        own = sentinel.groups_ == name
        parts.append((sentinel.p_correct(sentinel.reference_.rows(own), row.rule), sentinel.labels_[own]))
    probabilities, labels = zip(*parts, strict=True)
    return np.concatenate(probabilities), np.concatenate(labels)
