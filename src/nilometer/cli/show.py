"""Estimates as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nilometer import decisions, estimators

from .common import console

if TYPE_CHECKING:
    Rows = Iterable[estimators.Estimate | estimators.NotEnoughData]

__all__ = ["WORST", "show_estimates", "show_headline", "show_lines", "show_outlook", "show_ranking", "show_windows"]

WORST = 20
"""Slices that a terminal shows, those with most errors."""
_SHOWN = 3


def show_headline(
    estimates: Rows,
    overall: estimators.Estimate | estimators.NotEnoughData,
    *,
    by: Sequence[str] = (),
    most: int | None = WORST,
    label_free: Rows | None = None,
) -> None:
    """Print one number for all traffic and for each slice, most errors first, with what it rests on.

    Parameters
    ----------
    estimates
        Of the slices.
    overall
        Of all traffic.
    by
        Slice keys.
    most
        Slices to print; None prints all.
    label_free
        The part of each number that does not use the slice's own labels, to be printed beside it, and the labels.
    """
    rows = {row.slice: row for row in estimates}
    ranks = decisions.rank_estimates(rows.values())
    parts = None if label_free is None else {row.slice: row for row in label_free}
    shown = [rows[rank.slice] for rank in ranks[:most]]
    notes: dict[str, str] = {}
    heads = ["n", "accuracy", "interval", "rests on", "labels", *(["without labels", "by labels"] if parts else []), ""]
    table = _table(", ".join(by) or "slice", heads)
    for row in (overall, *shown):
        is_all = row is overall
        said = "" if is_all else row.note if isinstance(row, estimators.Estimate) else f"{row.reason} {row.needed}"
        mark = notes.setdefault(said, f"[{len(notes) + 1}]") if said else ""
        more = [] if parts is None else _parts(None if is_all else parts[row.slice])
        name = "all traffic" if is_all else decisions.short_name(row.slice, by)
        table.add_row(*_cells(name, f"{row.n:,}", *_accuracy(row), f"{row.n_labels:,}", *more, mark))
    console().print(table)
    show_lines(f"{mark} {said}" for said, mark in notes.items())
    if len(ranks) > len(shown):
        show_lines([f"{len(ranks) - len(shown):,} more slices with fewer errors: --all prints them, --json too."])


def _accuracy(row: Any) -> tuple[str, str, str]:
    if isinstance(row, estimators.Estimate):
        return f"{row.accuracy:.2f}", f"{row.low:.2f} to {row.high:.2f}", decisions.basis_of(row)
    return "unknown", "", decisions.basis_of(row)


def _parts(row: Any) -> list[str]:
    """The number without labels, and the share of its labels that say correct."""
    known = isinstance(row, estimators.Estimate)
    realized = None if row is None else row.realized_accuracy
    return [
        f"{row.accuracy:.2f} ({row.low:.2f} to {row.high:.2f})" if known else "",
        "" if realized is None else f"{realized:.2f}",
    ]


def _cells(*texts: str) -> list[str]:
    from rich.markup import escape

    return [escape(text) for text in texts]


def _table(first: str, heads: Sequence[str], *, title: str | None = None) -> Any:
    """A table of one column of words and several of numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in heads:
        table.add_column(name, justify="right" if name != "rests on" else "left", no_wrap=True)
    return table


def show_lines(lines: Iterable[str]) -> None:
    """Print whole lines: nothing breaks a command or an alert in the middle, and text is never taken for markup."""
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)


def show_estimates(estimates: estimators.SliceEstimates, *, by: Sequence[str] = (), title: str | None = None) -> None:
    """Print label-free estimates beside the accuracy of labels that were not used, in the order of the slices."""
    notes: dict[str, str] = {}
    table = _table(", ".join(by) or "slice", ["n", "estimated", "interval", "realised", ""], title=title)
    for row in estimates:
        realized = "" if row.realized_accuracy is None else f"{row.realized_accuracy:.2f} ({row.n_labels})"
        said = row.note if isinstance(row, estimators.Estimate) else f"{row.reason} {row.needed}"
        mark = notes.setdefault(said, f"[{len(notes) + 1}]") if said else ""
        name = decisions.short_name(row.slice, by)
        table.add_row(*_cells(name, f"{row.n:,}", *_accuracy(row)[:2], realized, mark))
    console().print(table)
    show_lines(f"{mark} {said}" for said, mark in notes.items())


def show_outlook(report: decisions.Report, commands: Mapping[str, str]) -> None:
    """Print what changed, what to label and what to acquire next, each with the command that prints the lists."""
    if report.watch is not None:
        show_lines(f"ALERT {line}" if report.watch.events else line for line in decisions.summarize(report).changes)
        show_lines([f"  {commands['watch']}"] if report.watch.events else [])
    show_lines([*_to_label(report, commands["label"]), *_to_acquire(report, commands["acquire"])])


def _to_label(report: decisions.Report, command: str) -> list[str]:
    if report.outlook is None:
        return []
    wanted = sorted((row for row in report.outlook.plan if row.n_new), key=lambda row: -row.n_new)
    said = [
        f"{decisions.short_name(row.slice, report.by)} {row.n_new:,} "
        f"(±{row.half_width:.2f} to ±{row.expected_half_width:.2f})"
        for row in wanted
    ]
    return [f"Label next, of {report.outlook.budget}: {_first(said)}.", f"  {command}"] if said else []


def _to_acquire(report: decisions.Report, command: str) -> list[str]:
    if report.outlook is None:
        return []
    said = [
        f"{decisions.short_name(row.slice, report.by)} {row.n_new:,} ({row.p_worst:.0%} among the worst 3)"
        for row in report.outlook.acquisition
        if row.n_new
    ]
    return [f"Acquire next, of {report.outlook.n_examples:,} examples: {_first(said)}.", f"  {command}"] if said else []


def _first(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more slices" if more > 0 else "")


def show_ranking(ranking: Any, *, most: int | None = WORST) -> None:
    """Print slices, most unsure first."""
    table = _table("slice", ["n", "mean largest entropy, nats"], title="uncalibrated, ranking only")
    for name, n, value in ranking[:most]:
        table.add_row(*_cells(name, f"{n:,}", f"{value:.3f}"))
    console().print(table)
    if most is not None and len(ranking) > most:
        show_lines([f"{len(ranking) - most:,} more slices: --all prints them, --json too."])


def show_windows(watch: decisions.Watch, *, most: int | None = WORST, every_window: bool = False) -> None:
    """Print where every slice stands in the last window, most errors first, or each of them in every window."""
    reference, last = watch.rows[0].window, watch.windows[-1]
    before = {row.slice: row.estimate for row in watch.rows if row.window == reference}
    if every_window:
        shown = list(watch.rows)
    else:
        by_slice = {row.slice: row for row in watch.rows if row.window == last}
        ranks = decisions.rank_estimates(row.estimate for row in by_slice.values())
        shown = [by_slice[rank.slice] for rank in ranks[:most]]
    table = _table(
        ", ".join(watch.by) or "slice", ["window", "n", "share", "accuracy", "interval", "rests on", "before"]
    )
    for row in shown:
        old = before.get(row.slice)
        cells = (decisions.short_name(row.slice, watch.by), row.window, f"{row.n:,}", f"{row.share:.0%}")
        table.add_row(*_cells(*cells, *_accuracy(row.estimate), "" if old is None else _accuracy(old)[0]))
    console().print(table)
    rest = len(watch.rows) - len(shown)
    if rest and not every_window:
        show_lines([f"{rest:,} more rows of slices and windows: --verbose prints them, --json too."])
