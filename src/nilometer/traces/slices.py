"""Names of the slices of traffic, from columns, attributes or SQL expressions."""

import difflib
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nilometer.errors import ConfigError

__all__ = ["NO_SLICE", "attribute_keys", "slice_names"]

NO_SLICE = "(none)"
"""Name of the slice of the responses that lack the value."""

_ROW = "nilometer_row"
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")


def slice_names(table: pa.Table | pa.RecordBatch, by: str | Sequence[str]) -> pa.Array:
    """Name the slice of every row, as strings.

    One item of `by` gives its value (``"gcd"``), several give ``"domain=gcd, tenant=a"``, none gives
    ``"all"``; a missing value is ``"(none)"``. Rows keep their order.

    Parameters
    ----------
    table
        Traces or profiles: any table with scalar columns and, if wanted, a map column ``attributes``.
    by
        Each item is a column, else a key of ``attributes``, else a DuckDB SQL expression over the columns and
        the keys with one value per row, such as ``"date_trunc('day', time)"`` or ``"level::int > 2"``. A key
        named like a column stands behind it; in an expression names do not depend on case.

    Raises
    ------
    ConfigError
        If an item is an unknown name, or SQL that does not run.

    Examples
    --------
    >>> table = pa.table({"model": ["m", "m"], "n_tokens": [3, 40]})
    >>> slice_names(table, ["n_tokens > 10"]).to_pylist()
    ['false', 'true']
    >>> slice_names(table, ["model", "n_tokens"]).to_pylist()
    ['model=m, n_tokens=3', 'model=m, n_tokens=40']
    """
    items = [by] if isinstance(by, str) else list(by)
    table = pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table
    if not items:
        return pa.array(["all"] * table.num_rows, pa.string())
    if _ROW in table.column_names:
        raise ConfigError(f"a column must not be named `{_ROW}`.")
    keys = attribute_keys(table)
    values = [f"coalesce(CAST({_value(item, table, keys)} AS VARCHAR), {_text(NO_SLICE)})" for item in items]
    named = [f"{_text(item + '=')} || {value}" for item, value in zip(items, values, strict=True)]
    expression = values[0] if len(items) == 1 else " || ', ' || ".join(named)
    return _run(table, expression, keys=keys, items=items)


def attribute_keys(table: pa.Table) -> list[str]:
    """Keys that occur in the map column ``attributes``, sorted.

    Examples
    --------
    >>> attribute_keys(pa.table({"model": ["m"]}))
    []
    """
    if "attributes" not in table.column_names or not pa.types.is_map(table.schema.field("attributes").type):
        return []
    keys: set[str] = set()
    for chunk in table["attributes"].chunks:
        keys.update(pc.unique(chunk.keys).to_pylist())
    return sorted(keys)


def _value(item: str, table: pa.Table, keys: Sequence[str]) -> str:
    if item in table.column_names:
        return _name(item)
    if item in keys:
        return _lookup(item)
    if not item.strip() or _PLAIN_NAME.fullmatch(item):
        raise ConfigError(_unknown(item, table, keys))
    return f"({item}\n)"


def _unknown(item: str, table: pa.Table, keys: Sequence[str]) -> str:
    names = [*table.column_names, *keys]
    close = difflib.get_close_matches(item, names, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return (
        f"`by` must be a column, an attribute or an SQL expression, got {item!r}.{hint}"
        f" Columns: {', '.join(table.column_names)}. Attributes: {', '.join(keys) or 'none'}."
    )


def _run(table: pa.Table, expression: str, *, keys: Sequence[str], items: Sequence[str]) -> pa.Array:
    import duckdb

    columns = {name.lower() for name in table.column_names}
    extra, seen = [], columns
    for key in keys:
        if key.lower() not in seen:
            extra.append(f", {_lookup(key)} AS {_name(key)}")
            seen = seen | {key.lower()}
    numbered = table.append_column(_ROW, pa.array(np.arange(table.num_rows)))
    view = f"SELECT *{''.join(extra)} FROM source"
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("source", numbered)
        query = f"SELECT {expression} AS name FROM ({view}) ORDER BY {_ROW}"
        try:
            result = connection.sql(query).to_arrow_table()
        except duckdb.Error as exc:
            reason = str(exc).partition("\n")[0]
            attributes = ", ".join(keys) or "none"
            raise ConfigError(
                f"`by` must be SQL that DuckDB can run, got {list(items)}: {reason}"
                f" Columns: {', '.join(table.column_names)}. Attributes: {attributes}."
            ) from exc
    names = result["name"].combine_chunks()
    if len(names) != table.num_rows:
        raise ConfigError(f"`by` must give one value per response, got {list(items)}.")
    return names


def _lookup(key: str) -> str:
    return f"map_extract(attributes, {_text(key)})[1]"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
