"""``nilometer status``: whether an alert is open."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from nilometer.errors import ConfigError

from .common import JsonOption, write_json

__all__ = ["status"]

ALERT = 3


def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the store.")],
    as_json: JsonOption = False,
) -> None:
    """Print the open alerts of a store. Exits 3 if there is one. Works with and without a running server."""
    from nilometer.service import open_alerts

    path = folder / "nilometer.db"
    if not path.exists():
        raise ConfigError(f"{folder}: there is no store. Make one with `nilometer serve {folder}`.")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        alerts = open_alerts(connection)
    if as_json:
        write_json({"alerts": [one._asdict() for one in alerts]})
    else:
        typer.echo("\n".join(f"{one.kind}  {one.text}" for one in alerts) or "No alert is open.")
    if alerts:
        raise typer.Exit(ALERT)
