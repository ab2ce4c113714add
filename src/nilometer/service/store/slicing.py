"""Slices of live traffic: one slicing per key, each with a bounded number of names."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from nilometer.errors import ConfigError

__all__ = [
    "ALL",
    "NO_SLICE",
    "OTHER",
    "SLICE_COLUMNS",
    "Slicing",
    "column_values",
    "places_of",
    "slice_values",
    "stored_slices",
]

ALL = "all"
OTHER = "(other)"
NO_SLICE = "(none)"
_COUNTED = 10
"""Names of a key that are counted, in multiples of those that have a place."""
SLICE_COLUMNS = ("model", "finish_reason", "model_fingerprint", "temperature")
"""Columns of profiles that may be slice keys; every other key is one of ``attributes``."""


class Slicing:
    """Names the slice of every response under every key, at most ``most`` names a key.

    Names are admitted as they come until the key is full; every hour the names with most traffic take the places, and
    the others are ``(other)``, so that a key with 50,000 values costs no more than one with a thousand. ``all`` stands
    beside the keys and puts everything into one slice.

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

    def load(self, connection: sqlite3.Connection) -> None:
        """Know the names that had a place before."""
        for key, name in connection.execute("SELECT slice_key, slice FROM names WHERE is_admitted"):
            self._known.setdefault(key, {NO_SLICE}).add(name)

    def names(self, table: pa.Table) -> dict[str, list[str]]:
        """Slice of every row by key, ``all`` first."""
        found = {ALL: [ALL] * table.num_rows}
        for key in self.keys:
            found[key] = [self._admitted(key, value) for value in slice_values(table, key)]
        return found

    def values(self, attributes: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, str]:
        """Value of every key in one request, captured or not, whether it is a slice or not."""
        return {key: (columns if key in SLICE_COLUMNS else attributes).get(key, NO_SLICE) for key in self.keys}

    def of(self, values: dict[str, str]) -> dict[str, str]:
        """Slice of one request by key, from the values of its keys."""
        return {ALL: ALL} | {key: self._admitted(key, value) for key, value in values.items()}

    def commit(self, connection: sqlite3.Connection, counts: Mapping[tuple[str, str], int], *, hour: int) -> None:
        """Count requests by key and value inside a transaction; a new hour gives the places to those with most.

        Counts halve in a day. A name keeps its place until another has half as much again, so that places do not
        change from hour to hour.
        """
        connection.executemany(
            "INSERT INTO names VALUES (?,?,?,?) "
            "ON CONFLICT DO UPDATE SET n = n + excluded.n, is_admitted = excluded.is_admitted",
            [(key, name, n, name in self._known[key]) for (key, name), n in counts.items() if name != NO_SLICE],
        )
        kept = connection.execute("SELECT value FROM meta WHERE name='names_ranked'").fetchone()
        if kept is not None and hour <= int(kept[0]):
            return
        connection.execute("REPLACE INTO meta VALUES ('names_ranked', ?)", (str(hour),))
        if kept is not None:
            connection.execute("UPDATE names SET n = n * ?", (0.5 ** ((hour - int(kept[0])) / 24),))
            for key in self.keys:
                self._rank(connection, key)

    def _rank(self, connection: sqlite3.Connection, key: str) -> None:
        order = "SELECT slice FROM names WHERE slice_key=? ORDER BY n * (1 + 0.5 * is_admitted) DESC, slice LIMIT ?"
        connection.execute(
            f"DELETE FROM names WHERE slice_key=? AND slice NOT IN ({order})", (key, key, _COUNTED * self._most)
        )
        best = [name for (name,) in connection.execute(order, (key, self._most - 1))]
        connection.execute("UPDATE names SET is_admitted = 0 WHERE slice_key=?", (key,))
        connection.executemany(
            "UPDATE names SET is_admitted = 1 WHERE slice_key=? AND slice=?", [(key, name) for name in best]
        )
        self._known[key] = {NO_SLICE, *best}

    def _admitted(self, key: str, value: str) -> str:
        known = self._known[key]
        if value not in known:
            if len(known) >= self._most:
                return OTHER
            known.add(value)
        return value


def slice_values(table: pa.Table, key: str) -> list[str]:
    """Value of a key in every row of profiles, ``(none)`` where a row has none; ``all`` for that key."""
    if key == ALL:
        return [ALL] * table.num_rows
    found = table[key] if key in SLICE_COLUMNS else pc.map_lookup(table["attributes"], key, "first")
    values: list[str] = pc.fill_null(found.cast(pa.string()), NO_SLICE).to_pylist()
    return values


def column_values(table: pa.Table) -> list[dict[str, str]]:
    """Columns of every row of profiles that may be slice keys, as texts, without those that are null."""
    texts = zip(*(table[name].cast(pa.string()).to_pylist() for name in SLICE_COLUMNS), strict=True)
    return [{name: text for name, text in zip(SLICE_COLUMNS, row, strict=True) if text is not None} for row in texts]


def places_of(connection: sqlite3.Connection, key: str) -> Callable[[str], str]:
    """Slice of a value of a key as the store names it now: itself, or ``(other)`` where it has no place."""
    admitted = connection.execute("SELECT slice FROM names WHERE slice_key=? AND is_admitted", (key,))
    known = {NO_SLICE, *(name for (name,) in admitted)}
    (is_counted,) = connection.execute("SELECT EXISTS (SELECT 1 FROM names WHERE slice_key=?)", (key,)).fetchone()
    return lambda value: value if value in known or not is_counted else OTHER


def stored_slices(connection: sqlite3.Connection, table: pa.Table, key: str) -> list[str]:
    """Slice of every row of profiles as the store names it now."""
    values = slice_values(table, key)
    return values if key == ALL else [*map(places_of(connection, key), values)]
