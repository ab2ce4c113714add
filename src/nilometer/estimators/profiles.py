"""Profiles as a matrix: whatever table they come in, with what must not be mixed in one fit."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.arrays import Floats
from nilometer.signals import ATTENTION_FEATURE_NAMES, FEATURE_NAMES
from nilometer.traces import as_table

__all__ = ["Profiles", "as_profiles"]

_PROVENANCE = ("k", "logprobs_mode", "model")


@dataclass(frozen=True, slots=True)
class Profiles:
    """Features of n responses, and the sets of k, logprobs mode and model they come from."""

    values: Floats
    """Shape (n, features), NaN where a feature is not known."""
    names: tuple[str, ...]
    provenance: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> Floats:
        """One feature of every response."""
        if name not in self.names:
            raise ValueError(f"`feature` must be one of {', '.join(self.names)}, got {name!r}.")
        return self.values[:, self.names.index(name)]

    @property
    def score(self) -> NDArray[np.float64]:
        """How unsure the model was of each response: its largest token entropy, in nats.

        Where no response has alternatives it is the mean negative log-probability of a token. High is unsure; NaN
        where a response has no log-probabilities.
        """
        for name in ("max", "nll_avg"):
            if name in self.names and not np.isnan(self.column(name)).all():
                return self.column(name)
        return np.full(len(self), np.nan)

    def rows(self, mask: NDArray[Any]) -> "Profiles":
        """Some of the responses."""
        return Profiles(self.values[mask], self.names, self.provenance)

    def only(self, names: Collection[str]) -> "Profiles":
        """Some of the features, so that taking rows does not copy the others; names that are not there are left out."""
        kept = [i for i, name in enumerate(self.names) if name in names]
        return Profiles(self.values[:, kept], tuple(self.names[i] for i in kept), self.provenance)


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
    table = as_table(X, name="X")
    names = tuple(name for name in (*FEATURE_NAMES, *ATTENTION_FEATURE_NAMES) if name in table.column_names)
    if not names:
        raise ValueError(f"`X` must have columns of FEATURE_NAMES, got {', '.join(table.column_names)}.")
    columns = [table[name].to_numpy().astype(np.float64) for name in names]
    values = np.stack(columns, axis=1) if columns else np.empty((len(table), 0))
    provenance = {name: _distinct(table, name) for name in _PROVENANCE}
    return Profiles(values, names, provenance)


def _distinct(table: pa.Table, name: str) -> tuple[str, ...]:
    if name not in table.column_names:
        return ()
    return tuple(sorted(str(value) for value in table[name].unique().to_pylist() if value is not None))
