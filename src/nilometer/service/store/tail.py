"""Following log files that grow, line by line."""

import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from nilometer.errors import ConfigError
from nilometer.traces import read_traces

from ..capture import Spool
from .tables import spool_traces

__all__ = ["Tail", "TailStep"]

_MOST = 64 << 20


class TailStep(NamedTuple):
    """What one look found."""

    n_traces: int
    bad_lines: tuple[str, ...]


class Tail:
    """Puts whole new lines of the files of a folder into the spool of a store.

    How far each file was read stands in ``tail.json`` of the store and moves after the lines are in the spool, so that
    a crash in between repeats at most the lines of one look. A file that became shorter is read from its start.

    Parameters
    ----------
    logs
        Folder of JSON lines files, one response a line.
    root
        Folder of the store.
    pattern
        Which files, as a glob.

    Raises
    ------
    ConfigError
        If ``logs`` is no folder.
    """

    def __init__(self, logs: Path, root: Path, *, pattern: str = "*.jsonl") -> None:
        if not logs.is_dir():
            raise ConfigError(f"{logs}: must be a folder of logs.")
        self._logs, self._root, self._pattern = logs, root, pattern

    def step(self) -> TailStep:
        """Take what came since the last look."""
        n, bad = 0, list[str]()
        offsets = self._offsets()
        for path in sorted(self._logs.glob(self._pattern)):
            begin = offsets.get(path.name, 0)
            begin = begin if begin <= path.stat().st_size else 0
            with path.open("rb") as file:
                file.seek(begin)
                data = file.read(_MOST)
            data = data[: data.rfind(b"\n") + 1]
            if not data:
                continue
            taken, lines = self._take(path.name, data)
            n += taken
            bad += lines
            offsets[path.name] = begin + len(data)
            self._keep(offsets)
        return TailStep(n, tuple(bad))

    def _take(self, name: str, data: bytes) -> tuple[int, list[str]]:
        if not data.strip():
            return 0, []
        with tempfile.TemporaryDirectory() as folder, closing(Spool(self._root / "spool")) as spool:
            path = Path(folder) / name
            path.write_bytes(data)
            stream = read_traces(path)
            n = spool_traces(spool, stream)
        return n, [line.replace(str(path), name) for line in stream.report.bad_lines]

    def _offsets(self) -> dict[str, int]:
        path = self._root / "tail.json"
        return dict(json.loads(path.read_bytes())) if path.exists() else {}

    def _keep(self, offsets: dict[str, int]) -> None:
        aside = self._root / "tail.part"
        aside.write_text(json.dumps(offsets), encoding="utf-8")
        aside.rename(self._root / "tail.json")
