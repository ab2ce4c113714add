"""Traces that were read already, as frames of the spool: what is shipped from files and posted by other tools."""

import time
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from nilometer.errors import TraceFormatError

from ..capture import Frame, Spool

__all__ = ["frame_table", "spool_traces", "table_frame"]

_ROWS = 500


def table_frame(batch: pa.RecordBatch) -> Frame:
    """Put a batch of traces into a frame; a trace without a time gets that of the frame."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    now = time.time_ns() // 1000
    return Frame(id=f"table-{now}", time=now, outcome="table", body=sink.getvalue().to_pybytes())


def frame_table(frame: Frame) -> pa.Table:
    """Read the traces of a frame of the outcome ``table``.

    Raises
    ------
    TraceFormatError
        If the frame holds none.
    """
    try:
        table = pa.ipc.open_stream(frame.body).read_all()
    except (pa.ArrowInvalid, OSError) as exc:
        raise TraceFormatError(f"the frame {frame.id} holds no traces ({exc}).") from exc
    place = table.column_names.index("time")
    now = pa.scalar(frame.time, pa.int64()).cast(table.schema.field("time").type)
    return table.set_column(place, table.schema.field("time"), pc.fill_null(table["time"], now))


def spool_traces(spool: Spool, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches of traces to a spool; how many traces.

    Raises
    ------
    OSError
        If the spool cannot be written; what was written before is kept.
    """
    n = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS):
            part = batch.slice(start, _ROWS)
            if not spool.write(table_frame(part)):
                raise OSError(f"the spool cannot be written; {n:,} traces are in it.")
            n += part.num_rows
    return n
