"""``nilometer demo``: the whole live system on recorded traffic, with one command."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import talk

__all__ = ["demo"]

MODEL = "gemma3"


def demo(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder of the store; one that goes at the end without it.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Until it ends by itself.")] = 600.0,
    rate: Annotated[float, typer.Option(min=1, max=500, help="Requests a second.")] = 50.0,
    drift_after: Annotated[float, typer.Option(min=0, help="Seconds until the answers of one slice get worse.")] = 60.0,
    port: Annotated[int, typer.Option(min=0, max=65534, help="Of the store; the toy model has the next one.")] = 8200,
) -> None:
    """Start a toy model server with the capture, traffic for it, and a store; after a minute one slice gets worse.

    The server replays recorded answers of a real model. Ctrl-C ends it.
    """
    from nilometer.service import Access, Store, Traffic, Worker, run_demo, serve_app

    reference, replayed, sentinel = _corpus()
    slice_name = _best_slice(replayed)
    traffic = Traffic(replayed, rate, drift_after, slice_name, seconds)
    place = nullcontext(str(folder)) if folder else tempfile.TemporaryDirectory(prefix="nilometer-demo-")
    with place as root, closing(Store(root, keys=("domain",), sentinel=sentinel)) as store:
        access = Access(store.reader(), host="127.0.0.1")
        app = serve_app(store, access, Worker(store, pause=0.5))
        talk(f"The sentinel was fitted on {len(reference):,} labelled answers; others come now. Ctrl-C ends it.")
        with suppress(KeyboardInterrupt):
            n = asyncio.run(run_demo(traffic, store, app, port=port, tell=talk))
            talk(f"{n:,} requests were answered.")
        store.step()
        _show(store, drifted=slice_name)


def _corpus() -> tuple[Any, Any, Any]:
    """Labelled profiles to fit on, traces to replay, and a sentinel."""
    import numpy as np

    from nilometer.estimators import Sentinel
    from nilometer.signals import profile_traces
    from nilometer.traces import corpus_path, read_traces

    traces = read_traces(corpus_path(MODEL)).read_all()
    even = np.arange(traces.num_rows) % 2 == 0
    profiles = profile_traces(traces.take(np.flatnonzero(even)).to_batches())
    domains = [dict(row)["domain"] for row in profiles["attributes"].to_pylist()]
    sentinel = Sentinel(bootstraps=0).fit(profiles, profiles["correct"].to_numpy(), groups=domains)
    return profiles, traces.take(np.flatnonzero(~even)), sentinel


def _best_slice(traces: Any) -> str:
    """The slice with the highest accuracy, so that it can get worse."""
    import numpy as np

    domains = np.array([dict(row)["domain"] for row in traces["attributes"].to_pylist()])
    correct = traces["correct"].to_numpy()
    return str(max(np.unique(domains), key=lambda name: correct[domains == name].mean()))


def _show(store: Any, *, drifted: str) -> None:
    """Print what the store believes of this hour, beside what the labels say."""
    import time

    from nilometer.estimators import Estimate
    from nilometer.service import realized_rows

    last = int(time.time() // 3600)
    rows = store.estimates("domain", first_hour=last - 1, last_hour=last)
    with closing(store.reader()) as reader:
        labels = {row.slice: row for row in realized_rows(reader, "domain", first_hour=last - 1, last_hour=last)}
    typer.echo(f"{'slice':<20}{'responses':>10}{'estimate':>10}{'interval':>16}{'labels':>8}{'right':>7}")
    for row in rows:
        one, own = row.belief, labels.get(row.slice)
        known = (
            f"{one.accuracy:>10.2f}{f'{one.low:.2f} to {one.high:.2f}':>16}" if isinstance(one, Estimate) else " " * 26
        )
        said = f"{own.n_random:>8}{own.accuracy:>7.2f}" if own is not None and own.accuracy is not None else ""
        typer.echo(f"{row.slice:<20}{one.n:>10,}{known}{said}{'  got worse' if row.slice == drifted else ''}")
