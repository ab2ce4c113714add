"""``nilometer serve``: the store of one folder, its estimates and metrics."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .common import BelowOption, ByOption, FailUnderOption, HostOption, LeastChangeOption, split_keys, talk

if TYPE_CHECKING:
    from nilometer.service import AlertOptions, CanaryWatch, Channel, EvaluationExporter, Store

__all__ = ["serve"]


def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the store; its spool is DIR/spool.")],
    sentinel: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Made by `nilometer fit`; kept in DIR for the next start.")
    ] = None,
    by: ByOption = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8200,
    redact: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Redacts texts behind the built-in patterns.")
    ] = None,
    alert: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANNEL", help="slack:URL, json:URL or smtp://HOST?from=A&to=B; also NILOMETER_ALERTS."),
    ] = None,
    false_alarms: Annotated[float, typer.Option(help="False alarms expected in 30 days while nothing changes.")] = 0.1,
    least_change: LeastChangeOption = 0.02,
    fail_under: FailUnderOption = None,
    below: BelowOption = None,
    refit_days: Annotated[
        float | None, typer.Option(min=0.01, help="Fit again on the labels in the store every so many days.")
    ] = None,
    canary: Annotated[
        Path | None,
        typer.Option(metavar="CANARY.json", help="Of `nilometer canary record`; alerts if the model changed."),
    ] = None,
    canary_model: Annotated[
        str | None, typer.Option(metavar="openai:URL", help="The model to ask, which the capture stands before.")
    ] = None,
    canary_hours: Annotated[float, typer.Option(min=0.1, help="Hours between two rounds of the canary.")] = 24.0,
    otlp: Annotated[
        str | None, typer.Option(metavar="URL", help="OTLP endpoint that gets the estimates of every hour as events.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate, to serve https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    trusted_proxy: Annotated[
        str | None,
        typer.Option(metavar="NETWORK", help="A reverse proxy there says who asks; secret in NILOMETER_PROXY_SECRET."),
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
    """Store what captures write to DIR/spool, and serve the console, estimates, metrics and labels.

    Open the address in a browser. For programs: /openapi.json, /metrics, /healthz; POST /v1/labels and /v1/traces.
    """
    import os

    from nilometer import service
    from nilometer.errors import ConfigError
    from nilometer.estimators import load_sentinel

    channels = [service.read_channel(one) for one in (*(alert or ()), *os.environ.get("NILOMETER_ALERTS", "").split())]
    most_bytes = None if keep_gb is None else int(keep_gb * 1e9)
    try:
        least = below if fail_under is None else fail_under
        options = service.AlertOptions(per_month=false_alarms, least_change=least_change, least_accuracy=least)
        retention = service.Retention(
            profile_days=keep_days, text_days=keep_text_days, sum_days=keep_sum_days, most_bytes=most_bytes
        )
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc
    kept = folder / service.SENTINEL
    before = folder / service.PREVIOUS if sentinel is None else kept
    with closing(
        service.Store(
            folder,
            keys=split_keys(by),
            sentinel=load_sentinel(sentinel or kept) if sentinel or kept.exists() else None,
            previous=load_sentinel(before) if before.exists() else None,
            redact=service.load_redaction(redact),
            retention=retention,
        )
    ) as store:
        if sentinel is not None:
            service.keep_sentinel(folder, sentinel)
        if store.sentinel is not None:
            store.note_fitted(kept.stat().st_mtime)
        else:
            talk("There is no sentinel yet, so nothing is estimated. Make one with `nilometer fit`.")
        watch = _canary_watch(store, canary, canary_model, hours=canary_hours, per_month=false_alarms)
        chores = [service.Refitter(store, every_days=refit_days), *watch, *_exporter(store, otlp)]
        door = _Door(host, port, (tls_cert, tls_key), trusted_proxy)
        _run(store, door, options=options, channels=channels, chores=chores)


def _canary_watch(
    store: "Store", file: Path | None, model: str | None, *, hours: float, per_month: float
) -> "list[CanaryWatch]":
    if file is None:
        return []
    from nilometer.errors import ConfigError
    from nilometer.models import ask_canary, read_canary
    from nilometer.service import CanaryWatch

    from .runners import open_runner

    if model is None:
        raise ConfigError("`--canary` needs `--canary-model openai:URL`, the model to ask.")
    canary = read_canary(file)
    runner = open_runner(model, name=canary.model)
    repeats = max(map(len, canary.logprobs.values())) // len(canary.asked)

    def ask() -> Any:
        return ask_canary(runner, prompts=tuple(canary.logprobs), repeats=repeats, k=canary.k)

    return [CanaryWatch(store, canary, ask, every_hours=hours, per_month=per_month)]


def _exporter(store: "Store", endpoint: str | None) -> "list[EvaluationExporter]":
    import os

    from nilometer.service import EvaluationExporter, read_headers

    headers = read_headers(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
    return [EvaluationExporter(store, endpoint, headers=headers)] if endpoint else []


class _Door(NamedTuple):
    """Where the server listens, and whom it believes."""

    host: str
    port: int
    tls: tuple[Path | None, Path | None]
    trusted_proxy: str | None


def _run(store: "Store", door: _Door, *, options: "AlertOptions", channels: "list[Channel]", chores: list[Any]) -> None:
    import os

    from nilometer.errors import ConfigError
    from nilometer.service import Access, Proxy, Worker, serve_app

    from .serving import run_app

    try:
        secret = os.environ.get("NILOMETER_PROXY_SECRET", "")
        proxy = None if door.trusted_proxy is None else Proxy.of(door.trusted_proxy, secret)
        access = Access(store.reader(), host=door.host, proxy=proxy)
    except ConfigError as exc:
        raise ConfigError(str(exc).replace("DIR", str(store.root))) from exc
    scheme = "https" if all(door.tls) else "http"
    talk(f"{scheme}://{door.host}:{door.port} serves {store.root}; captures write to {store.spool}.")
    worker = Worker(store, options=options, channels=channels, chores=chores)
    app = serve_app(store, access, worker, target=options.least_accuracy)
    run_app(app, host=door.host, port=door.port, tls=door.tls)
