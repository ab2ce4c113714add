"""Routing tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from nilometer import decisions

from ..common import console, talk

__all__ = ["show_policies", "show_route_report"]


def show_route_report(report: decisions.RouteReport) -> None:
    """Print models, families, slices and policies to standard output, and notes to standard error."""
    _models(report.models)
    screen = console()
    screen.print(f"{report.separation}.", markup=False)
    for family in report.families.families:
        screen.print(f"Family: {', '.join(family)} agree more than independent errors allow.", markup=False)
    screen.print(report.families.reason, markup=False)
    if report.slices:
        _slices(report)
    if report.policies:
        show_policies(report.policies, unit=report.cost_unit)
    screen.print(f"{report.explanation}.", markup=False)
    for note in report.notes:
        talk(f"{note}.")


def show_policies(points: Sequence[decisions.PolicyPoint], *, unit: str) -> None:
    """Print one row per policy."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=f"{points[0].n:,} prompts with all labels", title_justify="left")
    table.add_column("policy", overflow="fold")
    for name in (unit, "score", "interval", "gain over mixing"):
        table.add_column(name, justify="right", no_wrap=True)
    for p in points:
        gain = "" if p.gain is None else f"{p.gain:+.3f} ({p.gain_low:+.3f} to {p.gain_high:+.3f})"
        table.add_row(escape(p.name), f"{p.cost:.4g}", f"{p.quality:.3f}", f"{p.low:.3f} to {p.high:.3f}", gain)
    console().print(table)


def _models(rows: Sequence[decisions.ModelRow]) -> None:
    from rich.markup import escape
    from rich.table import Table

    labelled = any(row.accuracy is not None for row in rows)
    priced = any(row.cost is not None for row in rows)
    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold", min_width=16)
    names = ["quality", "accuracy", "interval", "labels"] if labelled else ["answers", "quality", "interval"]
    for name in (*names, *(["cost"] if priced else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = [f"{row.n_answers:,}", f"{row.quality:.3f}", _interval(row.low, row.high)]
        if labelled:
            accuracy = "" if row.accuracy is None else f"{row.accuracy:.2f}"
            interval = _interval(row.accuracy_low, row.accuracy_high, digits=2)
            cells = [f"{row.quality:.3f}", accuracy, interval, f"{row.n_labels:,}"]
        table.add_row(escape(row.model), *cells, *([f"{row.cost:.4g}"] if row.cost is not None else []))
    console().print(table)


def _slices(report: decisions.RouteReport) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(report.by, overflow="fold")
    table.add_column("prompts", justify="right")
    table.add_column("model", overflow="fold")
    table.add_column("why", overflow="fold")
    for row in report.slices:
        model, why = (
            (row.model, row.reason)
            if isinstance(row, decisions.SliceRow)
            else ("unknown", f"{row.reason} {row.needed}")
        )
        table.add_row(escape(row.slice), f"{row.n:,}", escape(model), escape(why))
    console().print(table)


def _interval(low: float | None, high: float | None, *, digits: int = 3) -> str:
    return "" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"
