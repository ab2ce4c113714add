"""Digests of columns: the same for the same values, however they are cut into batches or stored."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["ColumnDigests"]

_BYTES = 16


class ColumnDigests:
    """Digests of the columns of a table whose batches are added one after another.

    Names, types, lengths, missing values and values count; how the rows are divided does not.

    Examples
    --------
    >>> table = pa.table({"a": [1, 2, None], "b": ["x", "y", "z"]})
    >>> whole, parts = ColumnDigests(), ColumnDigests()
    >>> whole.add(table)
    >>> for batch in table.to_batches(max_chunksize=1):
    ...     parts.add(batch)
    >>> whole.finish() == parts.finish()
    True
    """

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}

    def add(self, batch: pa.RecordBatch | pa.Table, names: Iterable[str] | None = None) -> None:
        """Add the rows of a batch; `names` are the columns that count, all by default."""
        for name in batch.schema.names if names is None else names:
            column = batch.column(name)
            kept = self._columns.setdefault(name, _Column())
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else (column,):
                kept.add(chunk)

    def finish(self) -> dict[str, str]:
        """Return the digest of each column."""
        return {name: column.finish(name) for name, column in self._columns.items()}


class _Column:
    """Running hashes of the buffers of one column, one for each level of nesting and kind of buffer."""

    def __init__(self) -> None:
        self._hashes: dict[str, Any] = {}
        self._lengths: dict[str, int] = {}

    def add(self, array: pa.Array, place: str = "") -> None:
        array = _as_stored(array)
        kind = array.type
        if array.null_count:
            self._feed(f"{place}?", np.flatnonzero(np.asarray(array.is_null())) + self._lengths.get(place, 0))
        self._lengths[place] = self._lengths.get(place, 0) + len(array)
        if pa.types.is_nested(kind):
            self._nested(array, place)
        elif pa.types.is_primitive(kind):
            self._feed(f"{place}/{kind}", _numbers(array.drop_null()))
        elif pa.types.is_null(kind):
            self._feed(f"{place}/null", np.empty(0))
        else:
            self._text(_bytes(array).drop_null(), f"{place}/text")

    def _nested(self, array: pa.Array, place: str) -> None:
        if pa.types.is_struct(array.type):
            for field, part in zip(array.type, array.flatten(), strict=True):
                self.add(part, f"{place}.{field.name}")
            return
        if pa.types.is_map(array.type):
            array = _pairs(array)
        fixed = getattr(array.type, "list_size", None)
        lengths = np.diff(array.offsets) if fixed is None else np.full(len(array), fixed)
        self._feed(f"{place}[]", np.where(np.asarray(array.is_null()), 0, lengths).astype(np.int64))
        self.add(array.flatten(), f"{place}[")

    def _text(self, array: pa.LargeBinaryArray, place: str) -> None:
        _, offsets, data = array.buffers()
        ends = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8) if len(array) else np.zeros(1, int)
        self._feed(f"{place}#", np.diff(ends))
        if data is not None:
            self._feed(place, np.frombuffer(data, np.uint8)[ends[0] : ends[-1]])

    def _feed(self, key: str, values: np.ndarray) -> None:
        if key not in self._hashes:
            self._hashes[key] = blake2b(digest_size=_BYTES)
        self._hashes[key].update(np.ascontiguousarray(values).view(np.uint8))

    def finish(self, name: str) -> str:
        total = blake2b(name.encode(), digest_size=_BYTES)
        for key in sorted(self._hashes):
            total.update(f"\0{key}\0{self._lengths.get(key, 0)}\0".encode() + self._hashes[key].digest())
        total.update(repr(sorted(self._lengths.items())).encode())
        return total.hexdigest()


def _as_stored(array: pa.Array) -> pa.Array:
    """Return an array with the type in which Parquet gives it back."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _as_stored(array.dictionary_decode())
    if pa.types.is_date64(kind):
        return array.cast(pa.date32())
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return array.cast(pa.timestamp("ms", kind.tz))
    return array.cast(pa.time32("ms")) if kind == pa.time32("s") else array


def _pairs(array: pa.MapArray) -> pa.ListArray:
    """Return a map as a list of pairs."""
    pairs = pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
    return pa.ListArray.from_arrays(pa.array(np.asarray(array.offsets)), pairs, mask=array.is_null())


def _bytes(array: pa.Array) -> pa.LargeBinaryArray:
    """Texts and bytes as bytes; other values as their texts."""
    try:
        return array.cast(pa.large_binary())
    except pa.ArrowNotImplementedError:
        return array.cast(pa.large_string()).cast(pa.large_binary())


def _numbers(array: pa.Array) -> np.ndarray:
    """Values as numbers."""
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int64() if array.type.bit_width == 64 else pa.int32())
    return np.asarray(array.to_numpy(zero_copy_only=False))
