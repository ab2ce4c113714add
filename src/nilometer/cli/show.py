"""Estimates as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nilometer import decisions, estimators

from .common import console

__all__ = ["show_estimates", "show_outlook", "show_ranking"]

_SHOWN, _ALERTS = 3, 10


def show_estimates(estimates: estimators.SliceEstimates, *, by: Sequence[str] = (), title: str | None = None) -> None:
    """Print one row per slice to standard output, followed by numbered notes."""
    from rich.markup import escape
    from rich.table import Table

    notes: dict[str, str] = {}
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column(", ".join(by) or "slice", overflow="fold")
    for name in ("n", "estimated", "interval", "realised"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in estimates:
        realized = "" if row.realized_accuracy is None else f"{row.realized_accuracy:.2f} ({row.n_labels})"
        if isinstance(row, estimators.Estimate):
            cells, said = (f"{row.accuracy:.2f}", f"{row.low:.2f} to {row.high:.2f}", realized), row.note
        else:
            cells, said = ("unknown", "", realized), f"{row.reason} {row.needed}"
        mark = notes.setdefault(said, f"[{len(notes) + 1}]") if said else ""
        table.add_row(escape(decisions.short_name(row.slice, by)), f"{row.n:,}", *map(escape, (*cells, mark)))
    console().print(table)
    for said, mark in notes.items():
        console().print(escape(f"{mark} {said}"))


def show_outlook(report: decisions.Report) -> None:
    """Print alerts, and in a line each what to label and what to acquire next, with the verb that gives the lists."""
    for line in (*_alerts(report), *_to_label(report), *_to_acquire(report)):
        console().print(line, markup=False, soft_wrap=True)


def _alerts(report: decisions.Report) -> list[str]:
    if report.watch is None:
        return []
    alerts = report.watch.alerts
    if not alerts:
        return [f"No alert in {len(report.watch.windows)} windows after the first."]
    lines = [f"ALERT {a.window}, {decisions.short_name(a.slice, report.by)}: {a.message}" for a in alerts[:_ALERTS]]
    more = len(alerts) - len(lines)
    return [*lines, f"{more} more alerts, all in the page and in `nilometer watch`."] if more else lines


def _to_label(report: decisions.Report) -> list[str]:
    if report.outlook is None:
        return []
    wanted = sorted((row for row in report.outlook.plan if row.n_new), key=lambda row: -row.n_new)
    said = [
        f"{decisions.short_name(row.slice, report.by)} {row.n_new:,} "
        f"(±{row.half_width:.2f} to ±{row.expected_half_width:.2f})"
        for row in wanted
    ]
    if not said:
        return []
    return [f"Label next, of {report.outlook.budget}: {_first(said)}.", f"  {report.label_command}"]


def _to_acquire(report: decisions.Report) -> list[str]:
    if report.outlook is None:
        return []
    said = [
        f"{decisions.short_name(row.slice, report.by)} {row.n_new:,} ({row.p_worst:.0%} among the worst 3)"
        for row in report.outlook.acquisition
        if row.n_new
    ]
    return (
        [f"Acquire next, of {report.outlook.n_examples:,} examples: {_first(said)}.", f"  {report.acquire_command}"]
        if said
        else []
    )


def _first(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more slices" if more > 0 else "")


def show_ranking(ranking: Any) -> None:
    """Print slices, most unsure first."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="uncalibrated, ranking only", title_justify="left")
    table.add_column("slice", overflow="fold")
    table.add_column("n", justify="right")
    table.add_column("mean largest entropy, nats", justify="right")
    for name, n, value in ranking:
        table.add_row(escape(name), f"{n:,}", f"{value:.3f}")
    console().print(table)
