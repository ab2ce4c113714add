"""Profiles as a matrix: whatever table they come in, with what must not be mixed in one fit."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.signals import ATTENTION_FEATURE_NAMES, FEATURE_NAMES

__all__ = ["Profiles", "as_profiles", "distinct", "rows_by_name"]

_PROVENANCE = ("k", "logprobs_mode", "model")


@dataclass(frozen=True, slots=True)
class Profiles:
    """Features of n responses, and the sets of k, logprobs mode and model they come from."""

    values: NDArray[np.float64]
    """Shape (n, features), NaN where a feature is not known."""
    names: tuple[str, ...]
    provenance: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> NDArray[np.float64]:
        """One feature of every response."""
        if name not in self.names:
            raise ValueError(f"`feature` must be one of {', '.join(self.names)}, got {name!r}.")
        return self.values[:, self.names.index(name)]

    def rows(self, mask: NDArray[Any]) -> "Profiles":
        """Some of the responses."""
        return Profiles(self.values[mask], self.names, self.provenance)

    def only(self, names: Collection[str]) -> "Profiles":
        """Some of the features, so that taking rows does not copy the others; names that are not there are left out."""
        kept = [i for i, name in enumerate(self.names) if name in names]
        return Profiles(self.values[:, kept], tuple(self.names[i] for i in kept), self.provenance)


def distinct(names: NDArray[Any]) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Sorted distinct names, and the place of each among them, by hashing: sorting a million texts takes seconds.

    Examples
    --------
    >>> found, place = distinct(np.array(["b", "a", "b"]))
    >>> found.tolist(), place.tolist()
    (['a', 'b'], [1, 0, 1])
    """
    encoded = pa.array(names.tolist(), pa.string()).dictionary_encode()
    found = np.array(encoded.dictionary.to_pylist(), dtype=np.str_)
    order = np.argsort(found)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return found[order], rank[encoded.indices.to_numpy()]


def rows_by_name(names: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    """Rows of every distinct name, names sorted and rows in their order.

    Examples
    --------
    >>> {name: rows.tolist() for name, rows in rows_by_name(np.array(["b", "a", "b"])).items()}
    {'a': [1], 'b': [0, 2]}
    """
    found, place = distinct(names)
    if not len(found):
        return {}
    parts = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    return dict(zip(found.tolist(), parts, strict=True))


def as_profiles(X: Any) -> Profiles:
    """Read profiles from an Arrow table, anything with ``__arrow_c_stream__``, pandas, or an array.

    An array has its columns in the order of ``FEATURE_NAMES``.

    Raises
    ------
    ValueError
        If a table has none of the features, or an array has another number of columns.

    Examples
    --------
    >>> as_profiles(pa.table({"max": [0.5, 1.0]})).names
    ('max',)
    """
    if isinstance(X, Profiles):
        return X
    if isinstance(X, np.ndarray):
        if X.ndim != 2 or X.shape[1] != len(FEATURE_NAMES):
            raise ValueError(
                f"`X` must have shape (n, {len(FEATURE_NAMES)}), the order of FEATURE_NAMES, got {X.shape}."
            )
        return Profiles(X.astype(np.float64), FEATURE_NAMES, dict.fromkeys(_PROVENANCE, ()))
    table = _table(X)
    names = tuple(name for name in (*FEATURE_NAMES, *ATTENTION_FEATURE_NAMES) if name in table.column_names)
    if not names:
        raise ValueError(f"`X` must have columns of FEATURE_NAMES, got {', '.join(table.column_names)}.")
    columns = [table[name].to_numpy().astype(np.float64) for name in names]
    values = np.stack(columns, axis=1) if columns else np.empty((len(table), 0))
    provenance = {name: _distinct(table, name) for name in _PROVENANCE}
    return Profiles(values, names, provenance)


def _table(X: Any) -> pa.Table:
    if isinstance(X, pa.Table):
        return X
    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    if hasattr(X, "__arrow_c_stream__"):
        return pa.table(X)
    if hasattr(X, "columns"):
        return pa.Table.from_pandas(X, preserve_index=False)
    raise TypeError(f"`X` must be a table of profiles or an array, got {type(X).__name__}.")


def _distinct(table: pa.Table, name: str) -> tuple[str, ...]:
    if name not in table.column_names:
        return ()
    return tuple(sorted(str(value) for value in table[name].unique().to_pylist() if value is not None))
