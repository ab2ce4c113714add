"""Slices of live traffic: one slicing per key, each with a bounded number of names."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from nilometer.errors import ConfigError

__all__ = ["ALL", "NO_SLICE", "OTHER", "Slicing"]

ALL = "all"
OTHER = "(other)"
NO_SLICE = "(none)"
_COLUMNS = ("model", "finish_reason", "model_fingerprint", "temperature")


class Slicing:
    """Names the slice of every response under every key, at most ``most`` names a key.

    Names are admitted as they come; what comes after the last is ``(other)``, so that a key with 50,000 values
    costs no more than one with a thousand. ``all`` stands beside the keys and puts everything into one slice.

    Parameters
    ----------
    keys
        Keys of ``attributes``, or columns ``model``, ``finish_reason``, ``model_fingerprint``, ``temperature``.
    most
        Names per key.

    Raises
    ------
    ConfigError
        If a key occurs twice, is empty or is ``all``.
    """

    def __init__(self, keys: Sequence[str], *, most: int = 1000) -> None:
        if len({*keys, ALL}) != len(keys) + 1 or "" in keys:
            raise ConfigError(f"slice keys must be distinct, not empty and not `{ALL}`, got {list(keys)}.")
        self.keys = tuple(keys)
        self._most = most
        self._known: dict[str, set[str]] = {key: {NO_SLICE} for key in keys}

    def admit(self, key: str, name: str) -> None:
        """Know a name from before, such as from the sums of the store."""
        self._known.setdefault(key, {NO_SLICE}).add(name)

    def names(self, table: pa.Table) -> dict[str, list[str]]:
        """Slice of every row by key, ``all`` first."""
        found = {ALL: [ALL] * table.num_rows}
        for key in self.keys:
            values = _values(table, key).fill_null(NO_SLICE).to_pylist()
            found[key] = [self._admitted(key, value) for value in values]
        return found

    def of(self, attributes: dict[str, str], model: str) -> dict[str, str]:
        """Slice of one request, captured or not, by key."""
        own = {"model": model, **attributes}
        return {ALL: ALL} | {key: self._admitted(key, own.get(key, NO_SLICE)) for key in self.keys}

    def _admitted(self, key: str, value: str) -> str:
        known = self._known[key]
        if value not in known:
            if len(known) >= self._most:
                return OTHER
            known.add(value)
        return value


def _values(table: pa.Table, key: str) -> pa.ChunkedArray:
    if key in _COLUMNS:
        return table[key].cast(pa.string())
    return pc.map_lookup(table["attributes"], key, "first").cast(pa.string())
