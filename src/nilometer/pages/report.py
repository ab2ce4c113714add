"""The report as one HTML file that opens offline."""

from typing import Any

from nilometer.decisions import Example, Outlook, Report, short_name
from nilometer.estimators import Estimate

from .charts import calibration_chart, curve_chart, slice_chart, window_chart
from .page import render, shade
from .tables import Column, Table, accuracy_cells, slice_table, verdict
from .watch import alert_rows, change_table

__all__ = ["render_html"]

_MOST_ACQUIRED, _MOST_PROMPT = 10, 500
_MOST_ENTROPY = 1.5
"""Nats, from which on a token is as dark as can be."""


def render_html(report: Report, *, title: str = "Accuracy per slice") -> str:
    """Write the report as one HTML page.

    All text from traces is escaped. The numbers behind the charts are in the page as JSON.
    """
    return render(
        "report.html",
        numbers=report.to_dict(),
        title=title,
        report=report,
        headline=_headline(report),
        table=slice_table(report.estimates, report.by) if len(report.estimates) else _ranking(report),
        chart=slice_chart(report),
        curves=_curves(report),
        windows=None if report.watch is None else window_chart(report.watch),
        alerts=[] if report.watch is None else alert_rows(report.watch),
        changes=None if report.watch is None else change_table(report.watch),
        plan=_plan(report, report.outlook),
        acquisition=_acquisition(report, report.outlook),
        findings=report.diagnosis.get("findings") or [],
        examples=[_example(example) for example in report.examples],
    )


def _headline(report: Report) -> dict[str, Any] | None:
    """What a hurried reader must know: the worst slice, and how many cannot be known."""
    known = [row for row in report.estimates if isinstance(row, Estimate)]
    if not known:
        return None
    worst = min(known, key=lambda row: row.accuracy)
    windows = sorted({alert.window for alert in report.watch.alerts}) if report.watch is not None else []
    return {
        "known": len(known),
        "unknown": len(report.estimates) - len(known),
        "worst": worst,
        "name": short_name(worst.slice, report.by),
        "outside": sum(not row.in_support for row in known),
        "windows": f"{len(windows)} windows" if len(windows) > 3 else ", ".join(windows),
    }


def _curves(report: Report) -> list[tuple[str, Any]]:
    x = "position in the answer"
    return [
        ("Token entropy along the answer", curve_chart(report.entropy_curves, x=x, y="entropy, nats")),
        (
            "Calibration of the probability per answer, each slice left out once",
            calibration_chart(report.calibration),
        ),
        (
            "Largest token entropy per answer",
            curve_chart(report.scores, x="largest entropy, nats", y="share of answers"),
        ),
    ]


def _plan(report: Report, outlook: Outlook | None) -> Table | None:
    """The estimates combined with labels, and where the next labels should go."""
    if outlook is None or not outlook.plan:
        return None
    plans = {row.slice: row for row in outlook.plan}
    columns = (
        Column(", ".join(report.by), is_text=True),
        *map(Column, ("labels", "accuracy", "interval", f"of the next {outlook.budget}", "expected interval")),
    )
    rows = []
    for row in outlook.estimates:
        plan = plans[row.slice]
        cells = [f"{plan.n_new:,}", f"± {plan.expected_half_width:.3f}"]
        rows.append([short_name(row.slice, report.by), f"{row.n_labels:,}", *accuracy_cells(row), *cells])
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
