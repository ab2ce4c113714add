"""The report as one HTML file that opens offline."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from nilometer.decisions import Example, Outlook, Report, SliceRank, basis_of, rank_slices, short_name, summarize
from nilometer.estimators import Estimate, NotEnoughData

from .charts import Sizes, calibration_chart, curve_chart, sizes, slice_chart
from .page import render, shade
from .tables import STATES, Column, Table, columns_of, interval, verdict
from .watch import change_table, event_rows, window_sizes

__all__ = ["render_html"]

_MOST_CHART, _MOST_PLANNED, _MOST_ACQUIRED, _MOST_PROMPT = 20, 50, 10, 500
_MOST_ENTROPY = 1.5
"""Nats, from which on a token is as dark as can be."""


def render_html(report: Report, *, title: str = "Accuracy per slice", commands: Mapping[str, str] | None = None) -> str:
    """Write the report as one HTML page.

    The first screen has the verdict, the accuracy of all traffic, the slices with most wrong answers, what changed and
    what to do next. The table of slices sorts, searches, filters and folds where scripts may run, and is whole where
    they may not. All text from traces is escaped. The numbers are in the page as JSON, by column and rounded to four
    digits; ``Report.to_dict`` has all of them.
    """
    ranks = rank_slices(report)
    watch = report.watch
    return render(
        "report.html",
        numbers=_numbers(report, ranks),
        script="table.js",
        title=title,
        report=report,
        summary=summarize(report),
        overall=report.overall if isinstance(report.overall, Estimate) else None,
        basis=basis_of(report.overall),
        table=_slices(report, ranks) if ranks else _ranking(report),
        states=STATES,
        names={rank.slice: short_name(rank.slice, report.by) for rank in ranks},
        chart=sizes(lambda width: slice_chart(report, width=width, most=_MOST_CHART), wide=800, narrow=200),
        curves=_curves(report),
        windows=None if watch is None else window_sizes(watch),
        events=[] if watch is None else event_rows(watch),
        commands=dict(commands or {}),
        changes=None if watch is None else change_table(watch),
        plan=_plan(report, report.outlook),
        acquisition=_acquisition(report, report.outlook),
        findings=report.diagnosis.get("findings") or [],
        examples=[_example(example) for example in report.examples],
    )


def _slices(report: Report, ranks: tuple[SliceRank, ...]) -> Table:
    """One row per slice, most wrong answers first, with what is behind the number in a fold."""
    parts = {row.slice: row for row in report.label_free}
    rows_of = {row.slice: row for row in report.estimates}
    columns = (
        Column(", ".join(report.by), is_text=True),
        *map(Column, ("responses", "accuracy", "interval", "share of errors")),
        Column("state", is_text=True),
        Column("rests on", is_text=True),
        Column("details", is_text=True, is_fold=True),
    )
    rows = [
        [
            short_name(rank.slice, report.by),
            f"{rank.n:,}",
            "unknown" if rank.accuracy is None else f"{rank.accuracy:.2f}",
            interval(rank.low, rank.high, digits=".2f"),
            "" if rank.error_share is None else f"{rank.error_share:.1%}",
            STATES[rank.state],
            rank.basis,
            _details(rows_of[rank.slice], parts.get(rank.slice)),
        ]
        for rank in ranks
    ]
    return Table(columns, rows, tuple(rank.state for rank in ranks))


def _details(row: Estimate | NotEnoughData, label_free: Estimate | NotEnoughData | None) -> str:
    """What the number of a slice is made of."""
    said = [] if isinstance(row, Estimate) else [f"{row.reason} {row.needed}"]
    if isinstance(label_free, Estimate) and label_free != row:
        ends = interval(label_free.low, label_free.high)
        said.append(f"Without its labels {label_free.accuracy:.3f} ({ends}).")
    if row.realized_accuracy is not None:
        said.append(f"Of its {row.n_labels:,} labels, {row.realized_accuracy:.0%} say correct.")
    if isinstance(row, Estimate) and row.note:
        said.append(f"{row.note[0].upper()}{row.note[1:]}.".replace("..", "."))
    return " ".join(said)


def _numbers(report: Report, ranks: tuple[SliceRank, ...]) -> dict[str, Any]:
    """The numbers of the page, a list for each column, so that thousands of slices stay small."""
    watch = report.watch
    return {
        "by": report.by,
        "n": report.n,
        "n_labels": report.n_labels,
        "method": report.method,
        "confidence_level": report.confidence_level,
        "overall": asdict(report.overall),
        "slices": columns_of([asdict(rank) for rank in ranks]),
        "ranking": report.ranking,
        "windows": [] if watch is None else watch.windows,
        "changes": [] if watch is None else columns_of([change[1]._asdict() for change in watch.changes], "slices"),
        "calibration": report.calibration and asdict(report.calibration),
        "curves": [asdict(curve) for curve in (*report.entropy_curves, *report.scores)],
        "notes": report.notes,
    }


def _curves(report: Report) -> list[tuple[str, Sizes | None]]:
    def draw(curves: Any, x: str, y: str) -> Sizes | None:
        return sizes(lambda width: curve_chart(curves, x=x, y=y, width=width), wide=400, narrow=280)

    calibration = sizes(lambda width: calibration_chart(report.calibration, width=width), wide=400, narrow=280)
    return [
        (
            "How unsure the model is along an answer (token entropy)",
            draw(report.entropy_curves, "position in the answer", "entropy, nats"),
        ),
        ("How often it is right where it should be (calibration, each slice left out once)", calibration),
        (
            "How unsure it is at its least sure token (largest entropy)",
            draw(report.scores, "largest entropy, nats", "share of answers"),
        ),
    ]


def _plan(report: Report, outlook: Outlook | None) -> Table | None:
    """The slices that the next labels should go to, most first."""
    if outlook is None or not outlook.plan:
        return None
    columns = (
        Column(", ".join(report.by), is_text=True),
        *map(Column, ("responses", "labels", "interval now", f"of the next {outlook.budget}", "expected interval")),
    )
    rows = [
        [
            short_name(plan.slice, report.by),
            f"{plan.n:,}",
            f"{plan.n_labels:,}",
            f"± {plan.half_width:.3f}",
            f"{plan.n_new:,}",
            f"± {plan.expected_half_width:.3f}",
        ]
        for plan in sorted(outlook.plan, key=lambda row: -row.n_new)[:_MOST_PLANNED]
    ]
    return Table(columns, rows)


def _acquisition(report: Report, outlook: Outlook | None) -> Table | None:
    """Where the next examples should come from."""
    if outlook is None:
        return None
    names = ("share of traffic", "accuracy", "in worst 3", f"to collect, of {outlook.n_examples:,}")
    columns = (Column(", ".join(report.by), is_text=True), *map(Column, (*names, "fewer errors / 1,000")))
    rows = [
        [
            short_name(row.slice, report.by),
            f"{row.share:.1%}",
            "unknown" if row.accuracy is None else f"{row.accuracy:.3f}",
            f"{row.p_worst:.0%}",
            f"{row.n_new:,}",
            f"{row.errors_closed:.1f}",
        ]
        for row in outlook.acquisition[:_MOST_ACQUIRED]
    ]
    return Table(columns, rows)


def _example(example: Example) -> dict[str, Any]:
    pairs = zip(example.tokens, example.entropies, strict=True)
    return {
        "heading": " · ".join(filter(None, (example.slice, example.trace_id, verdict(example.correct)))),
        "prompt": (example.prompt or "")[:_MOST_PROMPT],
        "tokens": [(token, entropy, shade(entropy / _MOST_ENTROPY)) for token, entropy in pairs],
    }


def _ranking(report: Report) -> Table:
    columns = (Column("slice", is_text=True), Column("responses"), Column("mean largest entropy, nats"))
    return Table(columns, [[name, f"{n:,}", f"{value:.3f}"] for name, n, value in report.ranking])
