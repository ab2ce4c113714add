"""The routing report as one HTML file that opens offline."""

from nilometer.decisions import ModelRow, RouteReport
from nilometer.estimators import NotEnoughData

from .charts import sizes
from .page import render
from .route_charts import cost_quality_chart, quality_chart, slice_quality_chart
from .tables import Column, Table, interval

__all__ = ["model_table", "render_route_html"]

_MOST_PAIRS = 6
_ASSUMED = (
    "Quality is how near a model's answers are to the other models'. Models that share their mistakes look good "
    "together; only labels can tell."
)


def render_route_html(report: RouteReport, *, title: str = "Which model to ask") -> str:
    """Write the routing report as one HTML page; all text is escaped, the numbers are in it as JSON."""
    return render(
        "routes.html",
        numbers=report.to_dict(),
        script="table.js",
        title=title,
        report=report,
        models=model_table(report),
        quality=sizes(lambda width: quality_chart(report, width=width), wide=800, narrow=200),
        pairs=_pairs(report),
        cost_quality=sizes(
            lambda width: cost_quality_chart(report.policies, unit=report.cost_unit, width=width), wide=820, narrow=270
        ),
        policies=_policies(report),
        slices=_slices(report),
        slice_quality=sizes(lambda width: slice_quality_chart(report, width=width), wide=800, narrow=200),
        assumed=[_ASSUMED, *report.notes],
    )


def model_table(report: RouteReport) -> Table:
    """One row per model, best first: quality, accuracy where labels are known, cost where it is."""
    labelled = any(row.accuracy is not None for row in report.models)
    priced = any(row.cost is not None for row in report.models)
    names = ["answers", "quality", "interval"]
    names += ["accuracy", "interval", "labels"] if labelled else []
    names += ["cost of a call"] if priced else []
    columns = (Column("model", is_text=True), *map(Column, names))
    return Table(columns, [_model(row, labelled=labelled, priced=priced) for row in report.models])


def _model(row: ModelRow, *, labelled: bool, priced: bool) -> list[str]:
    cells = [row.model, f"{row.n_answers:,}", f"{row.quality:.4g}", _rounded(row.low, row.high)]
    if labelled:
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.3f}"
        cells += [accuracy, _rounded(row.accuracy_low, row.accuracy_high), f"{row.n_labels:,}"]
    return cells + ([f"{row.cost:.4g}" if row.cost is not None else ""] if priced else [])


def _pairs(report: RouteReport) -> Table:
    columns = (Column("pair", is_text=True), Column("share of the distance that is missing"))
    pairs = report.families.pairs[:_MOST_PAIRS]
    return Table(columns, [[f"{pair.first}, {pair.second}", f"{pair.shared:.2f}"] for pair in pairs])


def _policies(report: RouteReport) -> Table | None:
    if not report.policies:
        return None
    names = (report.cost_unit, "score", "interval", "gain over mixing", "interval")
    columns = (Column("policy", is_text=True), Column("kind", is_text=True), *map(Column, names))
    rows = [
        [
            p.name,
            p.kind,
            f"{p.cost:.4g}",
            f"{p.quality:.3f}",
            _rounded(p.low, p.high),
            "" if p.gain is None else f"{p.gain:+.3f}",
            _rounded(p.gain_low, p.gain_high),
        ]
        for p in report.policies
    ]
    return Table(columns, rows)


def _slices(report: RouteReport) -> Table | None:
    if not report.slices:
        return None
    columns = (
        Column(report.by or "slice", is_text=True),
        Column("prompts"),
        Column("model", is_text=True),
        Column("why", is_text=True),
    )
    rows = []
    for row in report.slices:
        if isinstance(row, NotEnoughData):
            rows.append([row.slice, f"{row.n:,}", "unknown", f"{row.reason} {row.needed}"])
            continue
        pairs = zip(report.names, row.realized, strict=True)
        known = ", ".join(f"{name} {value:.2f}" for name, value in pairs if value is not None)
        rows.append([row.slice, f"{row.n:,}", row.model, row.reason + (f"; labels: {known}" if known else "")])
    return Table(columns, rows)


def _rounded(low: float | None, high: float | None) -> str:
    return interval(low, high, digits=".3g")
