"""The Parquet form of traces: half-precision log-probabilities, compact and quick to read."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.errors import TraceFormatError

from .schema import ATTENTION_COLUMNS, FORMAT_VERSION, TRACE_SCHEMA, trace_schema

__all__ = ["VERSION_KEY", "conform_batch", "has_attention", "read_store", "write_traces"]

VERSION_KEY = b"nilometer.format_version"

_LISTS = ("chosen_logprobs", "top_logprobs", "attention")
_ROW_GROUP_ROWS = 4096
_ROW_GROUP_VALUES = 16_000_000
_LEAST_ROWS = 1000
_ATTENTION_ROWS = 128
_DICTIONARY = [
    "prompt_id",
    "model",
    "model_fingerprint",
    "provider",
    "k",
    "logprobs_mode",
    "temperature",
    "finish_reason",
    "tokens.list.element",
    "top_tokens.list.element",
    "prompt",
    "attributes.key_value.key",
    "attributes.key_value.value",
]


def write_traces(path: str | Path, batches: Iterable[pa.RecordBatch] | pa.Table) -> int:
    """Write traces to one Parquet file and return the number of rows.

    Log-probabilities are kept as float16 with BYTE_STREAM_SPLIT and zstd: 11 significant bits, so about
    3 decimal places between -1 and 0. Row groups hold 1,000 to 10,000 rows. The file appears under its name
    only when it is complete.

    Parameters
    ----------
    path
        File to write; an existing one is replaced.
    batches
        Record batches or a table with the columns of ``TRACE_SCHEMA``; missing columns are written as null. If the
        first batch has the columns of ``ATTENTION_SCHEMA``, or ``top_tokens``, they are written too.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from nilometer.traces import TRACE_SCHEMA, read_traces, write_traces
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = pathlib.Path(folder.name) / "traces.parquet"
    >>> row = {"trace_id": "a", "k": 2, "chosen_logprobs": [-0.5], "top_logprobs": [-0.5, -2.0]}
    >>> write_traces(file, [pa.RecordBatch.from_pylist([row], schema=TRACE_SCHEMA)])
    1
    >>> read_traces(file).read_all()["top_logprobs"].to_pylist()
    [[-0.5, -2.0]]
    >>> folder.cleanup()
    """
    target = Path(path)
    unfinished = target.with_name(target.name + ".part")
    source = iter(batches.to_batches() if isinstance(batches, pa.Table) else batches)
    first = next(source, None)
    schema = _disk_schema(() if first is None else first.schema.names)
    n_rows = 0
    try:
        with _writer(unfinished, schema) as writer:
            for group in _row_groups(chain([] if first is None else [first], source), schema):
                writer.write_table(group, row_group_size=group.num_rows)
                n_rows += group.num_rows
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return n_rows


def has_attention(paths: Sequence[Path]) -> bool:
    """Tell whether every file is a Parquet file with attention statistics.

    Examples
    --------
    >>> from nilometer.traces import corpus_path
    >>> has_attention([corpus_path("specialist")])
    False
    """
    for path in paths:
        with path.open("rb") as file:
            if file.read(4) != b"PAR1":
                return False
        if not set(ATTENTION_COLUMNS) <= set(pq.read_schema(path).names):
            return False
    return bool(paths)


def read_store(path: str | Path, *, batch_rows: int = 2048, keep: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file written by :func:`write_traces`, in ``TRACE_SCHEMA``.

    The heavy columns that `keep` names are read too, see :func:`trace_schema`.

    Columns that this version does not know are left out, missing ones are null.

    Raises
    ------
    TraceFormatError
        If the file is no Parquet file or was written by a newer format version.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check_version(path, file.schema_arrow.metadata or {})
            schema = trace_schema(keep)
            known = [name for name in file.schema_arrow.names if name in schema.names]
            for batch in file.iter_batches(
                batch_size=_ATTENTION_ROWS if "attention" in keep else batch_rows, columns=known
            ):
                yield conform_batch(batch, schema)
    except pa.ArrowInvalid as exc:
        raise TraceFormatError(f"{path}: not a readable Parquet file ({exc}).") from exc


def conform_batch(batch: pa.RecordBatch, schema: pa.Schema = TRACE_SCHEMA) -> pa.RecordBatch:
    """Cast a batch to the columns and types of a schema; missing columns become null."""
    columns = []
    for column in schema:
        if column.name not in batch.schema.names:
            columns.append(pa.nulls(batch.num_rows, type=column.type))
        else:
            columns.append(_cast(batch.column(column.name), column.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if array.type == wanted:
        return array
    if pa.types.is_list(wanted) and pa.types.is_list(array.type) and pa.types.is_floating(wanted.value_type):
        return _cast_list(array, wanted)
    return array.cast(wanted)


def _cast_list(array: pa.ListArray, wanted: pa.DataType) -> pa.ListArray:
    values = array.flatten().to_numpy(zero_copy_only=False)
    if pa.types.is_float16(wanted.value_type):
        limits = np.finfo(np.float16)
        values = np.clip(values, limits.min, limits.max)
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    floats = pa.array(values.astype(wanted.value_type.to_pandas_dtype()))
    return pa.ListArray.from_arrays(pa.array(offsets), floats, mask=array.is_null())


def _check_version(path: str | Path, metadata: dict[bytes, bytes]) -> None:
    written = metadata.get(VERSION_KEY, b"0").decode("ascii", "replace")
    if not written.isdigit() or int(written) > FORMAT_VERSION:
        raise TraceFormatError(
            f"{path}: format version must be <= {FORMAT_VERSION}, got {written}. Update nilometer to read it."
        )


def _disk_schema(names: Sequence[str]) -> pa.Schema:
    columns = trace_schema([name for name in ("attention", "top_tokens") if name in names])
    halved = [pa.field(column.name, pa.list_(pa.float16())) if column.name in _LISTS else column for column in columns]
    return pa.schema(halved, metadata=TRACE_SCHEMA.metadata)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    encodings = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in _LISTS if name in schema.names}
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=9,
        use_dictionary=_DICTIONARY,
        column_encoding=encodings,
        write_statistics=["trace_id", "time", "model", "n_tokens"],
    )


def _row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Gather batches into groups of at most 4,096 rows, fewer (but 1,000) when the responses are long."""
    waiting: list[pa.RecordBatch] = []
    n_rows = n_values = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _LEAST_ROWS):
            part = conform_batch(batch.slice(start, _LEAST_ROWS), schema)
            waiting.append(part)
            n_rows += part.num_rows
            n_values += len(part.column("top_logprobs").flatten())
            full = n_rows + _LEAST_ROWS > _ROW_GROUP_ROWS or n_values > _ROW_GROUP_VALUES
            if full and n_rows >= _LEAST_ROWS:
                yield pa.Table.from_batches(waiting)
                waiting, n_rows, n_values = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)
