"""From frames to a commit: profiles in a file, everything else in one transaction with the offset of the spool."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.errors import TraceFormatError
from nilometer.estimators import Sentinel
from nilometer.signals import profile_batch
from nilometer.traces import Trace, trace_batch

from ..capture import Frame
from .answers import frame_traces
from .database import transaction
from .labels import join_pending
from .parts import Part, write_part
from .scoring import Scored, add_refusals, add_sums, score_table
from .slicing import SLICE_COLUMNS, Slicing, column_values
from .spools import Chunk
from .tables import frame_table
from .texts import Text, frame_texts, text_table

__all__ = ["Ingested", "commit_chunk", "profile_frames"]

_HOUR_US = 3600 * 1_000_000

Requests = Counter[tuple[int, str, str, str, str]]


class Ingested(NamedTuple):
    """What one chunk of the spool holds."""

    table: pa.Table | None
    """Profiles with ``capture_probability`` and ``p_correct``; None without any answer."""
    requests: Requests
    """Requests by hour, model, slice key, slice and outcome."""
    texts: list[Text]
    """Redacted, of the requests whose capture keeps them."""
    names: Counter[tuple[str, str]]
    """Requests by slice key and value."""
    captures: dict[str, tuple[int, dict[str, int]]]
    """Latest counts of every captured process, with their time."""


def profile_frames(frames: Sequence[Frame], slicing: Slicing, *, redact: Callable[[str], str]) -> Ingested:
    """Read the answers of frames and profile them; an answer of no known shape is counted as ``unreadable``."""
    traces: list[Trace] = []
    weights: list[float] = []
    texts: list[Text] = []
    shipped: list[pa.Table] = []
    counted = _Counted(slicing)
    captures: dict[str, tuple[int, dict[str, int]]] = {}
    for frame in frames:
        if frame.outcome == "counts":
            captures[frame.id] = (frame.time, frame.counts)
            continue
        if frame.outcome == "table":
            shipped += _shipped(frame, counted)
            continue
        own, outcome = _read(frame)
        traces += own
        texts += frame_texts(frame, own, redact)
        weights += [frame.capture_probability] * len(own)
        columns = _columns(own[0]) if own else {"model": frame.model} if frame.model else {}
        counted.add(frame.time, columns, outcome, own=frame.attributes)
    tables = [*([_profiles([trace_batch(traces)], weights)] if traces else []), *shipped]
    return Ingested(pa.concat_tables(tables) if tables else None, counted.requests, texts, counted.names, captures)


class _Counted:
    """Counts of requests by what they are and by the values of the slice keys."""

    def __init__(self, slicing: Slicing) -> None:
        self.requests: Requests = Counter()
        self.names: Counter[tuple[str, str]] = Counter()
        self._slicing = slicing

    def add(self, time: int, columns: Mapping[str, str], outcome: str, *, own: Mapping[str, str]) -> None:
        """Count one request by its columns and its own attributes."""
        values = self._slicing.values(own, columns)
        self.names.update(values.items())
        for key, name in self._slicing.of(values).items():
            self.requests[time // _HOUR_US, columns.get("model", ""), key, name, outcome] += 1


def _columns(trace: Trace) -> dict[str, str]:
    """Columns of a trace that may be slice keys, as texts, like those of stored profiles."""
    own = {name: getattr(trace, name) for name in SLICE_COLUMNS}
    if trace.temperature is not None:
        own["temperature"] = _as_text(trace.temperature)
    return {name: value for name, value in own.items() if value is not None}


@lru_cache(1024)
def _as_text(temperature: float) -> str:
    """Write a temperature as Arrow does that of a stored profile."""
    return str(pa.scalar(temperature, pa.float32()).cast(pa.string()).as_py())


def _shipped(frame: Frame, counted: _Counted) -> list[pa.Table]:
    """Profiles of traces that were read elsewhere; every row counts as a request."""
    try:
        table = frame_table(frame)
    except TraceFormatError:
        counted.add(frame.time, {}, "unreadable", own={})
        return []
    rest = (table[name] for name in ("time", "attributes", "chosen_logprobs"))
    for time, attributes, logprobs, columns in zip(*rest, column_values(table), strict=True):
        outcome = "scored" if logprobs.is_valid else "no_logprobs"
        counted.add(time.value, columns, outcome, own=dict(attributes.as_py() or ()))
    return [_profiles(table.to_batches(), [1.0] * table.num_rows)]


def _read(frame: Frame) -> tuple[list[Trace], str]:
    """Traces of a frame and its outcome: scored, no_logprobs, aborted, unsampled, too_large or unreadable."""
    if frame.outcome == "unsampled":
        return [], "unsampled"
    if not frame.body:
        return [], "aborted" if frame.outcome == "aborted" else "too_large"
    try:
        traces = frame_traces(frame)
    except TraceFormatError:
        return [], "aborted" if frame.outcome == "aborted" else "unreadable"
    if frame.outcome == "aborted":  # how it would have ended is not known, so it is no answer to estimate
        return [], "aborted"
    return traces, "scored" if any(trace.chosen_logprobs is not None for trace in traces) else "no_logprobs"


def _profiles(batches: Sequence[pa.RecordBatch], weights: list[float]) -> pa.Table:
    table = pa.Table.from_batches([profile_batch(batch) for batch in batches])
    return table.append_column("capture_probability", pa.array(weights, pa.float32()))


def commit_chunk(
    connection: sqlite3.Connection,
    root: Path,
    chunk: Chunk,
    *,
    slicing: Slicing,
    sentinel: Sentinel | None,
    redact: Callable[[str], str],
) -> int:
    """Write the profiles of a chunk and commit it; how many requests it held.

    Files come first, then one transaction. After a crash in between the chunk is read again, its files replace those
    left behind, and nothing counts twice, since the offset of the spool moves in the same transaction as the sums.
    """
    found = profile_frames(chunk.frames, slicing, redact=redact)
    table, scored, parts = found.table, None, []
    if table is not None:
        hours = table["time"].cast(pa.int64()).to_numpy() // _HOUR_US
        table, scored = _score(table, hours, slicing=slicing, sentinel=sentinel)
        parts = _write_parts(root, chunk, table, hours=hours)
    texts = _write_texts(root, chunk, found.texts)
    with transaction(connection):
        before = connection.execute("SELECT offset FROM spools WHERE file=?", (chunk.spool,)).fetchone()
        if before is not None and before[0] != chunk.begins:
            return 0
        _commit_offset(connection, chunk)
        _commit_requests(connection, found)
        if found.requests:
            slicing.commit(connection, found.names, hour=max(hour for hour, *_ in found.requests))
        _commit_parts(connection, chunk, parts, into="parts")
        _commit_parts(connection, chunk, texts, into="texts")
        if scored is not None and sentinel is not None:
            key = sentinel.zero().key
            add_sums(connection, key, scored.sums)
            add_refusals(connection, key, scored.refusals)
            connection.executemany("REPLACE INTO scored VALUES (?,?)", [(key, part.file) for part in parts])
        if table is not None:
            join_pending(connection, table)
    return sum(frame.outcome != "counts" for frame in chunk.frames)


def _score(
    table: pa.Table, hours: NDArray[np.int64], *, slicing: Slicing, sentinel: Sentinel | None
) -> tuple[pa.Table, Scored | None]:
    scored = None if sentinel is None else score_table(table, slicing.names(table), hours, by=sentinel)
    p = np.full(table.num_rows, np.nan) if scored is None else scored.p_correct
    return table.append_column("p_correct", pa.array(p, pa.float32(), mask=np.isnan(p))), scored


def _write_parts(root: Path, chunk: Chunk, table: pa.Table, *, hours: NDArray[np.int64]) -> list[Part]:
    name = f"{chunk.spool.removesuffix('.spool')}-{chunk.begins}"
    return [
        write_part(root, f"{name}-{hour}", table.take(np.flatnonzero(hours == hour)), hour=hour)
        for hour in np.unique(hours).tolist()
    ]


def _write_texts(root: Path, chunk: Chunk, texts: Sequence[Text]) -> list[Part]:
    if not texts:
        return []
    hour = texts[0].time // _HOUR_US
    name = f"{chunk.spool.removesuffix('.spool')}-{chunk.begins}"
    return [write_part(root, name, text_table(texts), hour=hour, kind="texts")]


def _commit_offset(connection: sqlite3.Connection, chunk: Chunk) -> None:
    connection.execute("REPLACE INTO spools VALUES (?,?,?)", (chunk.spool, chunk.ends, chunk.is_last))
    connection.execute(
        "INSERT INTO meta VALUES ('damaged_frames', ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        (chunk.n_damaged,),
    )


def _commit_requests(connection: sqlite3.Connection, found: Ingested) -> None:
    connection.executemany(
        "INSERT INTO requests (hour, model, slice_key, slice, outcome, n) VALUES (?,?,?,?,?,?) "
        "ON CONFLICT DO UPDATE SET n = n + excluded.n",
        [(*place, n) for place, n in found.requests.items()],
    )
    connection.executemany(
        "REPLACE INTO captures VALUES (?,?,?)",
        [(process, time, msgspec.json.encode(counts).decode()) for process, (time, counts) in found.captures.items()],
    )


def _commit_parts(connection: sqlite3.Connection, chunk: Chunk, parts: Sequence[Part], *, into: str) -> None:
    connection.executemany(
        f"REPLACE INTO {into} VALUES (?,?,?,?,?,?,?,?)",
        [(*part, chunk.spool, chunk.begins, chunk.ends) for part in parts],
    )
