"""Blocks and lines of a file, a pipe or a compressed file, with limits on what one line or file may grow to."""

import gzip
import io
import os
import select
import stat
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from nilometer.errors import TraceFormatError

__all__ = ["LONGEST", "check_growth", "is_packed", "lines_of", "opened"]

LONGEST = 512 * 1024 * 1024
"""Most bytes of one line, document or member of an archive."""

_BLOCK = 512 * 1024
_LONG = 512
"""Bytes from which a first line makes a block one of long lines."""
_MOST_GROWTH = 500
_GROWTH_FROM = 64 * 1024 * 1024
_WAIT_SECONDS = 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"
_DAMAGE = (OSError, EOFError, zlib.error, pa.ArrowException, OverflowError)


def opened(path: Path) -> BinaryIO:
    """Open a file for reading; of a pipe, wait for what is written to it, but not for ever.

    Raises
    ------
    TraceFormatError
        If it is a folder or a block device, or nobody writes to the pipe.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
        raise TraceFormatError(f"{path}: not a file that can be read.")
    if not stat.S_ISFIFO(mode):
        return path.open("rb")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN | select.POLLHUP)
    if not waiting.poll(_WAIT_SECONDS * 1000):
        os.close(descriptor)
        raise TraceFormatError(f"{path}: nothing was written to the pipe within {_WAIT_SECONDS} seconds.")
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb")


def check_growth(path: Path, n_bytes: int, n_packed: int) -> None:
    """Refuse compressed data that grows beyond what text does.

    Raises
    ------
    TraceFormatError
        If it has grown more than 500 times and beyond 64 MB.
    """
    if n_bytes > _GROWTH_FROM and n_bytes > _MOST_GROWTH * max(n_packed, 1):
        raise TraceFormatError(
            f"{path}: {n_packed:,} compressed bytes have grown to more than {n_bytes:,}; no log of text does that."
        )


def lines_of(path: Path, file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    r"""Yield the lines of an open file, decompressed and without their ``\n``, and whether a last one had none.

    Raises
    ------
    TraceFormatError
        If the compressed data is damaged or grows without end, or a line is longer than 512 MB.
    """
    parts: list[bytes] = []
    size = 0
    for block in _blocks(path, file):
        lines = _split(block)
        parts.append(lines[0])
        size += len(lines[0])
        if size > LONGEST:
            raise TraceFormatError(
                f"{path}: a line or document must be <= {LONGEST >> 20} MB. Write one response a line."
            )
        if len(lines) > 1:
            yield b"".join(parts) if len(parts) > 1 else parts[0], False
            for line in lines[1:-1]:
                yield line, False
            parts, size = [lines[-1]], len(lines[-1])
    if size:
        yield b"".join(parts), True


def _split(block: bytes) -> list[bytes]:
    """Split at line feeds; between long lines each is searched for, which is faster than `bytes.split`."""
    end = block.find(b"\n")
    if 0 <= end < _LONG:
        return block.split(b"\n")
    lines, start = [], 0
    while end >= 0:
        lines.append(block[start:end])
        start = end + 1
        end = block.find(b"\n", start)
    lines.append(block[start:] if start else block)
    return lines


def is_packed(head: bytes) -> bool:
    """Return whether data that begins so is compressed by gzip or zstd."""
    return head.startswith((_GZIP, _ZSTD)) or _is_skippable(head[:4])


def _blocks(path: Path, file: BinaryIO) -> Iterator[bytes]:
    magic = _peek(file)
    if is_packed(magic):
        yield from _unpacked(path, file, magic)
        return
    if magic.startswith((b"\xff\xfe", b"\xfe\xff")) or (magic[:1] != b"\0" and magic[1:2] == b"\0"):
        raise TraceFormatError(f"{path}: the file is in UTF-16. Save it as UTF-8 (PowerShell: `-Encoding utf8`).")
    try:
        while block := file.read(_BLOCK):
            yield block
    except OSError as exc:
        raise TraceFormatError(f"{path}: the file cannot be read ({exc.strerror}).") from exc


def _peek(file: BinaryIO) -> bytes:
    try:
        return file.peek(4)[:4]  # type: ignore[attr-defined,no-any-return]
    except OSError:
        return b""


def _is_skippable(magic: bytes) -> bool:
    return magic[:1] >= b"\x50" and magic[:1] <= b"\x5f" and magic[1:4] == _SKIPPABLE


def _unpacked(path: Path, file: BinaryIO, magic: bytes) -> Iterator[bytes]:
    """Decompress in a thread beside the reading, one block ahead."""
    counted = _Counted(file)
    with ThreadPoolExecutor(1) as beside:
        try:
            stream = _decompressor(counted, magic)
            size, coming = 0, beside.submit(stream.read, _BLOCK)
            while block := coming.result():
                coming = beside.submit(stream.read, _BLOCK)
                size += len(block)
                check_growth(path, size, counted.n_bytes)
                yield block
        except _DAMAGE as exc:
            raise TraceFormatError(f"{path}: the compressed file is damaged ({exc}).") from exc


def _decompressor(file: "_Counted", magic: bytes) -> BinaryIO:
    if magic.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")  # type: ignore[no-any-return]


class _Counted(io.RawIOBase):
    """A file that counts the bytes read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.n_bytes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.n_bytes += len(data)
        return data
