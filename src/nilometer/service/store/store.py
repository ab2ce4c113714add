"""One folder: spool, profiles and database, with one process that writes."""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.estimators import Sentinel

from ..capture import HEAD_BYTES
from .database import open_database, transaction
from .ingest import commit_chunk
from .labels import LabelIn, add_labels, join_with_parts
from .redaction import redact
from .scoring import SliceRow, add_refusals, add_sums, estimate_hours, score_table
from .slicing import ALL, Slicing
from .spools import Chunk, read_chunks, remove_spool
from .texts import Text, find_text
from .upkeep import Forgotten, Retention, compact_hour, expire, forget_rows, purge, scrub_spools

__all__ = ["Store", "kept_keys"]

_HOUR = 3600
_HOUR_US = _HOUR * 1_000_000
_TEND_EVERY = 60
_FOREVER = Retention()
_MOST_PARTS = 20


class Store:
    """The store of one folder; opening it takes the lock that keeps a second server out.

    ``step`` does all work: it commits what the spool holds, joins labels, and scores stored profiles again after the
    sentinel was changed. A step that cannot write names the reason in ``problems``, acknowledges nothing, and
    the next one tries again.

    Parameters
    ----------
    root
        Folder; made when it is not there.
    keys
        Slice keys: attributes, or ``model``, ``finish_reason``, ``model_fingerprint``, ``temperature``.
    sentinel
        Estimates accuracies; without one profiles are stored and nothing is estimated.
    most_slices
        Names per key; what comes after them is ``(other)``.
    redact
        What becomes of prompts and answers before they are stored, where a capture keeps them.
    previous
        The sentinel before; its estimates stay current until the new one has scored what is stored.
    retention
        How long profiles, texts and sums are kept.

    Raises
    ------
    ConfigError
        If another process has the folder, or the keys differ from those that the folder was made with.
    TraceFormatError
        If the database is none, or of a newer version.
    """

    def __init__(  # noqa: PLR0913 - what a folder is served with
        self,
        root: str | Path,
        *,
        keys: Sequence[str] = (),
        sentinel: Sentinel | None = None,
        most_slices: int = 1000,
        redact: Callable[[str], str] = redact,
        previous: Sentinel | None = None,
        retention: Retention = _FOREVER,
    ) -> None:
        self.root = Path(root)
        self.spool = self.root / "spool"
        self.sentinel = sentinel
        self.previous = previous
        self._retention = retention
        self._tended = 0.0
        self.slicing = Slicing(keys, most=most_slices)
        self._redact = redact
        self.problems: dict[str, str] = {}
        """What keeps the store from working, by part; empty when all is well."""
        self.n_committed = 0
        """Requests committed by this process."""
        self._writing = threading.Lock()
        self._searched: int | None = None
        self._drained = time.time()
        self._reached = 0.0
        self.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _take_lock(self.root)
        self._connection = open_database(self.root / "nilometer.db")
        self._check_keys()
        self.slicing.load(self._connection)

    def close(self) -> None:
        """Let go of the folder."""
        self._connection.close()
        os.close(self._lock)

    def reader(self) -> sqlite3.Connection:
        """Open a connection that only reads, for another thread."""
        return sqlite3.connect(f"file:{self.root / 'nilometer.db'}?mode=ro", uri=True, check_same_thread=False)

    def step(self, *, now: float | None = None) -> int:
        """Do everything that waits; how many requests were committed."""
        now = time.time() if now is None else now
        try:
            with self._writing:
                n = self._ingest()
                self._join_labels()
                self._score_parts()
                self._tend(now)
            self.problems.pop("write", None)
        except (OSError, sqlite3.OperationalError) as exc:
            self.problems["write"] = f"{self.root}: cannot be written ({exc}); the spool keeps what comes."
            return 0
        self.n_committed += n
        self._drained = self._drained if n else time.time()
        return n

    def compact(self, *, now: float | None = None) -> int:
        """Put the small files of every hour that is over together; how many files were written."""
        now = time.time() if now is None else now
        with self._writing:
            n = 0
            while compact_hour(self._connection, self.root, before=int(now // _HOUR) - 1):
                n += 1
            purge(self._connection, self.root, now=now)
        return n

    def forget(self, user: str, *, key: str = "user", who: str = "unknown") -> Forgotten:
        """Delete the profiles and texts of the responses whose attribute ``key`` is ``user``; sums stay.

        What waits in the spool is committed first, and the committed part of spool files that captures still write is
        overwritten. Labels stay without naming the trace or the user.

        Raises
        ------
        TraceFormatError
            If a file of the store is missing or damaged.
        """
        self.step()
        with self._writing:
            found = forget_rows(self._connection, self.root, key=key, user=user)
            scrub_spools(self._connection, self.spool)
            with transaction(self._connection) as connection:
                self.log(connection, who=who, act="forget", detail=f"{found.n_responses} responses by {key}")
        return found

    def add_labels(self, labels: Sequence[LabelIn], *, who: str) -> int:
        """Append labels; how many were new. They are on disk when this returns and joined by the next step."""
        with self._writing, transaction(self._connection) as connection:
            n = add_labels(connection, labels, who=who)
            self.log(connection, who=who, act="labels", detail=f"{n} new of {len(labels)}")
            return n

    def use_sentinel(self, sentinel: Sentinel) -> None:
        """Estimate by another sentinel from now on; the one before stays until that one has scored what is stored."""
        with self._writing:
            self.previous, self.sentinel = self.sentinel, sentinel

    def note_fitted(self, seconds: float) -> None:
        """Keep when the sentinel was fitted, in seconds since 1970, for those who watch its age."""
        with self._writing:
            self._connection.execute("REPLACE INTO meta VALUES ('sentinel_fitted', ?)", (str(seconds),))

    def log(self, connection: sqlite3.Connection, *, who: str, act: str, detail: str) -> None:
        """Write down who did what, inside a transaction."""
        row = (time.time_ns() // 1000, who, act, detail)
        connection.execute("INSERT INTO audit (time, who, act, detail) VALUES (?,?,?,?)", row)

    def estimates(
        self,
        slice_key: str = ALL,
        *,
        first_hour: int,
        last_hour: int,
        name: str | None = None,
        reader: sqlite3.Connection | None = None,
        sentinel: Sentinel | None = None,
    ) -> list[SliceRow]:
        """Estimate every slice, or one, of every model over some hours since 1970; nothing without a sentinel.

        ``sentinel`` may be ``previous`` while the one in use scores what is stored.
        """
        sentinel = self.sentinel if sentinel is None else sentinel
        if sentinel is None:
            return []
        connection = self._connection if reader is None else reader
        return estimate_hours(connection, sentinel, slice_key, hours=(first_hour, last_hour), name=name)

    def rescoring(self, reader: sqlite3.Connection | None = None) -> tuple[int, int]:
        """Responses that the sentinel in use has scored, and all that are stored."""
        connection = self._connection if reader is None else reader
        key = "" if self.sentinel is None else self.sentinel.zero().key
        query = "SELECT coalesce(sum(n), 0), coalesce(sum(n * (file IN (SELECT file FROM scored WHERE sentinel=?))), 0)"
        n, done = connection.execute(f"{query} FROM parts", (key,)).fetchone()
        return done, n

    def _check_keys(self) -> None:
        given = "\n".join(self.slicing.keys)
        kept = self._connection.execute("SELECT value FROM meta WHERE name='slice_keys'").fetchone()
        if kept is None:
            self._connection.execute("INSERT INTO meta VALUES ('slice_keys', ?)", (given,))
        elif kept[0] != given:
            self.close()
            raise ConfigError(
                f"slice keys must be {kept[0].split() or 'none'} as when {self.root} was made, "
                f"got {list(self.slicing.keys)}. Use the same, or another folder."
            )

    def _ingest(self) -> int:
        offsets = dict(self._connection.execute("SELECT file, offset FROM spools"))
        total = 0
        try:
            for chunk in read_chunks(self.spool, offsets):
                total += self._commit(chunk)
                self._reached = max(self._reached, *(frame.time / 1e6 for frame in chunk.frames), 0.0)
                if chunk.is_last:
                    remove_spool(self.spool, chunk.spool)
            self.problems.pop("spool", None)
        except TraceFormatError as exc:
            self.problems["spool"] = str(exc)
        gone = [(file,) for file in offsets if not (self.spool / file).exists()]
        self._connection.executemany("DELETE FROM spools WHERE file=?", gone)
        return total

    def _commit(self, chunk: Chunk) -> int:
        return commit_chunk(
            self._connection,
            self.root,
            chunk,
            slicing=self.slicing,
            sentinel=self.sentinel,
            redact=self._redact,
        )

    def text_of(self, trace_id: str, reader: sqlite3.Connection) -> Text | None:
        """Redacted prompt and answer of a trace; None if they were not kept."""
        return find_text(reader, self.root, trace_id)

    def _join_labels(self) -> None:
        """Search the stored profiles once for every label that came since the last search."""
        (last,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM labels").fetchone()
        if last != self._searched:
            with transaction(self._connection) as connection:
                join_with_parts(connection, self.root)
            self._searched = last

    def _score_parts(self) -> None:
        """Score some stored profiles that the sentinel has not seen, and new ones by the previous one until it has."""
        if self.sentinel is None:
            return
        if not self._score_some(self.sentinel):
            self.previous = None
        if self.previous is not None:
            self._score_some(self.previous)

    def _score_some(self, sentinel: Sentinel) -> int:
        key = sentinel.zero().key
        waiting = self._connection.execute(
            "SELECT file FROM parts WHERE file NOT IN (SELECT file FROM scored WHERE sentinel=?) "
            "ORDER BY hour DESC LIMIT ?",
            (key, _MOST_PARTS),
        ).fetchall()
        for (file,) in waiting:
            table = pq.read_table(self.root / file, partitioning=None)
            hours = table["time"].cast("int64").to_numpy() // _HOUR_US
            scored = score_table(table, self.slicing.names(table), np.asarray(hours), by=sentinel)
            with transaction(self._connection) as connection:
                add_sums(connection, key, scored.sums)
                add_refusals(connection, key, scored.refusals)
                connection.execute("REPLACE INTO scored VALUES (?,?)", (key, file))
        return len(waiting)

    def _tend(self, now: float) -> None:
        """Put one hour's small files together, and every minute drop what is too old."""
        try:
            compact_hour(self._connection, self.root, before=int(now // _HOUR) - 1)
            self.problems.pop("files", None)
        except TraceFormatError as exc:
            self.problems["files"] = str(exc)
        if now - self._tended > _TEND_EVERY:
            self._tended = now
            expire(self._connection, self._retention, hour=int(now // _HOUR))
            purge(self._connection, self.root, now=now)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection that writes, which no other thread uses meanwhile."""
        with self._writing:
            yield self._connection

    def waiting_bytes(self, reader: sqlite3.Connection | None = None) -> int:
        """Bytes of the spool that are not committed."""
        connection = self._connection if reader is None else reader
        offsets = dict(connection.execute("SELECT file, offset FROM spools"))
        sizes = {path.name: path.stat().st_size for path in self.spool.glob("*.spool") if path.exists()}
        return sum(max(size - offsets.get(name, HEAD_BYTES), 0) for name, size in sizes.items())

    def _lag(self) -> float:
        """Seconds since nothing waited, or since the newest committed request came, whichever is shorter."""
        return max(time.time() - max(self._drained, self._reached), 0.0)

    def health(self, reader: sqlite3.Connection | None = None) -> dict[str, Any]:
        """State of the store as plain values: problems, lag, what waits."""
        connection = self._connection if reader is None else reader
        waiting_bytes = self.waiting_bytes(connection)
        scored, stored = self.rescoring(connection)
        sizes = [path.stat().st_size for path in self.spool.glob("*.spool") if path.exists()]
        query = "SELECT coalesce(sum(value), 0) FROM meta WHERE name = 'damaged_frames'"
        (damaged,) = connection.execute(query).fetchone()
        (n_labels, waiting) = connection.execute("SELECT count(*), count(*) - count(hour) FROM labels").fetchone()
        return {
            "problems": dict(self.problems),
            "spool_bytes": sum(sizes),
            "spool_bytes_waiting": waiting_bytes,
            "lag_seconds": self._lag() if waiting_bytes else 0.0,
            "damaged_frames": int(damaged),
            "labels": n_labels,
            "labels_waiting_for_their_trace": waiting,
            "requests_committed": self.n_committed,
            "responses_scored": scored,
            "responses_stored": stored,
        }


def kept_keys(database: Path) -> tuple[str, ...]:
    """Slice keys that a store was made with."""
    with closing(open_database(database)) as connection:
        kept = connection.execute("SELECT value FROM meta WHERE name='slice_keys'").fetchone()
    return tuple(kept[0].split("\n")) if kept is not None and kept[0] else ()


def _take_lock(root: Path) -> int:
    fd = os.open(root / "nilometer.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(fd)
        raise ConfigError(
            f"{root}: another `nilometer serve` has this folder. Stop it, or use another folder."
        ) from exc
    return fd
