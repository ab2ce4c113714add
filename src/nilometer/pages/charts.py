"""The charts of a report as Altair specifications, the same for notebook, page and dashboard."""

from typing import Any

import altair as alt

from nilometer.decisions import Curve, Report, short_name
from nilometer.estimators import Estimate

__all__ = ["calibration_chart", "curve_chart", "slice_chart", "to_svg"]

_BLUE, _ORANGE, _GREY = "#2166ac", "#c4561a", "#8a8a8a"


def slice_chart(report: Report) -> Any:
    """Draw the estimated accuracy of each slice with its interval, and the realised accuracy as a tick."""
    rows = [
        {
            "slice": short_name(row.slice, report.by),
            "estimated": row.accuracy,
            "low": row.low,
            "high": row.high,
            "realized": row.realized_accuracy,
        }
        for row in report.estimates
        if isinstance(row, Estimate)
    ]
    if not rows:
        return None
    y = alt.Y("slice:N", sort=None, title=None, axis=alt.Axis(labelLimit=320))
    base = alt.Chart(alt.Data(values=rows)).encode(y=y)
    scale = alt.Scale(domain=[0, 1])
    bars = base.mark_rule(color=_BLUE, opacity=0.45, strokeWidth=3).encode(
        x=alt.X("low:Q", scale=scale, title="accuracy"), x2="high:Q"
    )
    points = base.mark_point(color=_BLUE, filled=True, size=55).encode(x=alt.X("estimated:Q", scale=scale))
    ticks = base.mark_tick(color=_ORANGE, thickness=3, size=14).encode(x=alt.X("realized:Q", scale=scale))
    return (bars + points + ticks).properties(width=420, height=max(60, 18 * len(rows)))


def curve_chart(curves: tuple[Curve, ...], *, x: str, y: str) -> Any:
    """Draw curves with their bands."""
    rows = [
        {"name": c.name, "x": a, "y": b, "low": b - h, "high": b + h}
        for c in curves
        for a, b, h in zip(c.x, c.y, c.half or (0.0,) * len(c.x), strict=True)
    ]
    if not rows:
        return None
    colours = {"correct": _BLUE, "wrong": _ORANGE}
    names = [curve.name for curve in curves]
    scale = alt.Scale(domain=names, range=[colours.get(name, _GREY) for name in names])
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:Q", title=x),
        color=alt.Color(
            "name:N", scale=scale, title=None, legend=alt.Legend(orient="top", symbolType="square", symbolOpacity=1)
        ),
    )
    band = base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", title=y), y2="high:Q")
    return (band + base.mark_line(strokeWidth=2).encode(y="y:Q")).properties(width=420, height=200)


def calibration_chart(curve: Curve | None) -> Any:
    """Draw the share of correct answers against the probability given, with the diagonal."""
    if curve is None:
        return None
    rows = [
        {"p": a, "share": b, "low": b - h, "high": b + h} for a, b, h in zip(curve.x, curve.y, curve.half, strict=True)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("p:Q", title="probability given", scale=alt.Scale(domain=[0, 1]))
    )
    line = alt.Chart(alt.Data(values=[{"p": 0, "share": 0}, {"p": 1, "share": 1}]))
    diagonal = line.mark_line(color=_GREY, strokeDash=[4, 4]).encode(x="p:Q", y="share:Q")
    bars = base.mark_rule(color=_BLUE).encode(y=alt.Y("low:Q", title="share correct"), y2="high:Q")
    return (diagonal + bars + base.mark_point(color=_BLUE, filled=True).encode(y="share:Q")).properties(
        width=420, height=240
    )


def to_svg(chart: Any) -> str:
    """Render a chart to SVG text, with nothing fetched."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(chart.to_json()))
