"""Tables of any library as Arrow tables: the one door through which a table comes in."""

from typing import Any

import pyarrow as pa

from .schema import TRACE_SCHEMA
from .store import conform_batch

__all__ = ["as_table", "as_traces", "is_table"]

_ATTRIBUTES = pa.map_(pa.string(), pa.string())


def is_table(data: Any) -> bool:
    """Return whether :func:`as_table` takes it: Arrow, anything with ``__arrow_c_stream__``, or pandas."""
    if isinstance(data, pa.RecordBatchReader):
        return False
    return isinstance(data, pa.RecordBatch) or hasattr(data, "__arrow_c_stream__") or hasattr(data, "iloc")


def as_table(data: Any, *, name: str = "table") -> pa.Table:
    """Return an Arrow table of anything tabular: Arrow, polars, DuckDB, pandas; zero-copy where the library allows it.

    The column ``attributes`` becomes a map again where the library knows no maps: polars makes it a list of structs,
    pandas a list of pairs or a dictionary.

    Parameters
    ----------
    data
        An Arrow table or record batch, anything with ``__arrow_c_stream__``, or a pandas data frame.
    name
        What the caller's argument is called, for the message.

    Raises
    ------
    TypeError
        If it is no table.

    Examples
    --------
    >>> as_table(pa.record_batch({"model": ["m"]})).num_rows
    1
    """
    if isinstance(data, pa.Table):
        table = data
    elif isinstance(data, pa.RecordBatch):
        table = pa.Table.from_batches([data])
    elif hasattr(data, "__arrow_c_stream__"):
        table = pa.table(data)
    elif hasattr(data, "iloc"):
        table = pa.Table.from_pandas(data, preserve_index=False)
    else:
        raise TypeError(f"`{name}` must be a table (Arrow, polars, DuckDB or pandas), got {type(data).__name__}.")
    return _with_map(_without_views(table))


def as_traces(data: Any) -> pa.Table:
    """Return any table of traces with the columns and types of ``TRACE_SCHEMA``; a column that it lacks is null."""
    table = as_table(data, name="traces")
    batches = [conform_batch(batch) for batch in table.combine_chunks().to_batches()]
    return pa.Table.from_batches(batches, schema=TRACE_SCHEMA)


def _without_views(table: pa.Table) -> pa.Table:
    """Give columns of string views, which polars makes and few kernels take, the usual type."""
    for place, column in enumerate(table.schema):
        if pa.types.is_string_view(column.type):
            table = table.set_column(place, pa.field(column.name, pa.string()), _plain_text(table.column(place)))
    return table


def _plain_text(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    try:
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError:  # not in the lowest version of Arrow
        return pa.array(column.to_pylist(), pa.string())


def _with_map(table: pa.Table) -> pa.Table:
    """Read ``attributes`` as a map, whatever the library made of it."""
    place = table.schema.get_field_index("attributes")
    if place < 0 or table.schema.field(place).type == _ATTRIBUTES:
        return table
    if pa.types.is_map(table.schema.field(place).type):
        return table.set_column(place, pa.field("attributes", _ATTRIBUTES), table.column(place).cast(_ATTRIBUTES))
    rows = [_pairs(value) for value in table.column(place).to_pylist()]
    return table.set_column(place, pa.field("attributes", _ATTRIBUTES), pa.array(rows, _ATTRIBUTES))


def _pairs(value: Any) -> list[tuple[str, str]] | None:
    if value is None:
        return None
    pairs = value.items() if isinstance(value, dict) else (_pair(item) for item in value)
    return [(str(key), str(item)) for key, item in pairs if item is not None]


def _pair(item: Any) -> tuple[Any, Any]:
    key, value = item.values() if isinstance(item, dict) else item
    return key, value
