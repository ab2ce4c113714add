"""The Parquet form of traces: half-precision log-probabilities, compact and quick to read."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.errors import TraceFormatError

from .batch import bad_rows
from .digest import ColumnDigests
from .schema import ATTENTION_COLUMNS, FORMAT_VERSION, TRACE_SCHEMA, trace_schema

__all__ = [
    "DAMAGE",
    "DIGESTS",
    "VERSION_KEY",
    "check_digests",
    "conform_batch",
    "has_attention",
    "is_parquet",
    "read_store",
    "whole_file",
    "write_traces",
]

VERSION_KEY = b"nilometer.format_version"
DIGESTS = b"nilometer.digests"

_LISTS = ("chosen_logprobs", "top_logprobs", "attention")
_ROW_GROUP_ROWS = 4096
_ROW_GROUP_VALUES = 16_000_000
_LEAST_ROWS = 1000
_ATTENTION_ROWS = 128
_LARGEST_GROUP = 4 << 30
DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, LookupError, TypeError, MemoryError)
"""What damaged bytes make the Parquet reader raise."""
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
    source = iter(batches.to_batches() if isinstance(batches, pa.Table) else batches)
    first = next(source, None)
    schema = _disk_schema(() if first is None else first.schema.names)
    n_rows, digests = 0, ColumnDigests()
    with whole_file(path) as file, _writer(file, schema) as writer:
        for group in _row_groups(chain([] if first is None else [first], source), schema):
            writer.write_table(group, row_group_size=group.num_rows)
            digests.add(group)
            n_rows += group.num_rows
        writer.add_key_value_metadata({DIGESTS: msgspec.json.encode(digests.finish())})
    return n_rows


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a file to write that appears under its name only when all of it is on the disk.

    Its bytes stand in a hidden file of a name of its own in the same folder until then, so that two writers never meet
    and a link under the old name is not followed. Where anything fails, what stood there before stays. Only the owner
    can read a new file, since it holds answers.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "a.txt") as file:
    ...         _ = file.write(b"4")
    ...     (Path(folder) / "a.txt").read_bytes()
    b'4'
    """
    target = Path(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            unfinished.chmod(target.stat().st_mode & 0o777)
        unfinished.replace(target)
    except OSError as exc:
        if exc.filename is None and exc.errno is not None:  # a full disk does not say whose bytes it refused
            raise OSError(exc.errno, exc.strerror, str(target)) from exc
        raise
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Write the new name to the disk, too, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


def has_attention(paths: Sequence[Path]) -> bool:
    """Return whether every file is a Parquet file with attention statistics.

    Examples
    --------
    >>> from nilometer.traces import corpus_path
    >>> has_attention([corpus_path("specialist")])
    False
    """
    for path in paths:
        if not is_parquet(path):
            return False
        try:
            names = pq.read_schema(path).names
        except DAMAGE:
            return False
        if not set(ATTENTION_COLUMNS) <= set(names):
            return False
    return bool(paths)


def is_parquet(path: Path) -> bool:
    """Return whether an ordinary file begins as Parquet does; a pipe is not touched."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def read_store(
    path: str | Path,
    *,
    batch_rows: int = 2048,
    keep: Sequence[str] = (),
    on_bad: Callable[[int, str], None] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file written by :func:`write_traces`, in ``TRACE_SCHEMA``.

    The heavy columns that `keep` names are read too, see :func:`trace_schema`. Columns that this version does not know
    are left out, missing ones are null. Rows whose log-probabilities cannot be right are left out: `on_bad` is called
    with the number of each, from 1, and the reason.

    Raises
    ------
    TraceFormatError
        If the file is no Parquet file, holds something else than traces, is damaged, or was written by a newer format
        version; without `on_bad`, at the first bad row.
    """
    schema = trace_schema(keep)
    n_rows = 0
    for batch in _batches(Path(path), schema, _ATTENTION_ROWS if "attention" in keep else batch_rows):
        bad = bad_rows(batch)
        for row, reason in bad:
            if on_bad is None:
                raise TraceFormatError(f"{path}:{n_rows + row + 1}: {reason}")
            on_bad(n_rows + row + 1, reason)
        n_rows += batch.num_rows
        if bad:
            kept = np.setdiff1d(np.arange(batch.num_rows), [row for row, _ in bad])
            batch = batch.take(pa.array(kept))
        yield batch


def _batches(path: Path, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            _check_kind(path, file)
            known = [name for name in file.schema_arrow.names if name in schema.names]
            n_missing, digests = file.metadata.num_rows, ColumnDigests()
            for batch in file.iter_batches(batch_size=batch_rows, columns=known):
                batch.validate(full=True)
                n_missing -= batch.num_rows
                digests.add(batch)
                yield conform_batch(batch, schema)
            if n_missing:
                raise pa.ArrowInvalid(f"{n_missing} of {file.metadata.num_rows} rows are missing")
            check_digests((file.metadata.metadata or {}).get(DIGESTS), digests.finish())
    except FileNotFoundError:
        raise
    except DAMAGE as exc:
        if isinstance(exc, TraceFormatError):
            raise
        raise TraceFormatError(f"{path}: not a readable Parquet file ({exc}).") from exc


def check_digests(written: bytes | None, found: Mapping[str, str]) -> None:
    """Refuse columns whose digest is another than when the file was written; files of others carry none."""
    known = msgspec.json.decode(written, type=dict[str, str]) if written else {}
    for name, digest in found.items():
        if known.get(name, digest) != digest:
            raise pa.ArrowInvalid(f"the values of `{name}` are not those that were written")


def _check_kind(path: Path, file: pq.ParquetFile) -> None:
    names, metadata = file.schema_arrow.names, file.schema_arrow.metadata or {}
    _check_version(path, metadata)
    lost = [name for name in TRACE_SCHEMA.names if name not in names]
    if lost and metadata.get(VERSION_KEY) == str(FORMAT_VERSION).encode():
        raise TraceFormatError(f"{path}: the column `{lost[0]}` is missing; the file is damaged.")
    if "trace_id" not in names or not set(names) & {"answer", "chosen_logprobs", "top_logprobs"}:
        raise TraceFormatError(
            f"{path}: a Parquet file of traces must have `trace_id` and `answer` or `chosen_logprobs`,"
            f" got the columns {', '.join(names[:12]) or 'none'}."
        )
    sizes = [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]
    if max(sizes, default=0) > _LARGEST_GROUP:
        raise TraceFormatError(
            f"{path}: a row group must be <= {_LARGEST_GROUP >> 30} GB, got {max(sizes) >> 30}. Write smaller ones."
        )


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


def _writer(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    encodings = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in _LISTS if name in schema.names}
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level=9,
        use_dictionary=_DICTIONARY,
        column_encoding=encodings,
        write_statistics=["trace_id", "time", "model", "n_tokens"],
        write_page_checksum=True,
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
