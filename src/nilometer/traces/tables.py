"""Tables of any library as Arrow tables: the one door through which a table comes in."""

from typing import Any

import pyarrow as pa

__all__ = ["as_table"]


def as_table(data: Any, *, name: str = "table") -> pa.Table:
    """Return an Arrow table of anything tabular: Arrow, polars, DuckDB, pandas; zero-copy where the library allows it.

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
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if hasattr(data, "__arrow_c_stream__"):
        return pa.table(data)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return pa.Table.from_pandas(data, preserve_index=False)
    raise TypeError(f"`{name}` must be a table (Arrow, polars, DuckDB or pandas), got {type(data).__name__}.")
