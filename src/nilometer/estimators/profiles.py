"""Profiles as a matrix: whatever table they come in, with what must not be mixed in one fit."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.arrays import Floats, Ints
from nilometer.signals import ATTENTION_FEATURE_NAMES, FEATURE_NAMES, FEATURES, PROFILE_COLUMNS, opinion_columns
from nilometer.traces import as_table

__all__ = ["Profiles", "as_profiles", "is_own_name"]

_PROVENANCE = ("k", "logprobs_mode", "model")


class Profiles:
    """Features of n responses, and the sets of k, logprobs mode and model they come from.

    A feature is converted, and rows of it are taken, when it is first asked for: of some seventy features a fit reads
    half a dozen.
    """

    def __init__(self, values: Floats, names: tuple[str, ...], provenance: Mapping[str, tuple[str, ...]]) -> None:
        """Take a matrix of shape (n, features), NaN where a feature is not known."""
        self._n, self.names, self.provenance = len(values), names, dict(provenance)
        self._columns: dict[str, _Column] = dict(zip(names, values.T, strict=True))
        self._own: dict[str, _Column] = {}

    @classmethod
    def _of(
        cls,
        columns: dict[str, "_Column"],
        n: int,
        provenance: Mapping[str, tuple[str, ...]],
        *,
        own: Mapping[str, "_Column"] | None = None,
    ) -> "Profiles":
        made = cls(np.empty((n, 0)), (), provenance)
        made.names, made._columns, made._own = tuple(columns), columns, dict(own or {})
        return made

    def __len__(self) -> int:
        return self._n

    def column(self, name: str) -> Floats:
        """One feature of every response, NaN where it is not known."""
        if name not in self._columns:
            raise ValueError(f"`feature` must be one of {', '.join(self.names)}, got {name!r}.")
        return self._values(self._columns, name)

    def with_own(self, names: Collection[str]) -> "Profiles":
        """Return profiles in which those of the named columns that no feature is called by are features, too."""
        added = {name: column for name, column in self._own.items() if name in names}
        if not added:
            return self
        return Profiles._of({**self._columns, **added}, len(self), self.provenance, own=self._own)

    @staticmethod
    def _values(columns: dict[str, "_Column"], name: str) -> Floats:
        found = columns[name]
        if not isinstance(found, np.ndarray):
            found = columns[name] = found()
        return found

    @property
    def score(self) -> Floats:
        """How unsure the model was of each response: its largest token entropy, in nats.

        Where no response has alternatives it is the mean negative log-probability of a token. High is unsure; NaN
        where a response has no log-probabilities.
        """
        for name in ("max", "nll_avg"):
            if name in self.names and not np.isnan(self.column(name)).all():
                return self.column(name)
        return np.full(len(self), np.nan)

    def rows(self, rows: NDArray[Any]) -> "Profiles":
        """Return the selected responses, by a mask or by row numbers."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        taken, own = (
            {name: partial(self._taken, columns, name, rows=rows) for name in columns}
            for columns in (self._columns, self._own)
        )
        return Profiles._of(dict(taken), len(rows), self.provenance, own=own)

    def _taken(self, columns: dict[str, "_Column"], name: str, *, rows: Ints) -> Floats:
        return self._values(columns, name)[rows]

    def only(self, names: Collection[str]) -> "Profiles":
        """Return some of the features; names that are not there are left out."""
        kept = {name: column for name, column in self._columns.items() if name in names}
        own = {name: column for name, column in self._own.items() if name in names}
        return Profiles._of(kept, len(self), self.provenance, own=own)


_Column = Floats | Callable[[], Floats]


def as_profiles(X: Any) -> Profiles:
    """Read profiles from an Arrow table, anything with ``__arrow_c_stream__``, pandas, or an array.

    An array has its columns in the order of ``FEATURE_NAMES``. Other columns of numbers of a table are kept aside, for
    a sentinel that names them as features of one's own.

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
    wanted = (*FEATURE_NAMES, *ATTENTION_FEATURE_NAMES, *opinion_columns(table.column_names))
    names = tuple(name for name in wanted if name in table.column_names)
    if not names:
        raise ValueError(f"`X` must have columns of FEATURE_NAMES, got {', '.join(table.column_names)}.")
    columns: dict[str, _Column] = {name: partial(_converted, table[name]) for name in names}
    columns |= {name: _share(table[name], name) for name in opinion_columns(names)}
    own = {name: partial(_converted, table[name]) for name in table.column_names if _may_be_own(table, name)}
    return Profiles._of(columns, len(table), {name: _distinct(table, name) for name in _PROVENANCE}, own=own)


def _converted(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _may_be_own(table: pa.Table, name: str) -> bool:
    """Whether a column holds numbers that are neither features already nor what is known of a response."""
    if not is_own_name(name) or name in PROFILE_COLUMNS or table.column_names.count(name) > 1:
        return False
    kind = table.schema.field(name).type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def is_own_name(name: str) -> bool:
    """Return whether a feature of this name can only be one's own."""
    return name not in FEATURES and name not in ATTENTION_FEATURE_NAMES and not opinion_columns([name])


def _share(column: pa.ChunkedArray, name: str) -> Floats:
    values = _converted(column)
    known = values[~np.isnan(values)]
    if known.size and not 0 <= known.min() <= known.max() <= 1:
        raise ValueError(f"`{name}` must lie in [0, 1], got {known.min():g} to {known.max():g}.")
    return values


def _distinct(table: pa.Table, name: str) -> tuple[str, ...]:
    if name not in table.column_names:
        return ()
    return tuple(sorted(str(value) for value in table[name].unique().to_pylist() if value is not None))
