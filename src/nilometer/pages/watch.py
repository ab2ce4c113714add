"""The watch as one HTML file that opens offline: alerts, accuracy over windows, and what changed."""

from html import escape
from typing import Any

import altair as alt

from nilometer.decisions import Watch, short_name
from nilometer.estimators import Estimate

from .page import figure, page

__all__ = ["alert_list", "change_table", "render_watch_html", "window_figure"]

_BLUE, _ORANGE = "#2166ac", "#c4561a"


def render_watch_html(watch: Watch, *, title: str = "Accuracy over time") -> str:
    """Write a watch as one HTML page. All text from traces is escaped; the numbers are in the page as JSON."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=soft>slices by {escape(', '.join(watch.by))} · {len(watch.windows)} windows after the reference</p>",
        alert_list(watch),
        window_figure(watch),
        change_table(watch),
        "<h2>Every slice and window</h2>" + _rows(watch),
        "<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in watch.notes) + "</ul>"
        if watch.notes
        else "",
    ]
    return page(title, parts, numbers=watch.to_dict())


def alert_list(watch: Watch) -> str:
    """List the alerts, or say that there is none."""
    if not watch.alerts:
        return "<p><b>No alert.</b></p>"
    items = "".join(
        f"<li><b>{escape(alert.window)}, {escape(short_name(alert.slice, watch.by))}</b>: {escape(alert.message)}"
        + (f" <span class=soft>p = {alert.p_value:.2g}</span>" if alert.p_value is not None else "")
        + "</li>"
        for alert in watch.alerts
    )
    return f"<h2>{len(watch.alerts)} alert{'s' * (len(watch.alerts) > 1)}</h2><ul>{items}</ul>"


def window_figure(watch: Watch) -> str:
    """Draw one small chart per slice under a heading; nothing without estimates."""
    return figure("Accuracy by window; the band is the interval, the dot the accuracy by labels", _chart(watch))


def _chart(watch: Watch) -> Any:
    rows = [
        {
            "window": row.window,
            "slice": short_name(row.slice, watch.by),
            "estimated": row.estimate.accuracy,
            "low": row.estimate.low,
            "high": row.estimate.high,
            "realized": None if row.realized is None else row.realized.accuracy,
        }
        for row in watch.rows
        if isinstance(row.estimate, Estimate)
    ]
    if not rows:
        return None
    order = list(dict.fromkeys(row.window for row in watch.rows))
    base = alt.Chart().encode(x=alt.X("window:N", sort=order, title=None, axis=alt.Axis(labelAngle=-45)))
    scale = alt.Scale(domain=[0, 1])
    band = base.mark_area(color=_BLUE, opacity=0.15).encode(y=alt.Y("low:Q", scale=scale, title=None), y2="high:Q")
    line = base.mark_line(color=_BLUE, point=True).encode(y=alt.Y("estimated:Q", scale=scale))
    dots = base.mark_point(color=_ORANGE, filled=True, size=45).encode(y=alt.Y("realized:Q", scale=scale))
    one = alt.layer(band, line, dots).properties(width=210, height=110)
    return one.facet(facet=alt.Facet("slice:N", title=None), columns=3, data=alt.Data(values=rows))


def change_table(watch: Watch) -> str:
    """Split the change of all traffic into mix and within, one row per window; empty without estimates."""
    if not watch.changes:
        return ""
    rows = "".join(
        f"<tr><td>{escape(window)}</td><td>{change.before:.3f}</td><td>{change.after:.3f}</td><td>{change.mix:+.3f}</td>"
        f"<td>{change.within:+.3f}</td></tr>"
        for window, change in watch.changes
    )
    return (
        "<h2>Change of the estimated accuracy of all traffic</h2><div class=wide><table><thead><tr><th scope=col>window"
        "<th scope=col>reference<th scope=col>window<th scope=col>by the mix of slices<th scope=col>within slices"
        "</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _rows(watch: Watch) -> str:
    rows = []
    for row in watch.rows:
        cells = "<td>unknown</td><td></td>"
        if isinstance(row.estimate, Estimate):
            cells = f"<td>{row.estimate.accuracy:.3f}</td><td>{row.estimate.low:.3f} to {row.estimate.high:.3f}</td>"
        realized = "" if row.realized is None else f"{row.realized.accuracy:.3f} ({row.realized.n_labels:,})"
        name = escape(short_name(row.slice, watch.by))
        rows.append(
            f"<tr><td>{escape(row.window)}</td><td class=text>{name}</td><td>{row.n:,}</td><td>{row.share:.1%}</td>"
            f"{cells}<td>{realized}</td></tr>"
        )
    head = "".join(
        f"<th scope=col>{name}"
        for name in ("window", "slice", "responses", "share", "estimated", "interval", "realised (labels)")
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
