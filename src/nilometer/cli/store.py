"""``nilometer store``: tokens and checks of a store."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from nilometer.errors import ConfigError

from .common import JsonOption, talk, write_json

__all__ = ["store"]

store = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Look after a store.")

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the store.")]
DAMAGED = 3


@store.command("token")
def _token(
    folder: FolderArgument,
    role: Annotated[str, typer.Option(help="ingest, read, label or admin.")] = "read",
    name: Annotated[str, typer.Option(help="Who has it; named in the log of acts.")] = "unnamed",
) -> None:
    """Make a token and print it once; only its hash is kept. Works while the server runs."""
    from nilometer.service import make_token, open_database

    with closing(open_database(_database(folder))) as connection:
        typer.echo(make_token(connection, role=role, name=name))
    talk(f"Send it as `Authorization: Bearer TOKEN`. It may do what {role} may, and is not shown again.")


@store.command("check")
def _check(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Compare every file of profiles with the manifest. Exits 3 if one is missing or changed."""
    from nilometer.service import check_store, open_database

    with closing(open_database(_database(folder))) as connection:
        found = check_store(connection, folder)
    if as_json:
        write_json(found._asdict())
    else:
        typer.echo(f"{found.n_files:,} files with {found.n_responses:,} responses, {found.n_bytes:,} bytes")
        for line in (*found.damaged, *found.unknown):
            typer.echo(line)
    if found.damaged:
        raise typer.Exit(DAMAGED)


def _database(folder: Path) -> Path:
    path = folder / "nilometer.db"
    if not path.exists():
        raise ConfigError(f"{folder}: there is no store. Make one with `nilometer serve {folder}`.")
    return path
