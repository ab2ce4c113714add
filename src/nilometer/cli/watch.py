"""``nilometer watch``: accuracy over time, what changed since a reference, and alerts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from nilometer import decisions, estimators, pages
from nilometer.errors import ConfigError

from .common import (
    EXIT_FOUND,
    AtOption,
    ByOption,
    ColumnsOption,
    ConfidenceOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    console,
    layout_of,
    split_keys,
    talk,
    write_json,
)
from .inputs import Inputs, read_correct, read_inputs

__all__ = ["watch"]


def watch(
    files: FilesArgument,
    reference: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Traces of the trusted period; else the first window.")
    ] = None,
    reference_until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Traces before this time are the reference, as 2026-01-31.")
    ] = None,
    every: Annotated[
        str, typer.Option(help="Windows: hour, day, week, month ...; 500 responses each; or /10 for ten of them.")
    ] = "day",
    incomplete: Annotated[str, typer.Option(help="A last window that is not full: keep, append or drop.")] = "keep",
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: Annotated[
        Path | None, typer.Option(help="A saved sentinel; else one is fitted on the labels of the reference.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    below: Annotated[float | None, typer.Option(min=0, max=1, help="Alert when accuracy is below.")] = None,
    least_change: Annotated[float, typer.Option(min=0, max=1, help="Smallest change worth an alert.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Of the order in which labels are taken.")] = 0,
    confidence_level: ConfidenceOption = 0.95,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow the accuracy of every slice over time and alert when something changed. Exits 3 with an alert.

    The chance that a run without any change alerts is at most 1 - confidence level, over all slices and windows.
    """
    read = partial(read_inputs, by=split_keys(by), wire_format=layout_of(wire_format, at, columns))
    profiles, correct, is_reference = _read(files, reference, labels, label_key=label_key, read=read)
    if reference_until is not None:
        is_reference = _before(profiles, reference_until)
    responses = estimators.cut_responses(profiles, split_keys(by), correct=correct)
    fitted = estimators.load_sentinel(sentinel) if sentinel else _fit(responses, is_reference)
    options = decisions.WatchOptions(every, incomplete, below, confidence_level, least_change, seed)
    found = decisions.build_watch(responses, is_reference, sentinel=fitted, options=options)
    if as_json:
        write_json(found.to_dict())
    else:
        _show(found)
    _talk(found, responses.notes, out)
    if found.alerts:
        raise typer.Exit(EXIT_FOUND)


def _read(
    files: list[str],
    reference: list[str] | None,
    labels: list[str] | None,
    *,
    label_key: str,
    read: Callable[[list[str]], Inputs],
) -> tuple[pa.Table, NDArray[np.float32], NDArray[np.bool_] | None]:
    profiles = read(files).profiles
    trusted = read(reference).profiles if reference else None
    table = profiles if trusted is None else pa.concat_tables([trusted, profiles])
    correct = read_correct(table, labels, key=label_key)
    return table, correct, None if trusted is None else np.arange(len(table)) < len(trusted)


def _before(profiles: pa.Table, text: str) -> NDArray[np.bool_]:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(
            f"`--reference-until` must be a time like 2026-01-31 or 2026-01-31T12:00, got {text!r}."
        ) from exc
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    times = profiles["time"].to_numpy().astype("datetime64[us]")
    return np.asarray(times < np.datetime64(moment.replace(tzinfo=None)))


def _fit(responses: estimators.Responses, is_reference: NDArray[np.bool_] | None) -> estimators.Sentinel | None:
    """Fit on the labels of the reference; None without labels there or without a stated reference."""
    if is_reference is None or not responses.is_labelled[is_reference].any():
        return None
    return estimators.fit_sentinel(responses.rows(is_reference))[0]


def _talk(found: decisions.Watch, notes: Sequence[str], out: Path | None) -> None:
    if out:
        out.write_text(pages.render_watch_html(found), encoding="utf-8")
        talk(f"Wrote {out}.")
    for line in (*notes, *found.notes):
        talk(f"{line[0].upper()}{line[1:]}.")


def _show(found: decisions.Watch) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("window", ", ".join(found.by) or "slice"):
        table.add_column(name, overflow="fold")
    for name in ("n", "share", "estimated", "interval", "realised"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        estimate: Any = row.estimate
        known = isinstance(estimate, estimators.Estimate)
        cells = (f"{estimate.accuracy:.2f}", f"{estimate.low:.2f} to {estimate.high:.2f}") if known else ("unknown", "")
        realized = "" if row.realized is None else f"{row.realized.accuracy:.2f} ({row.realized.n_labels})"
        name = escape(decisions.short_name(row.slice, found.by))
        table.add_row(row.window, name, f"{row.n:,}", f"{row.share:.0%}", *cells, realized)
    console().print(table)
    for window, change in found.changes:
        typer.echo(
            f"{window}: estimated accuracy {change.before:.3f} to {change.after:.3f}: "
            f"mix {change.mix:+.3f}, within slices {change.within:+.3f}"
        )
    for alert in found.alerts:
        p = "" if alert.p_value is None else f" (p = {alert.p_value:.2g})"
        typer.echo(f"ALERT {alert.window}, {alert.slice}: {alert.message}{p}")
    if not found.alerts:
        typer.echo("No alert.")
