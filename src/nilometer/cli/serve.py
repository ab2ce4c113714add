"""``nilometer serve``: the store of one folder, its estimates and metrics."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import ByOption, split_keys, talk

if TYPE_CHECKING:
    from nilometer.service import AlertOptions, Channel, Store

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
    keep_days: Annotated[float | None, typer.Option(help="Days to keep profiles; forever without it.")] = None,
    keep_text_days: Annotated[
        float | None, typer.Option(help="Days to keep prompts and answers; as long as profiles without it.")
    ] = None,
    keep_sum_days: Annotated[
        float | None, typer.Option(help="Days to keep hourly sums, which estimates are made of; forever without it.")
    ] = None,
    keep_gb: Annotated[
        float | None, typer.Option(help="Gigabytes of profiles, prompts and answers to keep; the oldest hours go.")
    ] = None,
) -> None:
    """Store what captures write to DIR/spool, and serve estimates per slice and hour, metrics and labels.

    GET /api/slices, /api/hours, /api/alerts, /api/health, /healthz and /metrics; POST /v1/labels.
    """
    import os

    from nilometer.errors import ConfigError
    from nilometer.estimators import load_sentinel
    from nilometer.service import AlertOptions, Retention, Store, load_redaction, read_channel

    from .serving import PREVIOUS, SENTINEL, keep_sentinel

    channels = [read_channel(one) for one in (*(alert or ()), *os.environ.get("NILOMETER_ALERTS", "").split())]
    most_bytes = None if keep_gb is None else int(keep_gb * 1e9)
    try:
        options = AlertOptions(per_month=false_alarms, least_change=least_change, least_accuracy=below)
        retention = Retention(
            profile_days=keep_days, text_days=keep_text_days, sum_days=keep_sum_days, most_bytes=most_bytes
        )
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc
    kept = folder / SENTINEL
    before = folder / PREVIOUS if sentinel is None else kept
    with closing(
        Store(
            folder,
            keys=split_keys(by),
            sentinel=load_sentinel(sentinel or kept) if sentinel or kept.exists() else None,
            previous=load_sentinel(before) if before.exists() else None,
            redact=load_redaction(redact),
            retention=retention,
        )
    ) as store:
        if sentinel is not None:
            keep_sentinel(folder, sentinel)
        if store.sentinel is not None:
            store.note_fitted(kept.stat().st_mtime)
        else:
            talk("There is no sentinel yet, so nothing is estimated. Make one with `nilometer fit`.")
        _run(store, host, port, options=options, channels=channels)


def _run(store: "Store", host: str, port: int, *, options: "AlertOptions", channels: "list[Channel]") -> None:
    from nilometer.errors import ConfigError
    from nilometer.service import Access, Worker, serve_app

    from .serving import run_app

    try:
        access = Access(store.reader(), host=host)
    except ConfigError as exc:
        raise ConfigError(str(exc).replace("DIR", str(store.root))) from exc
    talk(f"http://{host}:{port} serves {store.root}; captures write to {store.spool}.")
    worker = Worker(store, options=options, channels=channels)
    run_app(serve_app(store, access, worker), host=host, port=port)
