"""``nilometer store``: tokens, checks and upkeep of a store."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nilometer.errors import ConfigError

from .common import EXIT_FOUND, JsonOption, progress, talk, write_json
from .outputs import ForceOption, check_outputs

if TYPE_CHECKING:
    from nilometer.service import Store

__all__ = ["store"]

store = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Look after a store.")

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the store.")]
DAMAGED = 3


@store.command("token")
def _token(
    folder: FolderArgument,
    role: Annotated[str, typer.Option(help="ask (a gateway), ingest, read, label, metrics or admin.")] = "read",
    name: Annotated[str, typer.Option(help="Who has it; named in the log of acts.")] = "unnamed",
    days: Annotated[float | None, typer.Option(help="Days after which it expires; never without it.")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Make it only if there is none, and the store if it is not there.")
    ] = False,
) -> None:
    """Make a token and print it once; only its hash is kept. Works while the server runs."""
    from nilometer.service import make_token, open_database

    if once:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(open_database(folder / "nilometer.db" if once else _database(folder))) as connection:
        if once and connection.execute("SELECT count(*) FROM tokens").fetchone()[0]:
            talk("There is a token already.")
            return
        typer.echo(make_token(connection, role=role, name=name, days=days))
    talk(f"Send it as `Authorization: Bearer TOKEN`. It may do what {role} may, and is not shown again.")


@store.command("revoke")
def _revoke(
    folder: FolderArgument, name: Annotated[str, typer.Option(help="Whose tokens; as given when they were made.")]
) -> None:
    """Take back every token of a name, and the sessions that began with them. Works while the server runs."""
    from nilometer.service import open_database, revoke_tokens

    with closing(open_database(_database(folder))) as connection:
        n = revoke_tokens(connection, name)
    if not n:
        raise ConfigError(f"there is no token of {name!r}. The page Log of the console lists them.")
    talk(f"{n} taken back.")


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


@store.command("compact")
def _compact(folder: FolderArgument) -> None:
    """Put the small files of every hour that is over together. A running server does so by itself."""
    with closing(_open(folder)) as opened:
        n = opened.compact()
    talk(f"{n:,} files were written." if n else "There was nothing to put together.")


@store.command("rescore")
def _rescore(
    folder: FolderArgument,
    sentinel: Annotated[Path, typer.Option(metavar="FILE", help="Made by `nilometer fit`; the store's from now on.")],
    as_json: JsonOption = False,
) -> None:
    """Score every stored profile with another sentinel, while no server runs; a server given it does so by itself."""
    from nilometer.estimators import load_sentinel
    from nilometer.service import keep_sentinel

    loaded = load_sentinel(sentinel)
    with closing(_open(folder, loaded)) as opened:
        done, total = _score_all(opened)
    keep_sentinel(folder, sentinel)
    if as_json:
        write_json({"scored": done, "stored": total})
    else:
        talk(f"{done:,} of {total:,} responses are scored by {sentinel}.")


def _score_all(opened: "Store") -> tuple[int, int]:
    """Score until all are scored; how many, and how many there are."""
    done, total = opened.rescoring()
    with progress("Scoring", total=lambda: total) as advance:
        advance(done)
        while done < total:
            opened.step()
            before, (done, total) = done, opened.rescoring()
            if done == before and opened.problems:
                raise ConfigError("; ".join(f"{part}: {text}" for part, text in opened.problems.items()))
            advance(done - before)
    return done, total


@store.command("refit")
def _refit(
    folder: FolderArgument,
    force: Annotated[bool, typer.Option("--force", help="Replace the sentinel even by a worse one.")] = False,
    all_labels: Annotated[
        bool, typer.Option("--all-labels", help="Use labels of other origin too, such as thumbs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit the sentinel again on the labels in the store, and use it if it errs no more than the one before.

    A running server is asked to do it, and logs what came of it. Exits 3 if the one before stays.
    """
    from nilometer.estimators import load_sentinel
    from nilometer.service import SENTINEL, open_database, refit

    kept = folder / SENTINEL
    try:
        opened = _open(folder, load_sentinel(kept) if kept.exists() else None)
    except ConfigError:
        with closing(open_database(_database(folder))) as connection:
            connection.execute("REPLACE INTO meta VALUES ('refit_asked', ?)", ("force" if force else "yes",))
        talk("A server has this folder; it fits again in some seconds and says in its log what came of it.")
        return
    with closing(opened):
        opened.step()
        found = refit(opened, random_only=not all_labels, force=force)
    if as_json:
        write_json(found._asdict())
    else:
        typer.echo(f"{found.n_labels:,} labels: {'replaced' if found.is_replaced else 'not replaced'}; {found.reason}.")
    if not found.is_replaced:
        raise typer.Exit(EXIT_FOUND)


@store.command("export")
def _export(
    folder: FolderArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Parquet for profiles, CSV for estimates and labels.")],
    what: Annotated[str, typer.Option(help="profiles, estimates or labels.")] = "profiles",
    by: Annotated[str, typer.Option("--by", help="Slice key of the estimates.")] = "all",
    hours: Annotated[int, typer.Option(min=1, help="How many hours up to now.")] = 24 * 365 * 10,
    force: ForceOption = False,
) -> None:
    """Write what a store knows to a file. Works while the server runs."""
    import sqlite3
    import time

    from nilometer.service import export_labels, export_profiles

    if what not in _EXPORTS:
        raise ConfigError(f"`--what` must be profiles, estimates or labels, got {what!r}.")
    now = int(time.time() // 3600)
    path = _database(folder).resolve()
    in_store = [out] if out.resolve().is_relative_to(path.parent) else []
    check_outputs({what: out}, in_store, force=force)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        if what == "profiles":
            n = export_profiles(connection, folder, out, hours=(now - hours + 1, now))
        elif what == "labels":
            n = export_labels(connection, out)
        else:
            n = _export_estimates(connection, folder, out, key=by, hours=(now - hours + 1, now))
    talk(f"{n:,} rows are in {out}." if n else "There is nothing to export.")


_EXPORTS = ("profiles", "estimates", "labels")


def _export_estimates(connection: Any, folder: Path, out: Path, *, key: str, hours: tuple[int, int]) -> int:
    from nilometer.estimators import load_sentinel
    from nilometer.service import SENTINEL, estimate_hours, export_estimates

    sentinel = load_sentinel(folder / SENTINEL)
    known = connection.execute("SELECT DISTINCT hour FROM sums WHERE hour BETWEEN ? AND ? ORDER BY hour", hours)
    rows = (
        row for (hour,) in known.fetchall() for row in estimate_hours(connection, sentinel, key, hours=(hour, hour))
    )
    return export_estimates(rows, out)


def _open(folder: Path, sentinel: Any = None) -> "Store":
    """Open a store with the slice keys that it was made with."""
    from nilometer.service import Store, kept_keys

    return Store(folder, keys=kept_keys(_database(folder)), sentinel=sentinel)


def _database(folder: Path) -> Path:
    path = folder / "nilometer.db"
    if not path.exists():
        raise ConfigError(f"{folder}: there is no store. Make one with `nilometer serve {folder}`.")
    return path
