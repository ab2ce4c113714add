"""From paths to numbered JSON objects: globs, folders, compression, documents, archives."""

import contextlib
import glob
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa

from nilometer.errors import TraceFormatError

__all__ = ["expand_paths", "json_objects"]

_ZSTD = 93
"""Compression method of a zip member, which inspect_ai uses."""


def expand_paths(given: str | Path | Sequence[str | Path]) -> list[Path]:
    """Turn files, folders and glob patterns into existing files, each once, in order.

    Of a folder every file below it counts whose name does not start with a dot.

    Raises
    ------
    FileNotFoundError
        If a path or pattern names nothing.
    TraceFormatError
        If a folder holds no file.

    Examples
    --------
    >>> expand_paths("no-such-*.jsonl")
    Traceback (most recent call last):
    FileNotFoundError: no-such-*.jsonl: no such file or folder.
    """
    found: dict[Path, None] = {}
    for item in [given] if isinstance(given, str | Path) else given:
        found.update(dict.fromkeys(_expand(Path(item).expanduser())))
    return list(found)


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        if not files:
            raise TraceFormatError(f"{path}: the folder holds no file.")
        return files
    if path.exists():
        return [path]
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns
    files = [match for match in matches if match.is_file()]
    if not files:
        raise FileNotFoundError(f"{path}: no such file or folder.")
    return files


def json_objects(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line or item number, JSON object) of JSON lines, server-sent events, a document or an archive.

    Raises
    ------
    TraceFormatError
        If the file is empty or blank, or a compressed file or archive is damaged.
    """
    if path.stat().st_size == 0:
        raise TraceFormatError(f"{path}: the file is empty.")
    with path.open("rb") as file:
        magic = file.read(4)
    n_objects = 0
    try:
        for item in _zip_members(path) if magic == b"PK\x03\x04" else _lines(path, magic):
            n_objects += 1
            yield item
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as exc:
        raise TraceFormatError(f"{path}: the compressed file is damaged ({exc}).") from exc
    if not n_objects:
        raise TraceFormatError(f"{path}: the file is blank.")


def _lines(path: Path, magic: bytes) -> Iterator[tuple[int, bytes]]:
    with _decompressed(path, magic) as stream:
        first = stream.readline()
        if _is_document(first):
            yield from _document(path, first + stream.read())
            return
        for number, data in enumerate(_chain(first, stream), start=1):
            text = data.strip().removeprefix(b"\xef\xbb\xbf")
            if text.startswith(b"data:"):
                text = text[5:].strip()
            if text and text != b"[DONE]" and not text.startswith((b"event:", b":", b"id:", b"retry:")):
                yield number, text


def _decompressed(path: Path, magic: bytes) -> "contextlib.AbstractContextManager[BinaryIO]":
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if magic == b"\x28\xb5\x2f\xfd":
        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
    return path.open("rb")


def _chain(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    yield first
    yield from stream


def _is_document(first: bytes) -> bool:
    start = first.strip().removeprefix(b"\xef\xbb\xbf")
    return start[:1] == b"[" or start == b"{"


def _document(path: Path, data: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        document = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=msgspec.Raw)
        if bytes(document).lstrip()[:1] == b"[":
            objects = msgspec.json.decode(document, type=list[msgspec.Raw])
        else:
            top = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
            samples = msgspec.json.decode(top["samples"], type=list[msgspec.Raw]) if "samples" in top else None
            objects = [document] if samples is None else [_with_head(item, top) for item in samples]
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise TraceFormatError(f"{path}: not a JSON document ({exc}).") from exc
    yield from ((number, bytes(item)) for number, item in enumerate(objects, start=1))


def _zip_members(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the samples of an inspect_ai ``.eval`` log, which is a zip archive."""
    with zipfile.ZipFile(path) as archive:
        every = archive.namelist()
        names = sorted(name for name in every if name.startswith("samples/") and name.endswith(".json"))
        if not names:
            raise TraceFormatError(f"{path}: an archive without samples/*.json is no .eval log.")
        head = next((name for name in ("header.json", "_journal/start.json") if name in every), None)
        top = msgspec.json.decode(_member(archive, head), type=dict[str, msgspec.Raw]) if head else {}
        for number, name in enumerate(names, start=1):
            yield number, bytes(_with_head(_member(archive, name), top))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read one file of an archive; the standard library knows no zstd before Python 3.14."""
    info = archive.getinfo(name)
    if info.compress_type != _ZSTD or archive.fp is None:
        return archive.read(name)
    archive.fp.seek(info.header_offset + 26)
    n_name, n_extra = (int.from_bytes(archive.fp.read(2), "little") for _ in range(2))
    archive.fp.seek(n_name + n_extra, io.SEEK_CUR)
    packed = archive.fp.read(info.compress_size)
    try:
        data: bytes = pa.decompress(packed, info.file_size, codec="zstd", asbytes=True)
    except (OSError, pa.ArrowException) as exc:
        raise zipfile.BadZipFile(f"{name}: {exc}") from exc
    if zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile(f"{name}: bad checksum")
    return data


def _with_head(sample: bytes | msgspec.Raw, top: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
    """Put what an inspect_ai log says of all samples (model, task, settings) into one of them."""
    head = b"".join(b'"' + key.encode() + b'":' + bytes(top[key]) + b"," for key in ("eval", "plan") if key in top)
    return msgspec.Raw(b"{" + head + bytes(sample).lstrip()[1:] if head else bytes(sample))
