"""Reading the spool folder: whole frames behind the committed offset of every file."""

import fcntl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..capture import HEAD_BYTES, Frame, FrameReader
from ..capture.frames import check_head

__all__ = ["Chunk", "read_chunks", "remove_spool"]

_MOST_FRAMES = 1000
_MOST_BYTES = 16 << 20
_READ = 96 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames of one spool file that are committed together."""

    spool: str
    begins: int
    ends: int
    frames: tuple[Frame, ...]
    n_damaged: int
    is_last: bool
    """Whether nothing can follow: no process writes the file, and this is its end."""


def read_chunks(folder: Path, offsets: Mapping[str, int]) -> Iterator[Chunk]:
    """Yield the next frames of every file, oldest file first; none where nothing was added.

    Raises
    ------
    TraceFormatError
        If a file is no spool, or of another version.
    """
    for path in sorted(folder.glob("*.spool")):
        chunk = _next_chunk(path, offsets.get(path.name, HEAD_BYTES))
        if chunk is not None:
            yield chunk


def _next_chunk(path: Path, begins: int) -> Chunk | None:
    try:
        with path.open("rb") as file:
            finished = _is_finished(file.fileno())
            check_head(file.read(HEAD_BYTES), name=str(path))
            file.seek(begins)
            data = file.read(_READ)
    except FileNotFoundError:  # dropped by a full spool since it was listed
        return None
    reader, frames, size = FrameReader(data), [], 0
    for _, frame in reader:
        frames.append(frame)
        size += len(frame.body) + len(frame.request)
        if len(frames) >= _MOST_FRAMES or size >= _MOST_BYTES:
            break
    at_end = len(frames) < _MOST_FRAMES and size < _MOST_BYTES and len(data) < _READ
    is_last = finished and at_end
    torn = is_last and reader.offset < len(data)
    if not frames and not is_last:
        return None
    ends = begins + (len(data) if is_last else reader.offset)
    return Chunk(path.name, begins, ends, tuple(frames), reader.n_damaged + torn, is_last)


def _is_finished(fd: int) -> bool:
    """Return whether no process holds the file open for writing."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_spool(folder: Path, name: str) -> None:
    """Delete a file whose frames are all committed."""
    (folder / name).unlink(missing_ok=True)
