"""Single responses of a slice, from the stored profiles: the least confident ones, and entropy along the answer."""

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from ..store import Store
from ..store.slicing import ALL, SLICE_COLUMNS, stored_slices
from .timeline import Place

__all__ = ["ENTROPY_COLUMNS", "EntropyLine", "entropy_lines", "find_response", "least_confident", "read_responses"]

ENTROPY_COLUMNS = tuple(f"decile_{i}" for i in range(10))
_MOST_FILES = 60
_PLAIN = ("trace_id", "time", "model", "attributes", "p_correct", "finish_reason", "n_tokens")


class EntropyLine(NamedTuple):
    """Mean token entropy in each tenth of the answer, in nats."""

    name: str
    n: int
    values: tuple[float, ...]


def read_responses(
    store: Store, connection: sqlite3.Connection, place: Place, *, span: tuple[int, int], columns: tuple[str, ...] = ()
) -> pa.Table | None:
    """Profiles of a slice in the hours from first to last, at most 60 files, the newest; None without any."""
    query = "SELECT file FROM parts WHERE hour BETWEEN ? AND ? ORDER BY hour DESC LIMIT ?"
    files = [str(store.root / file) for (file,) in connection.execute(query, (*span, _MOST_FILES))]
    files = [file for file in files if Path(file).exists()]
    if not files:
        return None
    dataset = pads.dataset(files, format="parquet")
    names = [name for name in dict.fromkeys((*_PLAIN, *SLICE_COLUMNS, *columns)) if name in dataset.schema.names]
    where = pads.field("model") == place.model if place.model else None
    table = dataset.to_table(columns=names, filter=where)
    if place.slice_key == ALL:
        return table
    slices = stored_slices(connection, table, place.slice_key)
    return table.filter(pa.array([name == place.slice for name in slices], pa.bool_()))


def least_confident(table: pa.Table, *, most: int = 10) -> list[dict[str, Any]]:
    """Rows with the lowest probability of a correct answer, lowest first; those without one are left out."""
    known = table.filter(pc.is_valid(table["p_correct"]))
    order = pc.sort_indices(known, sort_keys=[("p_correct", "ascending"), ("trace_id", "ascending")])
    rows = known.take(order[:most]).select([name for name in _PLAIN if name in known.column_names]).to_pylist()
    return [{**row, "attributes": dict(row["attributes"] or [])} for row in rows]


def entropy_lines(now: pa.Table | None, before: pa.Table | None) -> list[EntropyLine]:
    """Mean entropy in each tenth of the answer, now and before; only sides with 10 responses that have any."""
    found = []
    for name, table in (("these hours", now), ("as many hours before", before)):
        if table is None or not set(ENTROPY_COLUMNS) <= set(table.column_names):
            continue
        values = np.column_stack([table[one].to_numpy() for one in ENTROPY_COLUMNS]).astype(np.float64)
        values = values[~np.isnan(values).any(axis=1)]
        if len(values) >= 10:
            found.append(EntropyLine(name, len(values), tuple(values.mean(axis=0).tolist())))
    return found


def find_response(
    store: Store, connection: sqlite3.Connection, trace_id: str, *, hour: int | None = None
) -> dict[str, Any] | None:
    """Profile of one trace with everything in it, None if it is not stored; the hour, where known, makes it quick."""
    query = "SELECT file FROM parts WHERE hour = coalesce(?, hour) ORDER BY hour DESC"
    files = [str(store.root / file) for (file,) in connection.execute(query, (hour,))]
    files = [file for file in files if Path(file).exists()]
    if not files:
        return None
    own = pads.field("trace_id") == trace_id
    named = pads.dataset(files, format="parquet").to_table(columns=["__filename"], filter=own)["__filename"]
    if not len(named):
        return None
    (row, *_) = pads.dataset(named[0].as_py(), format="parquet").to_table(filter=own).to_pylist()
    return {**row, "attributes": dict(row["attributes"] or [])}
