"""The report as one HTML file that opens offline: no script, no font, no image from elsewhere."""

import json
import math
from html import escape
from typing import Any

from nilometer.estimators import Estimate

from .charts import calibration_chart, curve_chart, slice_chart, to_svg
from .report import Example, Report, short_name

__all__ = ["render_html"]

_STYLE = """
:root{color-scheme:light dark;--ink:#1c1f24;--soft:#5b6470;--line:#d9dde3;--paper:#fff;--hot:196,86,26}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a2abb8;--line:#3a414b;--paper:#16191e}}
*{box-sizing:border-box}body{margin:0 auto;max-width:62rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,sans-serif}h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.4rem 0 .6rem}
p,li{max-width:46rem}.soft{color:var(--soft)}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
th:first-child,td:first-child,td.text,th.text{text-align:left;white-space:normal}figure{margin:0;background:#fff;border-radius:6px;padding:.5rem;overflow-x:auto}
figure svg{max-width:100%;min-width:27rem;height:auto}pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);border-radius:6px;padding:.7rem;line-height:1.8}
mark{color:inherit;border-radius:3px;padding:.1em 0}@media(max-width:40rem){.slices thead{display:none}.slices tr{display:grid;grid-template-columns:1fr 1fr 1fr;padding:.45rem 0;border-bottom:1px solid var(--line)}
.slices td{border:0;padding:.1rem .3rem;text-align:left}.slices td:first-child{grid-column:1/3;font-weight:600}.slices td:nth-child(2){text-align:right}
.slices td:nth-child(2)::after{content:" responses";color:var(--soft)}.slices td:nth-child(3)::before{content:"est. ";color:var(--soft)}
.slices td:nth-child(5):not(:empty)::before{content:"real ";color:var(--soft)}.slices td.text{grid-column:1/4;color:var(--soft)}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--paper:#fff}body{max-width:none;padding:0;font-size:10.5pt}h2,h3{break-after:avoid}
figure,tr,pre{break-inside:avoid}figure{padding:0}.wide,figure{overflow:visible}thead{display:table-header-group}mark{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def render_html(report: Report, *, title: str = "Accuracy per slice") -> str:
    """Write the report as one HTML page.

    All text from traces is escaped. The numbers behind the charts are in the page as JSON.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=soft>{report.n:,} responses · {report.n_labels:,} labels · slices by {escape(', '.join(report.by))}"
        f" · {escape(report.method)} · {report.confidence_level:.0%} intervals</p>",
        _estimates(report) if len(report.estimates) else _ranking(report),
        _figure("Estimated accuracy with interval; the tick is the realised accuracy", slice_chart(report)),
        _figure(
            "Token entropy along the answer",
            curve_chart(report.entropy_curves, x="position in the answer", y="entropy, nats"),
        ),
        _figure(
            "Calibration of the probability per answer, each slice left out once", calibration_chart(report.calibration)
        ),
        _figure(
            "Largest token entropy per answer",
            curve_chart(report.scores, x="largest entropy, nats", y="share of answers"),
        ),
        _examples(report.examples),
        _findings(report.diagnosis),
        "<h2>What was assumed</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>",
    ]
    numbers = json.dumps(_finite(report.to_dict()), default=str).replace("</", "<\\/")
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{''.join(parts)}</main>"
        f'<script type="application/json" id="report">{numbers}</script></body></html>'
    )


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


def _ranking(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{n:,}</td><td>{value:.3f}</td></tr>" for name, n, value in report.ranking
    )
    return (
        "<h2>Most unsure slices first (uncalibrated, ranking only)</h2><table><thead><tr><th scope=col>slice<th scope=col>responses"
        f"<th scope=col>mean largest entropy, nats</tr></thead><tbody>{rows}</tbody></table>"
    )


def _figure(title: str, chart: Any) -> str:
    if chart is None:
        return ""
    return f'<h2>{escape(title)}</h2><figure role="img" aria-label="{escape(title)}">{to_svg(chart)}</figure>'


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


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
