"""The samples of an inspect_ai ``.eval`` log, which is a zip archive."""

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, BinaryIO

import msgspec
import pyarrow as pa

from nilometer.errors import TraceFormatError

from .bytes import LONGEST, check_growth

__all__ = ["archive_samples", "with_head"]

_ZSTD = 93
"""Compression method of a zip member, which inspect_ai uses."""
_BLOCK = 4 * 1024 * 1024
_TOP: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    pa.ArrowException,
)


def archive_samples(path: Path, file: BinaryIO) -> Iterator[tuple[int | str, bytes, bool]]:
    """Yield the samples of an archive as JSON objects, each with what the log says of all.

    Raises
    ------
    TraceFormatError
        If it is damaged, grows without end, or is no log of inspect_ai.
    """
    try:
        with zipfile.ZipFile(file if file.seekable() else io.BytesIO(file.read(LONGEST))) as archive:
            names, top = _sample_names(path, archive), _top(path, archive)
            for number, name in enumerate(names, start=1):
                yield number, bytes(with_head(_member(path, archive, name), top)), False
    except TraceFormatError:
        raise
    except _DAMAGE as exc:
        raise TraceFormatError(f"{path}: the compressed file is damaged ({exc}).") from exc


def _sample_names(path: Path, archive: zipfile.ZipFile) -> list[str]:
    every = archive.namelist()
    names = sorted(name for name in every if name.startswith("samples/") and name.endswith(".json"))
    if not names:
        raise TraceFormatError(f"{path}: an archive without samples/*.json is no .eval log.")
    strange = [name for name in every if "_epoch_" in name and name not in names]
    if strange:
        raise TraceFormatError(f"{path}: {strange[0]!r:.80} should stand in samples/; the archive is damaged.")
    return names


def _top(path: Path, archive: zipfile.ZipFile) -> dict[str, msgspec.Raw]:
    every = archive.namelist()
    head = next((name for name in ("header.json", "_journal/start.json") if name in every), None)
    return _TOP.decode(_member(path, archive, head)) if head else {}


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """Read one file of an archive; the standard library knows no zstd before Python 3.14."""
    info = archive.getinfo(name)
    if info.compress_type != _ZSTD or archive.fp is None:
        with archive.open(name) as member:
            return _bounded(path, member, info.compress_size)
    archive.fp.seek(info.header_offset + 26)
    n_name, n_extra = (int.from_bytes(archive.fp.read(2), "little") for _ in range(2))
    archive.fp.seek(n_name + n_extra, io.SEEK_CUR)
    packed = archive.fp.read(min(info.compress_size, LONGEST))
    data = _bounded(path, pa.CompressedInputStream(pa.BufferReader(packed), "zstd"), len(packed))
    if zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile(f"{name}: bad checksum")
    return data


def _bounded(path: Path, stream: IO[bytes], n_packed: int) -> bytes:
    """Read a member block by block; what it claims to hold sets no size."""
    blocks: list[bytes] = []
    size = 0
    while block := stream.read(_BLOCK):
        blocks.append(block)
        size += len(block)
        check_growth(path, size, n_packed)
        if size > LONGEST:
            raise TraceFormatError(f"{path}: a member of an archive must be <= {LONGEST >> 20} MB.")
    return b"".join(blocks)


def with_head(sample: bytes | msgspec.Raw, top: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
    """Put what an inspect_ai log says of all samples (model, task, settings) into one of them."""
    head = b"".join(b'"' + key.encode() + b'":' + bytes(top[key]) + b"," for key in ("eval", "plan") if key in top)
    return msgspec.Raw(b"{" + head + bytes(sample).lstrip()[1:] if head else bytes(sample))
