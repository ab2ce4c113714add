"""What can be added up over responses: zero, +, and a finish that turns sums into estimates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nilometer.arrays import Floats
from nilometer.traces import SliceIndex

__all__ = ["SliceSums"]


@dataclass(frozen=True, slots=True, eq=False)
class SliceSums:
    """Sums over responses by slice; ``a + b`` are the sums over the responses of both, in any order.

    Traffic may come in any parts: files, batches of a stream, hours, workers of a cluster. The sums of the parts,
    added in any order, are those of the whole up to rounding (1e-12), so what a ``finish`` makes of them is too.

    Examples
    --------
    >>> from nilometer.traces import index_slices
    >>> batch = SliceSums.of(index_slices(["a", "b", "a"]), {"n": np.ones(3)}, key="example")
    >>> (batch + SliceSums.zero(("n",), key="example") + batch).to_dict()["slices"]
    {'a': [4.0], 'b': [2.0]}
    """

    columns: tuple[str, ...]
    """What is summed."""
    slices: tuple[str, ...]
    """Sorted."""
    values: Floats
    """Shape (slices, columns)."""
    key: str = ""
    """Names what the sums belong to, such as one fitted sentinel; others cannot be added."""
    provenance: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Settings and models that the responses came from: k, logprobs mode, model."""

    @classmethod
    def zero(cls, columns: tuple[str, ...], *, key: str = "") -> "SliceSums":
        """Return the sums over no response; adding them changes nothing."""
        return cls(columns, (), np.zeros((0, len(columns))), key)

    @classmethod
    def of(
        cls,
        index: SliceIndex,
        columns: Mapping[str, Floats],
        *,
        key: str = "",
        provenance: Mapping[str, frozenset[str]] | None = None,
    ) -> "SliceSums":
        """Sum columns of shape (n,) by slice."""
        values = np.zeros((len(index.names), len(columns)))
        for i, column in enumerate(columns.values()):
            values[:, i] = np.bincount(index.codes, column, len(index.names))
        return cls(tuple(columns), index.names, values, key, dict(provenance or {}))

    def __add__(self, other: "SliceSums") -> "SliceSums":
        if (self.key, self.columns) != (other.key, other.columns):
            raise ValueError(
                f"sums must be of the same columns and of the same fit, got {self.key!r} and {other.key!r}. "
                "Sum the profiles of both with one sentinel."
            )
        slices = tuple(sorted({*self.slices, *other.slices}))
        place = {name: i for i, name in enumerate(slices)}
        values = np.zeros((len(slices), len(self.columns)))
        for part in (self, other):
            values[[place[name] for name in part.slices]] += part.values
        return SliceSums(self.columns, slices, values, self.key, _both(self.provenance, other.provenance))

    def column(self, name: str) -> Floats:
        """One sum of every slice, shape (slices,)."""
        return np.asarray(self.values[:, self.columns.index(name)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; :meth:`from_dict` reads them."""
        return {
            "key": self.key,
            "columns": list(self.columns),
            "slices": dict(zip(self.slices, self.values.tolist(), strict=True)),
            "provenance": {name: sorted(found) for name, found in self.provenance.items()},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SliceSums":
        """Read what :meth:`to_dict` gave.

        Raises
        ------
        ValueError
            If a slice does not have one number per column.
        """
        columns, slices = tuple(plain["columns"]), dict(sorted(plain["slices"].items()))
        if any(len(row) != len(columns) for row in slices.values()):
            raise ValueError(f"every slice must have {len(columns)} sums, one per column.")
        values = np.array(list(slices.values()), dtype=np.float64).reshape(-1, len(columns))
        provenance = {name: frozenset(found) for name, found in plain["provenance"].items()}
        return cls(columns, tuple(slices), values, plain["key"], provenance)


def _both(one: Mapping[str, frozenset[str]], other: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    return {name: one.get(name, frozenset()) | other.get(name, frozenset()) for name in sorted({*one, *other})}
