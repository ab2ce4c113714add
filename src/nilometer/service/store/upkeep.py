"""Looking after stored files: small ones become one, old ones go, and users are forgotten; a crash undoes nothing."""

import hashlib
import io
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nilometer.errors import TraceFormatError

from ..capture import HEAD_BYTES
from .database import transaction
from .parts import Part, write_part

__all__ = [
    "Forgotten",
    "Retention",
    "compact_hour",
    "expire",
    "forget_rows",
    "purge",
    "read_part",
    "replace_parts",
    "scrub_spools",
]

Kind = Literal["parts", "texts"]
_FOLDERS: dict[Kind, str] = {"parts": "profiles", "texts": "texts"}
_KINDS: tuple[Kind, ...] = ("parts", "texts")
_SMALL_BYTES = 32 << 20
"""Files below are put together, up to twice as much."""
_ZEROS = bytes(1 << 20)
_GRACE = 60
"""Seconds for which a file that was replaced stays, for readers that know it from the manifest before."""
_MOST_GROUPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long a store keeps what; None is forever. Labels and the moments that alerts compare are always kept."""

    profile_days: float | None = None
    """Profiles: what a new sentinel scores again, and what drill-downs and exports read."""
    text_days: float | None = None
    """Prompts and answers; None keeps them as long as profiles."""
    sum_days: float | None = None
    """Hourly sums and counts: what estimates are made of."""
    most_bytes: int | None = None
    """Bytes of profiles and texts; beyond it the oldest hours go."""

    def __post_init__(self) -> None:
        for name in ("profile_days", "text_days", "sum_days", "most_bytes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"`{name}` must be > 0, got {value}.")


def read_part(root: Path, file: str, sha256: str) -> pa.Table:
    """Read a file of the manifest.

    Raises
    ------
    TraceFormatError
        If it is missing or has another content than was committed.
    """
    try:
        data = (root / file).read_bytes()
    except FileNotFoundError as exc:
        raise TraceFormatError(f"{file}: missing. Run `nilometer store check`.") from exc
    if hashlib.sha256(data).hexdigest() != sha256:
        raise TraceFormatError(f"{file}: not the content that was committed. Run `nilometer store check`.")
    return pq.read_table(io.BytesIO(data))


def replace_parts(connection: sqlite3.Connection, old: Sequence[str], new: Part | None, *, kind: Kind) -> None:
    """Put one file, or none, into the manifest in place of others, inside a transaction.

    The new one counts as scored by every sentinel that scored the first of the old ones.
    """
    now = int(time.time())
    if new is not None:
        connection.execute(f"INSERT INTO {kind} VALUES (?,?,?,?,?,'',0,0)", new)
        connection.execute(
            "INSERT INTO scored SELECT sentinel, ? FROM scored WHERE file=? AND ?='parts'", (new.file, old[0], kind)
        )
    for table in (kind, "scored"):
        connection.executemany(f"DELETE FROM {table} WHERE file=?", [(file,) for file in old])
    connection.executemany("REPLACE INTO removals VALUES (?,?)", [(file, now) for file in old])


def compact_hour(connection: sqlite3.Connection, root: Path, *, before: int) -> str:
    """Put the small files of one hour together, of the hours before the one given; what was written, empty if nothing.

    A crash before the commit leaves a file that the next try writes again under the same name.

    Raises
    ------
    TraceFormatError
        If a file is damaged; groups without it are put together first.
    """
    damage: TraceFormatError | None = None
    for kind in _KINDS:
        for hour, files in _groups(connection, kind, before=before):
            try:
                tables = [read_part(root, file, digest) for file, digest, _ in files]
            except TraceFormatError as exc:
                damage = exc
                continue
            names = [file for file, *_ in files]
            name = f"whole-{hashlib.blake2b(' '.join(names).encode(), digest_size=8).hexdigest()}-{hour}"
            table = pa.concat_tables(tables, promote_options="default")
            part = write_part(root, name, table, hour=hour, kind=_FOLDERS[kind])
            with transaction(connection):
                replace_parts(connection, names, part, kind=kind)
            return part.file
    if damage is not None:
        raise damage
    return ""


def _groups(connection: sqlite3.Connection, kind: Kind, *, before: int) -> list[tuple[int, list[tuple[str, str, int]]]]:
    """Small files, with digest and size, that belong together: of one hour, and scored by the same sentinels."""
    scored = "SELECT group_concat(sentinel) FROM (SELECT sentinel FROM scored s WHERE s.file = p.file ORDER BY 1)"
    rows = connection.execute(
        f"WITH small AS (SELECT hour, coalesce(({scored}), '') AS scorers, file, sha256, bytes FROM {kind} p "
        "WHERE bytes < ? AND hour < ?) SELECT * FROM small WHERE (hour, scorers) IN "
        "(SELECT hour, scorers FROM small GROUP BY 1, 2 HAVING count(*) > 1 LIMIT ?) ORDER BY hour, scorers, file",
        (_SMALL_BYTES, before, _MOST_GROUPS),
    )
    groups: dict[tuple[int, str], list[tuple[str, str, int]]] = {}
    for hour, scorers, *file in rows:
        groups.setdefault((hour, scorers), []).append((file[0], file[1], file[2]))
    found = []
    for (hour, _), files in groups.items():
        fits = sum(total < 2 * _SMALL_BYTES for total in accumulate(size for *_, size in files))
        found.append((hour, files[:fits]))
    return found


def expire(connection: sqlite3.Connection, retention: Retention, *, hour: int) -> int:
    """Take what is too old or too much out of the manifest and the sums; how many files."""
    texts = retention.profile_days if retention.text_days is None else retention.text_days
    n = 0
    with transaction(connection):
        for kind, days in (("parts", retention.profile_days), ("texts", texts)):
            n += 0 if days is None else _take_out(connection, kind, before=hour - round(24 * days))
        if texts is not None:
            connection.execute(
                "UPDATE plan_items SET prompt = NULL, answer = NULL, reference = NULL "
                "WHERE plan IN (SELECT id FROM plans WHERE made < ?) "
                "AND coalesce(prompt, answer, reference) IS NOT NULL",
                ((hour - round(24 * texts)) * 3_600_000_000,),
            )
        if retention.sum_days is not None:
            for table in ("sums", "requests"):
                connection.execute(f"DELETE FROM {table} WHERE hour < ?", (hour - round(24 * retention.sum_days),))
        if retention.most_bytes is not None:
            last = _last_beyond(connection, retention.most_bytes)
            n += sum(_take_out(connection, kind, before=last + 1) for kind in _KINDS) if last is not None else 0
    return n


def _take_out(connection: sqlite3.Connection, kind: str, *, before: int) -> int:
    files = [file for (file,) in connection.execute(f"SELECT file FROM {kind} WHERE hour < ?", (before,))]
    replace_parts(connection, files, None, kind="parts" if kind == "parts" else "texts")
    return len(files)


def _last_beyond(connection: sqlite3.Connection, most: int) -> int | None:
    """Newest hour whose files must go so that the others fit."""
    sizes = connection.execute(
        "SELECT hour, sum(bytes) FROM (SELECT hour, bytes FROM parts UNION ALL SELECT hour, bytes FROM texts) "
        "GROUP BY hour ORDER BY hour DESC"
    ).fetchall()
    totals = accumulate(size for _, size in sizes)
    return next((hour for (hour, _), total in zip(sizes, totals, strict=True) if total > most), None)


def purge(connection: sqlite3.Connection, root: Path, *, now: float, grace: float = _GRACE) -> int:
    """Delete files that left the manifest at least ``grace`` seconds ago; how many."""
    files = [file for (file,) in connection.execute("SELECT file FROM removals WHERE time <= ?", (now - grace,))]
    for file in files:
        path = root / file
        path.unlink(missing_ok=True)
        for folder in (path.parent, path.parent.parent):
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
    connection.executemany("DELETE FROM removals WHERE file=?", [(file,) for file in files])
    return len(files)


class Forgotten(NamedTuple):
    """What was deleted of one user."""

    n_responses: int
    n_texts: int
    n_labels: int
    """Labels that no longer name a trace of the user."""


def forget_rows(connection: sqlite3.Connection, root: Path, *, key: str, user: str) -> Forgotten:
    """Delete the profiles and texts of the responses whose attribute ``key`` is ``user``; a second time does nothing.

    A file is written anew without them, then the manifest names it in place of the old one, which is deleted at once.
    Hourly sums and counts stay; labels stay without the trace and the user that they belong to.

    Raises
    ------
    TraceFormatError
        If a file of the store is missing or damaged.
    """
    traces: set[str] = set()

    def is_theirs(table: pa.Table) -> pa.ChunkedArray:
        mask = pc.equal(pc.map_lookup(table["attributes"], key, "first").cast(pa.string()), user)
        traces.update(table.filter(mask)["trace_id"].to_pylist())
        return mask

    labels = _labels(connection, key=key, user=user)
    n_responses = _delete(connection, root, "parts", is_theirs=is_theirs)
    traces.update(name for name, _ in labels.values())
    names = pa.array(sorted(traces), pa.string())
    n_texts = _delete(connection, root, "texts", is_theirs=lambda table: pc.is_in(table["trace_id"], names))
    with transaction(connection):
        connection.executemany(
            "UPDATE labels SET trace_id = 'forgotten-' || id, key = 'forgotten-' || id, attributes = ? WHERE id=?",
            [(json.dumps(others), number) for number, (_, others) in labels.items()],
        )
        _forget_planned(connection, sorted(traces))
    purge(connection, root, now=float("inf"))
    return Forgotten(n_responses, n_texts, len(labels))


def _forget_planned(connection: sqlite3.Connection, traces: Sequence[str]) -> None:
    """Take the texts of traces out of plans of labels, and the notes on them; the chances of the plan stay."""
    rows = [(name,) for name in traces]
    connection.executemany(
        "UPDATE plan_items SET prompt = NULL, answer = NULL, reference = NULL WHERE trace_id=?", rows
    )
    connection.executemany("UPDATE label_events SET note = '' WHERE trace_id=?", rows)


def _labels(connection: sqlite3.Connection, *, key: str, user: str) -> dict[int, tuple[str, dict[str, Any]]]:
    """Labels of a user's traces by number: the trace, and its attributes without the user."""
    rows = connection.execute("SELECT id, trace_id, attributes FROM labels WHERE attributes IS NOT NULL")
    read = ((number, name, json.loads(attributes)) for number, name, attributes in rows)
    return {number: (name, own) for number, name, own in read if own.get(key) == user and own.pop(key)}


