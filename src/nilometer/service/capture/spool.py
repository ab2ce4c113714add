"""The spool: one append-only file per process, written before the last part of an answer leaves."""

import fcntl
import logging
import os
import threading
import time
from collections import Counter
from errno import ENOSPC
from pathlib import Path

from .frames import Frame, FrameReader, encode_frame, spool_head

__all__ = ["SPOOL_SUFFIX", "Spool"]

SPOOL_SUFFIX = ".spool"
_SEGMENT = 64 << 20
_COUNTS_EVERY = 10.0
_log = logging.getLogger("nilometer.capture")


class Spool:
    """Writes frames with one ``os.write`` each and syncs them to disk in a thread.

    A frame that was written survives ``kill -9`` of the process; within about a tenth of a second it survives a
    power cut too. What cannot be written is counted and never raised. Files have mode 0600 and are locked while
    their process lives, so that a store can tell finished ones.

    Parameters
    ----------
    folder
        Made when the first frame comes.
    limit
        Bytes of all files in the folder; beyond it the oldest finished file is dropped, its frames counted.
    """

    def __init__(self, folder: str | Path, *, limit: int = 4096 << 20) -> None:
        self.counts: Counter[str] = Counter()
        """Totals of this process: requests by outcome, and what was dropped, as ``dropped_REASON``."""
        self._folder, self._limit = Path(folder), limit
        self._segment = max(min(_SEGMENT, limit // 8), 1)
        self._fd = self._pid = -1
        self._size = self._number = 0
        self._retired: list[int] = []
        self._lock = threading.Lock()
        self._dirty = threading.Event()
        self._counted_at = 0.0
        self._stopped = False

    def write(self, frame: Frame) -> bool:
        """Append one frame; False if that was not possible, which is counted as ``dropped_disk``."""
        data = encode_frame(frame)
        with self._lock:
            written = self._append(data)
            if written and time.monotonic() - self._counted_at > _COUNTS_EVERY:
                self._write_counts()
        self._dirty.set()
        return written

    def close(self) -> None:
        """Write the counts, sync, and let go of the file."""
        with self._lock:
            if self._fd >= 0 and self._pid == os.getpid():
                self._write_counts()
                os.fdatasync(self._fd)
                os.close(self._fd)
            self._fd, self._stopped = -1, True
        self._dirty.set()

    def _write_counts(self) -> None:
        self._counted_at = time.monotonic()
        now = int(time.time() * 1e6)
        self._append(encode_frame(Frame(id=f"{os.getpid()}", time=now, outcome="counts", counts=dict(self.counts))))

    def _append(self, data: bytes) -> bool:
        try:
            if self._fd < 0 or self._pid != os.getpid() or self._size >= self._segment:
                self._open()
            self._write_whole(data)
        except OSError as exc:
            if not self.counts["dropped_disk"]:
                _log.warning("nilometer cannot write its spool %s (%s); answers go on.", self._folder, exc)
            self.counts["dropped_disk"] += 1
            return False
        self._size += len(data)
        return True

    def _write_whole(self, data: bytes) -> None:
        written = os.write(self._fd, data)
        if written < len(data):
            os.ftruncate(self._fd, self._size)
            raise OSError(ENOSPC, f"only {written} of {len(data)} bytes fitted")

    def _open(self) -> None:
        if self._pid != os.getpid():  # a fresh process, or a fork whose parent still writes the other file
            self._pid, self._fd, self._retired = os.getpid(), -1, []
            threading.Thread(target=self._sync, name="nilometer-spool", daemon=True).start()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{time.time_ns():020d}-{self._pid}-{self._number}{SPOOL_SUFFIX}"
        aside = path.with_suffix(".new")
        fd = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(fd, spool_head())
            aside.rename(path)  # a file that can be seen is locked, so that no store takes it for a finished one
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            self._retired.append(self._fd)
        self._fd, self._size = fd, len(spool_head())
        self._number += 1

    def _sync(self) -> None:
        pid = os.getpid()
        while not self._stopped and self._pid == pid:
            self._dirty.wait()
            self._dirty.clear()
            self._sync_once()
            time.sleep(0.05)

    def _sync_once(self) -> None:
        with self._lock:
            retired, self._retired = self._retired, []
            current = os.dup(self._fd) if self._fd >= 0 else -1
        for fd in (*retired, current):
            if fd >= 0:
                _sync_and_close(fd)
        if retired:
            self._enforce_limit()

    def _enforce_limit(self) -> None:
        """Drop the oldest finished files until the folder fits."""
        files = sorted(self._folder.glob(f"*{SPOOL_SUFFIX}"))
        sizes = {path: path.stat().st_size for path in files if path.exists()}
        total = sum(sizes.values())
        for path, size in sizes.items():
            if total <= self._limit:
                return
            dropped = _drop(path)
            if dropped is not None:
                self.counts["dropped_spool_full"] += dropped
                total -= size


def _sync_and_close(fd: int) -> None:
    try:
        os.fdatasync(fd)
    except OSError as exc:
        _log.warning("nilometer cannot sync its spool (%s); answers go on.", exc)
    finally:
        os.close(fd)


def _drop(path: Path) -> int | None:
    """Delete a file that no process writes; how many requests it held, None if it is in use or gone."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            data = file.read()
            path.unlink()
    except OSError:
        return None
    return sum(frame.outcome != "counts" for _, frame in FrameReader(data[len(spool_head()) :]))
