"""From files, folders and glob patterns to the files to read, and what was left out on the way."""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from nilometer.errors import TraceFormatError

__all__ = ["FoundPaths", "expand_paths", "is_regular"]


class FoundPaths(list[Path]):
    """Files to read, in order."""

    def __init__(self, paths: Sequence[Path] = (), left_out: Sequence[str] = ()) -> None:
        super().__init__(paths)
        self.left_out = list(left_out)
        """What was found and is not read, each as ``path: reason``."""


def expand_paths(given: str | Path | Sequence[str | Path]) -> FoundPaths:
    """Turn files, folders and glob patterns into existing files, each once, in order.

    Of a folder every file below it counts whose name does not start with a dot. Linked or unreadable folders, links
    that lead nowhere, pipes and devices in it are left out and named in ``left_out``. Two names of one file count once.

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
    if isinstance(given, FoundPaths):
        return given
    found, seen = FoundPaths(), set()
    for item in [given] if isinstance(given, str | Path) else given:
        for path in _expand(Path(item), found.left_out):
            status = path.stat()
            identity = (status.st_dev, status.st_ino)
            if identity not in seen or not stat.S_ISREG(status.st_mode):
                seen.add(identity)
                found.append(path)
    return found


def is_regular(path: Path) -> bool:
    """Return whether a path is an ordinary file, which can be opened more than once; a pipe or device cannot."""
    return path.is_file()


def _expand(path: Path, left_out: list[str]) -> Iterator[Path]:
    if not os.path.lexists(path):
        path = _at_home(path)
    if path.is_dir():
        files = sorted(_below(path, left_out))
        if not files:
            reasons = f" ({'; '.join(left_out[:3])})" if left_out else ""
            raise TraceFormatError(f"{path}: the folder holds no file{reasons}.")
        yield from files
    elif path.exists():
        yield path
    else:
        yield from _matches(path)


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # a name that only begins with a tilde
        return path


def _matches(pattern: Path) -> list[Path]:
    matches = sorted(Path(match) for match in glob.glob(str(pattern), recursive=True))  # noqa: PTH207 - absolute patterns
    files = [match for match in matches if match.exists() and not match.is_dir()]
    if not files:
        raise FileNotFoundError(f"{pattern}: no such file or folder.")
    return files


def _below(folder: Path, left_out: list[str]) -> Iterator[Path]:
    """Yield the files below a folder without following links to folders, which may lead round in a circle."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                listed = list(entries)
        except OSError as exc:
            left_out.append(f"{here}: the folder cannot be read ({exc.strerror}).")
            continue
        for entry in listed:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif not entry.name.startswith(".") and _is_file(entry, left_out):
                yield Path(entry.path)


def _is_file(entry: "os.DirEntry[str]", left_out: list[str]) -> bool:
    try:
        mode = entry.stat().st_mode
    except OSError:
        left_out.append(f"{entry.path}: the link leads nowhere.")
        return False
    if stat.S_ISREG(mode):
        return True
    kind = "a linked folder is not followed" if stat.S_ISDIR(mode) else "a pipe or device in a folder is not read"
    left_out.append(f"{entry.path}: {kind}; name it to read it.")
    return False
