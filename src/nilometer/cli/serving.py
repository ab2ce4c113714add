"""Running an ASGI application until it is interrupted, and the sentinel of a store's folder."""

import shutil
from pathlib import Path
from typing import Any

from nilometer.errors import ConfigError

__all__ = ["PREVIOUS", "SENTINEL", "keep_sentinel", "run_app"]

SENTINEL = "sentinel.parquet"
PREVIOUS = "sentinel-previous.parquet"
"""The sentinel before, whose estimates are shown until the new one has scored what is stored."""


def keep_sentinel(folder: Path, given: Path) -> None:
    """Copy a sentinel into a store's folder; the one that it replaces becomes the previous one."""
    kept = folder / SENTINEL
    if given.resolve() == kept.resolve():
        return
    if kept.exists() and kept.read_bytes() != given.read_bytes():
        kept.replace(folder / PREVIOUS)
    aside = folder / f"{SENTINEL}.part"
    shutil.copyfile(given, aside)
    shutil.copystat(given, aside)
    aside.replace(kept)


def run_app(app: Any, *, host: str, port: int) -> None:
    """Serve until interrupted.

    Raises
    ------
    ConfigError
        If the extra is missing.
    """
    try:
        import uvicorn
    except ImportError as exc:
        raise ConfigError("serving needs more packages. Install `nilometer[serve]`.") from exc
    uvicorn.run(app, host=host, port=port, log_level="info", access_log=False, server_header=False, date_header=False)
