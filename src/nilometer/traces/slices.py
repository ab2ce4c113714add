"""Names of the slices of traffic, from columns, attributes or SQL expressions."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nilometer.errors import ConfigError

from .expressions import Expression, parse_expression
from .index import SliceIndex, index_slices
from .tables import as_table

__all__ = ["NO_SLICE", "attribute_keys", "slice_index", "slice_names"]

NO_SLICE = "(none)"
"""Name of the slice of the responses that lack the value."""

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")


def slice_names(table: Any, by: str | Sequence[str]) -> pa.Array:
    """Name the slice of every row, as strings; :func:`slice_index` gives the same as codes and names.

    Examples
    --------
    >>> slice_names(pa.table({"model": ["m", "m"], "n_tokens": [3, 40]}), ["n_tokens > 10"]).to_pylist()
    ['false', 'true']
    """
    return slice_index(table, by).to_arrow().cast(pa.string())


def slice_index(table: Any, by: str | Sequence[str]) -> SliceIndex:
    """Name the slice of every row, as codes and names.

    One item of `by` gives its value (``"gcd"``), several give ``"domain=gcd, tenant=a"``, none gives
    ``"all"``; a missing value is ``"(none)"``. Rows keep their order.

    Parameters
    ----------
    table
        Traces or profiles: any table (Arrow, polars, pandas) with scalar columns and, if wanted, a map column
        ``attributes``.
    by
        Each item is a column, else a key of ``attributes``, else a DuckDB SQL expression over the columns and
        the keys with one value per row, such as ``"date_trunc('day', time)"`` or ``"level::int > 2"``. A key
        named like a column stands behind it. In an expression a name that nothing has as written may differ from
        the one meant in case. Expressions hold functions of one row only; they read nothing but their row.

    Raises
    ------
    ConfigError
        If an item is an unknown name, or SQL that does not run.

    Examples
    --------
    >>> table = pa.table({"model": ["m", "m"], "n_tokens": [3, 40]})
    >>> slice_index(table, ["model", "n_tokens"]).names
    ('model=m, n_tokens=3', 'model=m, n_tokens=40')
    """
    items = [by] if isinstance(by, str) else list(by)
    table = as_table(table)
    if not items:
        return index_slices(pa.array(["all"] * table.num_rows, pa.string()))
    keys = attribute_keys(table)
    plain = {item: _plain(table, item, keys) for item in items}
    asked = [item for item in items if plain[item] is None]
    run = {item: _run(table, item, keys) for item in asked}
    values = [_indexed(run.get(item, plain[item])) for item in items]
    return values[0] if len(items) == 1 else _joined(items, values)


def _indexed(values: Any) -> SliceIndex:
    """Index values by name; a text that reads like the name of the missing is put in quotes."""
    given = pc.if_else(pc.equal(values, NO_SLICE), f'"{NO_SLICE}"', values)
    return index_slices(pc.fill_null(given, NO_SLICE))


def _quoted(value: str) -> str:
    """Put a value in quotes that would read as several between others."""
    if ", " not in value and not value.startswith('"'):
        return value
    return '"' + value.replace('"', '""') + '"'


def _joined(items: Sequence[str], values: Sequence[SliceIndex]) -> SliceIndex:
    """Name the combinations of several values that occur."""
    names = [f"{items[0]}={_quoted(name)}" for name in values[0].names]
    codes = values[0].codes
    for item, one in zip(items[1:], values[1:], strict=True):
        pairs, codes = np.unique(codes * len(one.names) + one.codes, return_inverse=True)
        first, second = (part.tolist() for part in np.divmod(pairs, max(len(one.names), 1)))
        names = [f"{names[i]}, {item}={_quoted(one.names[j])}" for i, j in zip(first, second, strict=True)]
    return index_slices(pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string())))


def _plain(table: pa.Table, item: str, keys: Sequence[str]) -> pa.ChunkedArray | None:
    """Text of a column of text or integers, or of an attribute, without SQL; None where it takes SQL."""
    if item in table.column_names:
        kind = table.schema.field(item).type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        return table[item].cast(pa.string()) if is_text or pa.types.is_integer(kind) else None
    if item in keys and pa.types.is_string(table.schema.field("attributes").type.item_type):
        return pc.map_lookup(table["attributes"], pa.scalar(item), "first")
    return None


def attribute_keys(table: Any) -> list[str]:
    """Keys that occur in the map column ``attributes``, sorted.

    Examples
    --------
    >>> attribute_keys(pa.table({"model": ["m"]}))
    []
    """
    table = as_table(table)
    if "attributes" not in table.column_names or not pa.types.is_map(table.schema.field("attributes").type):
        return []
    keys: set[str] = set()
    for chunk in table["attributes"].chunks:
        keys.update(pc.unique(chunk.keys).to_pylist())
    return sorted(keys)


def _unknown(item: str, table: pa.Table, keys: Sequence[str]) -> str:
    names = [*table.column_names, *keys]
    close = difflib.get_close_matches(item, names, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return (
        f"`by` must be a column, an attribute or an SQL expression, got {item!r}.{hint}"
        f" Attributes: {', '.join(keys) or 'none'}. Columns: {', '.join(table.column_names)}."
    )


def _run(table: pa.Table, item: str, keys: Sequence[str]) -> pa.Array:
    """Evaluate a column that is no text, or an expression, as text."""
    if item in table.column_names:
        return Expression('"value"', ["value"]).values({"value": table[item]}, table.num_rows)
    if item in keys:
        return Expression('"value"', ["value"]).values({"value": _column(table, item, keys)}, table.num_rows)
    if not item.strip() or _PLAIN_NAME.fullmatch(item):
        raise ConfigError(_unknown(item, table, keys))
    expression = parse_expression(item)
    columns = {name: _column(table, name, keys) for name in expression.names}
    alike = [name for name in columns if sum(name.lower() == other.lower() for other in columns) > 1]
    if alike:
        raise ConfigError(f"`by` must not name {' and '.join(alike)} in one expression: SQL cannot tell them apart.")
    return expression.values(columns, table.num_rows)


def _column(table: pa.Table, name: str, keys: Sequence[str]) -> pa.ChunkedArray:
    """Return what a name in an expression means: as written, else the one that differs in case alone."""
    if name in table.column_names:
        return table[name]
    alike = [key for key in (*table.column_names, *keys) if key.lower() == name.lower()]
    key = name if name in keys else alike[0] if len(alike) == 1 else None
    if key is None:
        raise ConfigError(_unknown(name, table, [*keys, *(f'"{other}"' for other in alike)]))
    return table[key] if key in table.column_names else pc.map_lookup(table["attributes"], pa.scalar(key), "first")
