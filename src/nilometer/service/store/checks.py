"""Whether the files of a store are those of its manifest."""

import hashlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

__all__ = ["StoreCheck", "check_store"]


class StoreCheck(NamedTuple):
    """What a check found."""

    n_files: int
    n_responses: int
    n_bytes: int
    damaged: tuple[str, ...]
    """Files of the manifest that are missing or have another content."""
    unknown: tuple[str, ...]
    """Files that no commit names; a crash leaves them, the next replay of the spool replaces them."""


def check_store(connection: sqlite3.Connection, root: Path) -> StoreCheck:
    """Read every file of profiles and compare it with its SHA-256 in the manifest."""
    query = "SELECT file, n, bytes, sha256 FROM parts UNION ALL SELECT file, 0, bytes, sha256 FROM texts ORDER BY file"
    parts = connection.execute(query).fetchall()
    damaged = [line for file, _, _, digest in parts if (line := _damage(root / file, file, digest))]
    known = {file for file, *_ in parts}
    written = [path for kind in ("profiles", "texts") for path in (root / kind).rglob("*.*")]
    present = {str(path.relative_to(root)) for path in written if path.is_file()}
    unknown = tuple(f"{file}: not in the manifest." for file in sorted(present - known))
    n_responses, n_bytes = sum(part[1] for part in parts), sum(part[2] for part in parts)
    return StoreCheck(len(parts), n_responses, n_bytes, tuple(damaged), unknown)


def _damage(path: Path, file: str, digest: str) -> str:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return f"{file}: missing."
    return "" if found == digest else f"{file}: not the content that was committed."