def _delete(
    connection: sqlite3.Connection, root: Path, kind: Kind, *, is_theirs: Callable[[pa.Table], pa.ChunkedArray]
) -> int:
    n = 0
    for file, hour, digest in connection.execute(f"SELECT file, hour, sha256 FROM {kind}").fetchall():
        table = read_part(root, file, digest)
        rest = table.filter(pc.invert(pc.fill_null(is_theirs(table), pa.scalar(value=False))))
        if rest.num_rows == table.num_rows:
            continue
        name = f"kept-{hashlib.blake2b(f'{file} {digest}'.encode(), digest_size=8).hexdigest()}-{hour}"
        new = write_part(root, name, rest, hour=hour, kind=_FOLDERS[kind]) if rest.num_rows else None
        with transaction(connection):
            replace_parts(connection, [file], new, kind=kind)
        n += table.num_rows - rest.num_rows
    return n


def scrub_spools(connection: sqlite3.Connection, folder: Path) -> None:
    """Overwrite what is committed in the spool files that captures still write: they hold the answers as served."""
    for name, offset in connection.execute("SELECT file, offset FROM spools").fetchall():
        if (folder / name).exists():
            _scrub(folder / name, offset)


def _scrub(path: Path, end: int) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        for start in range(HEAD_BYTES, end, len(_ZEROS)):
            os.pwrite(fd, _ZEROS[: end - start], start)
        os.fsync(fd)
    finally:
        os.close(fd)
