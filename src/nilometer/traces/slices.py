"""Which slice of the traffic a response belongs to: a column, an attribute, or a SQL expression over them."""

import difflib
from collections.abc import Sequence

import pyarrow as pa

from nilometer.errors import ConfigError

__all__ = ["NO_SLICE", "attribute_keys", "slice_names"]

NO_SLICE = "(none)"


def slice_names(table: pa.Table, by: Sequence[str]) -> pa.Array:
    """Name the slice of every row.

    Parameters
    ----------
    table
        Traces or profiles: columns, and a map column ``attributes``.
    by
        Each a column, a key of ``attributes``, or a DuckDB SQL expression over both. One gives its value as
        the name, several give ``key=value, key=value``; a missing value is ``(none)``.

    Raises
    ------
    ConfigError
        If an item names nothing that the table has, or is no valid SQL.

    Examples
    --------
    >>> table = pa.table({"n_tokens": [3, 300], "model": ["m", "m"]})
    >>> slice_names(table, ["CASE WHEN n_tokens > 100 THEN 'long' ELSE 'short' END"]).to_pylist()
    ['short', 'long']
    """
    import duckdb  # noqa: PLC0415

    keys = attribute_keys(table)
    plain = [name for name in table.column_names if name != "attributes" and not pa.types.is_nested(table.schema.field(name).type)]
    flat = table.select([*plain, *(["attributes"] if keys else [])])
    columns = [_quoted(name) for name in plain]
    columns += [f"attributes[{_text(key)}] AS {_quoted(key)}" for key in keys if key not in plain]
    items = [_quoted(item) if item in {*plain, *keys} else f"({item})" for item in by]
    parts = [f"coalesce(CAST({item} AS VARCHAR), '{NO_SLICE}')" for item in items]
    if len(by) > 1:
        parts = [f"{_text(name + '=')} || {part}" for name, part in zip(by, parts, strict=True)]
    name = " || ', ' || ".join(parts) or f"'{NO_SLICE}'"
    connection = duckdb.connect()
    try:
        connection.register("traces", flat)
        query = f"SELECT {name} AS slice FROM (SELECT {', '.join(columns)} FROM traces)"  # noqa: S608
        result = connection.sql(query).to_arrow_table()
    except duckdb.Error as exc:
        raise ConfigError(_explain(by, [*plain, *keys], exc)) from exc
    finally:
        connection.close()
    return result["slice"].combine_chunks().cast(pa.string())


def attribute_keys(table: pa.Table) -> list[str]:
    """Keys that occur in the ``attributes`` column, sorted."""
    if "attributes" not in table.column_names:
        return []
    found: set[str] = set()
    for chunk in table["attributes"].chunks:
        found.update(chunk.keys.unique().to_pylist())
    return sorted(found)


def _explain(by: Sequence[str], known: list[str], exc: Exception) -> str:
    for item in by:
        if item.isidentifier() and item not in known:
            near = difflib.get_close_matches(item, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            return f"`by` must name a column, an attribute or a SQL expression, got {item!r}.{hint} There are: {', '.join(known)}."
    return f"`by` is no valid SQL over the columns {', '.join(known)}: {str(exc).splitlines()[0]}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
