"""A file that holds every answer of a live run as soon as it came, so that no call is paid twice."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from nilometer.errors import ConfigError

__all__ = ["Journal", "alone_in", "locked"]

_LINE = msgspec.json.Encoder()
_LINE_START = b'{"key":"'


class Journal:
    """Answers by the key of their request, one JSON line each, on disk before anything else is done.

    Only one run may hold a journal. A line that a killed run left half written is cut off.

    Parameters
    ----------
    path
        The file; made if it is not there, readable by its owner only.

    Raises
    ------
    ConfigError
        If another run holds it, or it is no journal.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Journal(Path(folder) / "run.jsonl") as journal:
    ...         journal.add("a", {"text": "4"})
    ...     with Journal(Path(folder) / "run.jsonl") as journal:
    ...         print(journal.find("a"), journal.find("b"), len(journal))
    {'text': '4'} None 1
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._one_at_a_time = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        _lock(self._file, path)
        self._found: dict[str, Any] = {}
        self._load()

    def _load(self) -> None:
        data = self.path.read_bytes()
        end = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:end].splitlines(), start=1):
            try:
                row = msgspec.json.decode(line)
                self._found[row["key"]] = row["value"]
            except (msgspec.DecodeError, KeyError, TypeError) as exc:
                raise ConfigError(f"{self.path}:{number}: not a line of a journal ({exc}). Give another file.") from exc
        if end < len(data):  # only now: another file keeps what stands after its last line
            if not _LINE_START.startswith(data[end:][: len(_LINE_START)]):
                raise ConfigError(f"{self.path}: its last line is none of a journal. Give another file.")
            os.ftruncate(self._file, end)

    def __len__(self) -> int:
        return len(self._found)

    def find(self, key: str) -> Any:
        """Return what was kept under a key, or None."""
        return self._found.get(key)

    def add(self, key: str, value: Any) -> None:
        """Keep a value; it is on disk when this returns, whole or not at all."""
        line = memoryview(_LINE.encode({"key": key, "value": value}) + b"\n")
        with self._one_at_a_time:
            end = os.lseek(self._file, 0, os.SEEK_END)
            try:
                while line:  # a disk that is nearly full takes a part
                    line = line[os.write(self._file, line) :]
                os.fsync(self._file)
            except OSError as exc:
                os.ftruncate(self._file, end)  # half a line would spoil the next one
                raise OSError(exc.errno, exc.strerror, str(self.path)) from exc
            self._found[key] = value

    def close(self) -> None:
        """Give the file free."""
        os.close(self._file)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file while others wait for it; it stays, empty."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with suppress(ImportError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder; another run that wants it is refused. Where the system has no such locks, nothing is checked.

    Raises
    ------
    ConfigError
        If another run holds it.
    """
    try:
        file = os.open(folder, os.O_RDONLY)
    except PermissionError:  # systems on which a folder cannot be opened
        yield
        return
    _lock(file, folder)
    try:
        yield
    finally:
        os.close(file)


def _lock(file: int, path: Path) -> None:
    """Refuse a file that another process holds; where the system has no such locks, nothing is checked."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise ConfigError(f"{path}: another run writes to it. Wait for that run, or give another name.") from None
