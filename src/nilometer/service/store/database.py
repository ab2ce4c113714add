"""The SQLite file of a store: what is committed, hourly sums, labels, alerts and the log of who did what."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nilometer.errors import TraceFormatError

__all__ = ["DATABASE_VERSION", "open_database", "transaction"]

_FIRST = """
CREATE TABLE tokens (
    sha256 TEXT PRIMARY KEY, role TEXT NOT NULL, name TEXT NOT NULL, made INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE spools (
    file TEXT PRIMARY KEY, offset INTEGER NOT NULL, is_done INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE parts (
    file TEXT PRIMARY KEY, hour INTEGER NOT NULL, n INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    spool TEXT NOT NULL, begins INTEGER NOT NULL, ends INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX parts_by_hour ON parts (hour);
CREATE TABLE texts (
    file TEXT PRIMARY KEY, hour INTEGER NOT NULL, n INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    spool TEXT NOT NULL, begins INTEGER NOT NULL, ends INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE requests (
    hour INTEGER, model TEXT, slice_key TEXT, slice TEXT, outcome TEXT, n INTEGER NOT NULL,
    PRIMARY KEY (slice_key, slice, hour, model, outcome)
) WITHOUT ROWID;
CREATE TABLE sums (
    sentinel TEXT, slice_key TEXT, hour INTEGER, slice TEXT, model TEXT, fingerprint TEXT, k INTEGER, mode TEXT,
    sums BLOB NOT NULL,
    PRIMARY KEY (sentinel, slice_key, hour, slice, model, fingerprint, k, mode)
) WITHOUT ROWID;
CREATE TABLE moments (
    sentinel TEXT, slice_key TEXT, slice TEXT, model TEXT, hour INTEGER, n REAL NOT NULL, p REAL NOT NULL,
    p2 REAL NOT NULL, PRIMARY KEY (sentinel, slice_key, slice, model, hour)
) WITHOUT ROWID;
CREATE INDEX moments_by_hour ON moments (sentinel, hour);
CREATE TABLE deliveries (
    alert INTEGER, event TEXT, channel TEXT, tries INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL,
    PRIMARY KEY (alert, event, channel)
) WITHOUT ROWID;
CREATE TABLE scored (
    sentinel TEXT, file TEXT, PRIMARY KEY (sentinel, file)
) WITHOUT ROWID;
CREATE TABLE refusals (
    sentinel TEXT, model TEXT, k INTEGER, mode TEXT, reason TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (sentinel, model, k, mode)
) WITHOUT ROWID;
CREATE TABLE captures (process TEXT PRIMARY KEY, time INTEGER NOT NULL, counts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE labels (
    id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, correct REAL NOT NULL, source TEXT NOT NULL,
    time INTEGER NOT NULL, who TEXT NOT NULL, is_random INTEGER NOT NULL DEFAULT 0, key TEXT UNIQUE,
    hour INTEGER, model TEXT, attributes TEXT, p_correct REAL, capture_probability REAL
);
CREATE INDEX labels_by_trace ON labels (trace_id);
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, slice_key TEXT NOT NULL, slice TEXT NOT NULL, model TEXT NOT NULL,
    opened INTEGER NOT NULL, closed INTEGER, p_value REAL NOT NULL, text TEXT NOT NULL,
    calm INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, act TEXT NOT NULL, detail TEXT NOT NULL
);
"""

_SECOND = """
ALTER TABLE moments ADD COLUMN w2 REAL NOT NULL DEFAULT 0;
UPDATE moments SET w2 = n;
CREATE TABLE names (
    slice_key TEXT, slice TEXT, n REAL NOT NULL, is_admitted INTEGER NOT NULL, PRIMARY KEY (slice_key, slice)
) WITHOUT ROWID;
INSERT INTO names SELECT slice_key, slice, sum(n), 1 FROM requests
    WHERE slice_key <> 'all' AND slice NOT IN ('(none)', '(other)') GROUP BY slice_key, slice;
CREATE TABLE removals (file TEXT PRIMARY KEY, time INTEGER NOT NULL) WITHOUT ROWID;
"""

_THIRD = """
ALTER TABLE tokens ADD COLUMN expires INTEGER;
CREATE TABLE sessions (
    sha256 TEXT PRIMARY KEY, token TEXT NOT NULL, made INTEGER NOT NULL, expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE acknowledgements (
    id INTEGER PRIMARY KEY, alert INTEGER NOT NULL, time INTEGER NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL
);
CREATE INDEX acknowledgements_by_alert ON acknowledgements (alert);
CREATE TABLE plans (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, made INTEGER NOT NULL, who TEXT NOT NULL,
    slice_key TEXT NOT NULL, seed INTEGER NOT NULL, double_share REAL NOT NULL, frame TEXT NOT NULL
);
CREATE TABLE plan_items (
    plan INTEGER, place INTEGER, trace_id TEXT NOT NULL, planned TEXT NOT NULL, is_double INTEGER NOT NULL,
    prompt TEXT, answer TEXT, reference TEXT, PRIMARY KEY (plan, place), UNIQUE (plan, trace_id)
) WITHOUT ROWID;
CREATE TABLE label_events (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, plan INTEGER NOT NULL, trace_id TEXT NOT NULL,
    act TEXT NOT NULL, before REAL, after REAL, reason TEXT NOT NULL, note TEXT NOT NULL, milliseconds INTEGER
);
CREATE INDEX label_events_by_plan ON label_events (plan, trace_id);
ALTER TABLE labels ADD COLUMN columns TEXT;
CREATE INDEX labels_by_hour ON labels (hour);
CREATE INDEX scored_by_file ON scored (file);
CREATE INDEX requests_by_hour ON requests (slice_key, hour);
CREATE INDEX moments_by_key ON moments (sentinel, slice_key, hour);
"""

_MIGRATIONS = (_FIRST, _SECOND, _THIRD)
"""Scripts that lead from one version to the next, in order; one that was released is never changed."""
DATABASE_VERSION = len(_MIGRATIONS)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file, made when it is not there and brought to this version; every commit is on disk when it returns.

    Raises
    ------
    TraceFormatError
        If the file is no store, or one of a newer version.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    try:
        version = _prepare(connection)
    except sqlite3.OperationalError:
        connection.close()
        raise
    except sqlite3.DatabaseError as exc:
        connection.close()
        raise TraceFormatError(f"{path}: not a store of nilometer ({exc}).") from exc
    if version != DATABASE_VERSION:
        connection.close()
        raise TraceFormatError(
            f"{path}: store version must be {DATABASE_VERSION}, got {version}. Update nilometer to read it."
        )
    return connection


def _prepare(connection: sqlite3.Connection) -> int:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if _version(connection) < DATABASE_VERSION:
        with transaction(connection):
            for statement in ";".join(_MIGRATIONS[_version(connection) :]).split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {DATABASE_VERSION}")
    return _version(connection)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit everything inside together, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
