"""The report as one HTML file that opens offline: no script, no font, no image from elsewhere."""

from html import escape
from typing import Any

from nilometer.decisions import Example, Outlook, Report, short_name
from nilometer.estimators import Estimate

from .charts import calibration_chart, curve_chart, slice_chart
from .page import figure, page
from .watch import alert_list, change_table, window_figure

__all__ = ["render_html"]

_MOST_ACQUIRED = 10


def render_html(report: Report, *, title: str = "Accuracy per slice") -> str:
    """Write the report as one HTML page.

    All text from traces is escaped. The numbers behind the charts are in the page as JSON.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=soft>{report.n:,} responses · {report.n_labels:,} labels · slices by {escape(', '.join(report.by))}"
        f" · {escape(report.method)} · {report.confidence_level:.0%} intervals</p>",
        _headline(report),
        _estimates(report) if len(report.estimates) else _ranking(report),
        figure("Estimated accuracy with interval; the tick is the realised accuracy", slice_chart(report)),
        "<div class=grid>",
        figure(
            "Token entropy along the answer",
            curve_chart(report.entropy_curves, x="position in the answer", y="entropy, nats"),
        ),
        figure(
            "Calibration of the probability per answer, each slice left out once", calibration_chart(report.calibration)
        ),
        figure(
            "Largest token entropy per answer",
            curve_chart(report.scores, x="largest entropy, nats", y="share of answers"),
        ),
        "</div>",
        _over_time(report),
        _outlook(report),
        _examples(report.examples),
        _findings(report.diagnosis),
        "<h2>What was assumed</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>",
    ]
    return page(title, parts, numbers=report.to_dict())


def _headline(report: Report) -> str:
    """Say in words what a hurried reader must know: the worst slice, and how many cannot be known."""
    known = [row for row in report.estimates if isinstance(row, Estimate)]
    if not known:
        return ""
    worst = min(known, key=lambda row: row.accuracy)
    unknown = len(report.estimates) - len(known)
    said = [
        f"{len(known)} slices have an estimate" + (f", {unknown} cannot be known." if unknown else "."),
        f"The lowest is <b>{escape(short_name(worst.slice, report.by))}</b> with {worst.accuracy:.2f} "
        f"({worst.low:.2f} to {worst.high:.2f}).",
    ]
    outside = sum(not row.in_support for row in known)
    if outside:
        said.append(f"{outside} lie outside the labelled slices.")
    if report.watch is not None and report.watch.alerts:
        windows = sorted({alert.window for alert in report.watch.alerts})
        where = f"{len(windows)} windows" if len(windows) > 3 else escape(", ".join(windows))
        said.append(f"<b>Alerts</b> in {where}, <a href='#time'>below</a>.")
    return f"<p>{' '.join(said)}</p>"


def _estimates(report: Report) -> str:
    rows = []
    for row in report.estimates:
        realized = "" if row.realized_accuracy is None else f"{row.realized_accuracy:.3f} ({row.n_labels:,})"
        if isinstance(row, Estimate):
            cells = f"<td>{row.accuracy:.3f}</td><td>{row.low:.3f} to {row.high:.3f}</td><td>{realized}</td>"
            note = row.note
        else:
            cells, note = f"<td>unknown</td><td></td><td>{realized}</td>", f"{row.reason} {row.needed}"
        name = escape(short_name(row.slice, report.by))
        rows.append(f"<tr><td>{name}</td><td>{row.n:,}</td>{cells}<td class=text>{escape(note)}</td></tr>")
    head = f"<th scope=col>{escape(', '.join(report.by))}<th scope=col>responses<th scope=col>estimated<th scope=col>interval<th scope=col>realised (labels)<th scope=col class=text>note"
    return f"<div class=wide><table class=slices><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def _over_time(report: Report) -> str:
    """Alerts first, then the windows that they come from."""
    if report.watch is None:
        return ""
    shown = (alert_list(report.watch), window_figure(report.watch), change_table(report.watch))
    return "<h2 id=time>Over time</h2>" + "".join(shown)


def _outlook(report: Report) -> str:
    """Show the estimates with the labels counted in, where the next labels should go, and the next data."""
    if report.outlook is None:
        return ""
    return _to_label(report, report.outlook) + _to_acquire(report, report.outlook)


def _to_label(report: Report, outlook: Outlook) -> str:
    if not outlook.plan:
        return ""
    plans = {row.slice: row for row in outlook.plan}
    rows = []
    for row in outlook.estimates:
        cells = "<td>unknown</td><td></td>"
        if isinstance(row, Estimate):
            cells = f"<td>{row.accuracy:.3f}</td><td>{row.low:.3f} to {row.high:.3f}</td>"
        plan = plans[row.slice]
        name = escape(short_name(row.slice, report.by))
        rows.append(
            f"<tr><td>{name}</td><td>{row.n_labels:,}</td>{cells}<td>{plan.n_new:,}</td><td>± {plan.expected_half_width:.3f}</td></tr>"
        )
    head = f"<th scope=col>{escape(', '.join(report.by))}<th scope=col>labels<th scope=col>accuracy<th scope=col>interval<th scope=col>of the next {outlook.budget}<th scope=col>expected interval"
    return (
        "<h2>What to label next</h2><p class=soft>Accuracy and interval with the labels counted in, as if they had been drawn "
        "at random inside each slice. Which responses: "
        f"<code>{escape(report.label_command)}</code>.</p><div class=wide><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _to_acquire(report: Report, outlook: Outlook) -> str:
    rows = []
    for row in outlook.acquisition[:_MOST_ACQUIRED]:
        accuracy = "unknown" if row.accuracy is None else f"{row.accuracy:.3f}"
        name = escape(short_name(row.slice, report.by))
        rows.append(
            f"<tr><td>{name}</td><td>{row.share:.1%}</td><td>{accuracy}</td><td>{row.p_worst:.0%}</td><td>{row.n_new:,}</td>"
            f"<td>{row.errors_closed:.1f}</td></tr>"
        )
    head = (
        f"<th scope=col>{escape(', '.join(report.by))}<th scope=col>share of traffic<th scope=col>accuracy<th scope=col>in worst 3"
        f"<th scope=col>to collect, of {outlook.n_examples:,}<th scope=col>fewer errors / 1,000"
    )
    more = len(outlook.acquisition) - len(rows)
    return (
        "<h2>What to acquire next</h2><p class=soft>Where training data is expected to close most errors, if every slice has "
        "100 examples, costs the same and learns as published curves do (exponent .3): assumptions. With your costs: "
        f"<code>{escape(report.acquire_command)} --cost costs.csv</code>.</p><div class=wide><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>" + (f"<p class=soft>{more} more slices.</p>" if more else "")
    )


def _ranking(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{n:,}</td><td>{value:.3f}</td></tr>" for name, n, value in report.ranking
    )
    return (
        "<h2>Most unsure slices first (uncalibrated, ranking only)</h2><table><thead><tr><th scope=col>slice<th scope=col>responses"
        f"<th scope=col>mean largest entropy, nats</tr></thead><tbody>{rows}</tbody></table>"
    )


def _examples(examples: tuple[Example, ...]) -> str:
    if not examples:
        return ""
    shown = []
    for example in examples:
        verdict = "no label" if example.correct is None else "correct" if example.correct >= 0.5 else "wrong"
        tokens = "".join(
            f'<mark style="background:rgba(var(--hot),{min(value / 2, 0.75):.2f})" title="{value:.2f} nats">{escape(token)}</mark>'
            for token, value in zip(example.tokens, example.entropies, strict=True)
        )
        shown.append(
            f"<h3 class=soft>{escape(example.slice)} · {escape(example.trace_id)} · {verdict}</h3>"
            f"<p>{escape((example.prompt or '')[:500])}</p><pre>{tokens}</pre>"
        )
    return "<h2>Least confident answers</h2><p class=soft>Darker is a higher token entropy.</p>" + "".join(shown)


def _findings(diagnosis: dict[str, Any]) -> str:
    findings = diagnosis.get("findings") or []
    if not findings:
        return ""
    items = "".join(
        f"<li><b>{escape(str(f.get('severity')))}</b>: {escape(str(f.get('message')))} <span class=soft>{escape(str(f.get('cure') or ''))}</span></li>"
        for f in findings
    )
    return f"<h2>The doctor's findings</h2><ul>{items}</ul>"
