"""Files of profiles: written aside, synced, then renamed, so that a reader sees whole files only."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Part", "hour_folder", "write_part"]

_HOUR = 3600


class Part(NamedTuple):
    """One file of profiles in the manifest."""

    file: str
    """Below the folder of the store."""
    hour: int
    """Hours since 1970 of its responses."""
    n: int
    bytes: int
    sha256: str


def hour_folder(hour: int, kind: str = "profiles") -> str:
    """Folder of an hour since 1970, below that of the store.

    Examples
    --------
    >>> hour_folder(491_000)
    'profiles/day=2026-01-05/hour=08'
    """
    moment = datetime.fromtimestamp(hour * _HOUR, tz=UTC)
    return f"{kind}/day={moment:%Y-%m-%d}/hour={moment:%H}"


def write_part(root: Path, name: str, table: pa.Table, *, hour: int, kind: str = "profiles") -> Part:
    """Write profiles or texts of one hour; the same name again replaces the file, as a replay after a crash does."""
    file = f"{hour_folder(hour, kind)}/{name}.parquet"
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    pq.write_table(table, aside, compression="zstd")
    digest = hashlib.sha256(aside.read_bytes()).hexdigest()
    _sync(aside)
    aside.rename(path)
    _sync(path.parent)
    return Part(file, hour, table.num_rows, path.stat().st_size, digest)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
