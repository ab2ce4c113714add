"""Parquet files that are checked as they are read: sizes first, then every page, row and column."""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.errors import TraceFormatError

from .digest import ColumnDigests
from .store import DAMAGE, DIGESTS, check_digests, whole_file

__all__ = ["open_parquet", "read_checked_table", "read_whole", "write_checked_table"]

_MOST_CELLS = 1_000_000_000
_MOST_BYTES = 8 << 30
_MOST_TEXT = 128 << 20


def write_checked_table(path: str | Path, table: pa.Table, metadata: dict[bytes, bytes]) -> None:
    """Write a table as Parquet with a digest of every column, whole or not at all."""
    digests = ColumnDigests()
    digests.add(table)
    kept = {**(table.schema.metadata or {}), **metadata, DIGESTS: msgspec.json.encode(digests.finish())}
    with whole_file(path) as file:
        pq.write_table(table.replace_schema_metadata(kept), file, compression="zstd", write_page_checksum=True)


def read_checked_table(path: str | Path) -> pa.Table:
    """Read a Parquet file with all that can be checked: sizes, pages, rows and, where it has them, digests.

    Raises
    ------
    OSError
        If there is no such file, or it may not be read.
    TraceFormatError
        If it is damaged, too large, or another value than was written is in it.
    """
    with Path(path).open("rb") as source:
        try:
            with open_parquet(source) as file:
                table = read_whole(file)
            digests = ColumnDigests()
            digests.add(table)
            check_digests((table.schema.metadata or {}).get(DIGESTS), digests.finish())
        except DAMAGE as exc:
            raise TraceFormatError(f"{path}: not a readable Parquet file ({exc}). Write it again.") from exc
    return table


def open_parquet(source: Any) -> pq.ParquetFile:
    """Open a Parquet file of unknown origin: pages are checked, and nothing is read ahead."""
    return pq.ParquetFile(
        source,
        pre_buffer=False,
        page_checksum_verification=True,
        thrift_string_size_limit=_MOST_TEXT,
    )


def read_whole(file: pq.ParquetFile) -> pa.Table:
    """Read all rows batch by batch, so that a file that unfolds without end is refused before memory is full.

    Raises
    ------
    pyarrow.ArrowInvalid
        If it holds more than fits, or rows are missing.
    """
    cells = file.metadata.num_rows * max(file.metadata.num_columns, 1)
    if cells > _MOST_CELLS:
        raise pa.ArrowInvalid(f"rows times columns must be <= {_MOST_CELLS:,}, got {cells:,}")
    batches, n_bytes = [], 0
    for batch in file.iter_batches(batch_size=1 << 16):
        batch.validate(full=True)
        n_bytes += batch.nbytes
        if n_bytes > _MOST_BYTES:
            raise pa.ArrowInvalid(f"the values must fit in {_MOST_BYTES >> 30} GB")
        batches.append(batch)
    table = pa.Table.from_batches(batches, file.schema_arrow)
    if table.num_rows != file.metadata.num_rows:
        raise pa.ArrowInvalid(f"{table.num_rows} of {file.metadata.num_rows} rows")
    return table
