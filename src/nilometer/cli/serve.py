"""``nilometer serve``: the store of one folder, its estimates and metrics."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from .common import ByOption, split_keys, talk

__all__ = ["serve"]


def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the store; its spool is DIR/spool.")],
    sentinel: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Made by `nilometer fit`; kept in DIR for the next start.")
    ] = None,
    by: ByOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8200,
    redact: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Redacts texts behind the built-in patterns.")
    ] = None,
    alert: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANNEL", help="slack:URL, json:URL or smtp://HOST?from=A&to=B; also NILOMETER_ALERTS."),
    ] = None,
    false_alarms: Annotated[float, typer.Option(help="False alarms expected in 30 days while nothing changes.")] = 0.1,
    least_change: Annotated[float, typer.Option(min=0, max=1, help="Smallest change worth an alert.")] = 0.02,
    below: Annotated[
        float | None, typer.Option(metavar="ACCURACY", help="Alert when random labels show an accuracy below.")
    ] = None,
) -> None:
    """Store what captures write to DIR/spool, and serve estimates per slice and hour, metrics and labels.

    GET /api/slices, /api/hours, /api/alerts, /api/health, /healthz and /metrics; POST /v1/labels.
    """
    import os

    from nilometer.errors import ConfigError
    from nilometer.estimators import load_sentinel
    from nilometer.service import Access, AlertOptions, Store, Worker, load_redaction, read_channel, serve_app

    from .serving import run_app

    channels = [read_channel(one) for one in (*(alert or ()), *os.environ.get("NILOMETER_ALERTS", "").split())]
    try:
        options = AlertOptions(per_month=false_alarms, least_change=least_change, least_accuracy=below)
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc
    kept = folder / "sentinel.parquet"
    fitted = load_sentinel(sentinel or kept) if sentinel or kept.exists() else None
    with closing(Store(folder, keys=split_keys(by), sentinel=fitted, redact=load_redaction(redact))) as store:
        if sentinel is not None and sentinel.resolve() != kept.resolve():
            shutil.copy2(sentinel, kept)
        if fitted is not None:
            store.note_fitted(kept.stat().st_mtime)
        try:
            access = Access(store.reader(), host=host)
        except ConfigError as exc:
            raise ConfigError(str(exc).replace("DIR", str(folder))) from exc
        talk(f"http://{host}:{port} serves {folder}; captures write to {store.spool}.")
        if fitted is None:
            talk("There is no sentinel yet, so nothing is estimated. Make one with `nilometer fit`.")
        worker = Worker(store, options=options, channels=channels)
        run_app(serve_app(store, access, worker), host=host, port=port)
