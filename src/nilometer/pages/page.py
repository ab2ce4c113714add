"""The frame of an HTML page that opens offline: no script, no font, no image from elsewhere."""

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

from .charts import to_svg

__all__ = ["figure", "page"]

_STYLE = """
:root{color-scheme:light dark;--ink:#1c1f24;--soft:#5b6470;--line:#d9dde3;--paper:#fff;--hot:196,86,26}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a2abb8;--line:#3a414b;--paper:#16191e}}
*{box-sizing:border-box}body{margin:0 auto;max-width:62rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,sans-serif}h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.4rem 0 .6rem}
p,li{max-width:46rem}.soft{color:var(--soft)}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
th:first-child,td:first-child,td.text,th.text{text-align:left;white-space:normal}figure{margin:0;background:#fff;border-radius:6px;padding:.5rem 1rem;overflow-x:auto}
figure svg{max-width:100%;min-width:27rem;height:auto;overflow:visible}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(27rem,100%),1fr));gap:0 1.5rem}.grid h2{font-size:1rem}pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);border-radius:6px;padding:.7rem;line-height:1.8}
mark{color:inherit;border-radius:3px;padding:.1em 0}@media(max-width:40rem){.slices thead{display:none}.slices tr{display:grid;grid-template-columns:1fr 1fr 1fr;padding:.45rem 0;border-bottom:1px solid var(--line)}
.slices td{border:0;padding:.1rem .3rem;text-align:left}.slices td:first-child{grid-column:1/3;font-weight:600}.slices td:nth-child(2){text-align:right}
.slices td:nth-child(2)::after{content:" responses";color:var(--soft)}.slices td:nth-child(3)::before{content:"est. ";color:var(--soft)}
.slices td:nth-child(5):not(:empty)::before{content:"real ";color:var(--soft)}.slices td.text{grid-column:1/4;color:var(--soft)}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--paper:#fff}body{max-width:none;padding:0;font-size:10.5pt}h2,h3{break-after:avoid}
figure,tr,pre{break-inside:avoid}figure{padding:0 1.5rem}.wide,figure{overflow:visible}thead{display:table-header-group}mark{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def page(title: str, parts: Sequence[str], *, numbers: Any) -> str:
    """Put finished pieces of markup into one page, with the numbers behind them as JSON."""
    data = json.dumps(_finite(numbers), default=str).replace("</", "<\\/")
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{''.join(parts)}</main>"
        f'<script type="application/json" id="report">{data}</script></body></html>'
    )


def figure(title: str, chart: Any) -> str:
    """Draw a chart under its heading; nothing where there is no chart."""
    if chart is None:
        return ""
    drawn = f'<figure role="img" aria-label="{escape(title)}">{to_svg(chart)}</figure>'
    return f"<section><h2>{escape(title)}</h2>{drawn}</section>"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
