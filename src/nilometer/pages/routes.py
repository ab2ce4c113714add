"""The routing report as one HTML file that opens offline."""

from html import escape

from nilometer.decisions import ModelRow, RouteReport
from nilometer.estimators import NotEnoughData

from .page import figure, page
from .route_charts import cost_quality_chart, quality_chart, slice_quality_chart

__all__ = ["render_route_html"]


def render_route_html(report: RouteReport, *, title: str = "Which model to ask") -> str:
    """Write the routing report as one HTML page; all text is escaped, the numbers are in it as JSON."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=soft>{report.n_prompts:,} prompts · {len(report.models)} models</p>",
        f"<p><b>{escape(report.best)}</b> first. {escape(report.separation)}.</p>",
        f"<p class=soft>{escape(report.explanation)}</p>",
        _models(report),
        figure("Quality per model, with interval", quality_chart(report)),
        _families(report),
        figure(
            "Score against cost; the dashed line is the best random mix of single models",
            cost_quality_chart(report.policies, unit=report.cost_unit),
        ),
        _policies(report),
        _slices(report),
        figure("Quality per slice and model", slice_quality_chart(report)),
        "<h2>What was assumed</h2><ul>",
        "<li>Quality is how near a model's answers are to the other models'. Models that share their mistakes "
        "look good together; only labels can tell.</li>",
        *(f"<li>{escape(note)}</li>" for note in report.notes),
        "</ul>",
    ]
    return page(title, parts, numbers=report.to_dict())


def _models(report: RouteReport) -> str:
    labelled = any(row.accuracy is not None for row in report.models)
    priced = any(row.cost is not None for row in report.models)
    head = ["model", "answers", "quality", "interval"]
    head += ["accuracy", "interval", "labels"] if labelled else []
    head += ["cost of a call"] if priced else []
    return "<h2>Models</h2>" + _table(head, [_model(row, labelled=labelled, priced=priced) for row in report.models])


def _model(row: ModelRow, *, labelled: bool, priced: bool) -> list[str]:
    cells = [row.model, f"{row.n_answers:,}", f"{row.quality:.4g}", _interval(row.low, row.high)]
    if labelled:
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.3f}"
        cells += [accuracy, _interval(row.accuracy_low, row.accuracy_high), f"{row.n_labels:,}"]
    return cells + ([f"{row.cost:.4g}" if row.cost is not None else ""] if priced else [])


def _families(report: RouteReport) -> str:
    check = report.families
    if not check.families:
        return f"<h2>Families</h2><p>{escape(check.reason)}</p>"
    names = "; ".join(" and ".join(family) for family in check.families)
    changed = "" if check.changed_routes is None else f" {check.changed_routes:.1%} of single choices change."
    rows = [[f"{pair.first}, {pair.second}", f"{pair.shared:.2f}"] for pair in check.pairs[:6]]
    return (
        f"<h2>Families</h2><p>{escape(names)} agree more than independent errors allow. {escape(check.reason)}"
        f"{escape(changed)}</p>{_table(['pair', 'share of the distance that is missing'], rows)}"
    )


def _policies(report: RouteReport) -> str:
    if not report.policies:
        return ""
    head = ["policy", "kind", report.cost_unit, "score", "interval", "gain over mixing", "interval"]
    rows = [
        [
            p.name,
            p.kind,
            f"{p.cost:.4g}",
            f"{p.quality:.3f}",
            _interval(p.low, p.high),
            "" if p.gain is None else f"{p.gain:+.3f}",
            _interval(p.gain_low, p.gain_high),
        ]
        for p in report.policies
    ]
    return f"<p class=soft>{report.policies[0].n:,} prompts with all labels</p>" + _table(head, rows)


def _slices(report: RouteReport) -> str:
    if not report.slices:
        return ""
    rows = []
    for row in report.slices:
        if isinstance(row, NotEnoughData):
            rows.append([row.slice, f"{row.n:,}", "unknown", f"{row.reason} {row.needed}"])
            continue
        known = [
            f"{name} {value:.2f}" for name, value in zip(report.names, row.realized, strict=True) if value is not None
        ]
        rows.append(
            [row.slice, f"{row.n:,}", row.model, row.reason + (f"; labels: {', '.join(known)}" if known else "")]
        )
    return "<h2>Slices</h2>" + _table([report.by or "slice", "prompts", "model", "why"], rows, text=True)


def _table(head: list[str], rows: list[list[str]], *, text: bool = False) -> str:
    last = " class=text" if text else ""
    heads = "".join(f"<th scope=col{last if i == len(head) - 1 else ''}>{escape(name)}" for i, name in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(f"<td{last if i == len(row) - 1 else ''}>{escape(c)}</td>" for i, c in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<div class=wide><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3g} to {high:.3g}"
