"""The charts of the routing report as Altair specifications."""

from itertools import pairwise
from typing import Any

import altair as alt

from nilometer.decisions import PolicyPoint, RouteReport, SliceRow

__all__ = ["cost_quality_chart", "quality_chart", "slice_quality_chart"]

_BLUE, _ORANGE, _GREY = "#2166ac", "#c4561a", "#8a8a8a"
_KINDS = {
    "model": _GREY,
    "route": _BLUE,
    "select": "#4d9221",
    "cascade": _ORANGE,
    "random": "#bdbdbd",
    "oracle": "#000000",
}


def quality_chart(report: RouteReport) -> Any:
    """Draw each model's quality with its interval: accuracy where labels are known, else agreement."""
    labelled = any(row.accuracy is not None for row in report.models)
    rows = [
        {
            "model": row.model,
            "value": row.accuracy if labelled else row.quality,
            "low": row.accuracy_low if labelled else row.low,
            "high": row.accuracy_high if labelled else row.high,
        }
        for row in report.models
    ]
    title = "accuracy" if labelled else "quality (minus estimated error)"
    scale = alt.Scale(domain=[0, 1]) if labelled else alt.Scale(zero=False)
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelLimit=320))
    )
    bars = base.mark_rule(color=_BLUE, opacity=0.45, strokeWidth=3).encode(
        x=alt.X("low:Q", scale=scale, title=title), x2="high:Q"
    )
    points = base.mark_point(color=_BLUE, filled=True, size=55).encode(x=alt.X("value:Q", scale=scale))
    return (bars + points).properties(width=420, height=max(60, 20 * len(rows)))


def cost_quality_chart(points: tuple[PolicyPoint, ...], *, unit: str) -> Any:
    """Draw every policy at its cost and quality, with its interval; the line is the best mix of single models."""
    if not points:
        return None
    rows = [
        {"name": p.name, "kind": p.kind, "cost": p.cost, "quality": p.quality, "low": p.low, "high": p.high}
        for p in points
    ]
    kinds = [kind for kind in _KINDS if any(p.kind == kind for p in points)]
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=kinds, range=[_KINDS[kind] for kind in kinds]),
        legend=alt.Legend(orient="top", title=None),
    )
    x = alt.X("cost:Q", title=f"{unit} per prompt", scale=_cost_scale([p.cost for p in points]))
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=colour)
    bars = base.mark_rule(opacity=0.35).encode(
        y=alt.Y("low:Q", title="score", scale=alt.Scale(zero=False)), y2="high:Q"
    )
    dots = base.mark_point(filled=True, size=60).encode(
        y=alt.Y("quality:Q", scale=alt.Scale(zero=False)), tooltip=["name:N", "cost:Q", "quality:Q"]
    )
    named = [row for row in rows if row["kind"] in ("model", "oracle")]
    text = (
        alt.Chart(alt.Data(values=named))
        .mark_text(align="left", dx=7, fontSize=10)
        .encode(x=x, y=alt.Y("quality:Q", scale=alt.Scale(zero=False)), text="name:N")
    )
    hull = [{"cost": cost, "quality": quality} for cost, quality in _mixes(_hull(points))]
    line = (
        alt.Chart(alt.Data(values=hull))
        .mark_line(color=_GREY, strokeDash=[4, 4])
        .encode(x=x, y=alt.Y("quality:Q", scale=alt.Scale(zero=False)))
    )
    return (line + _cascade_bands(points, x) + bars + dots + text).properties(width=480, height=320)


def _cost_scale(costs: list[float]) -> Any:
    """Logarithmic where prices differ by more than ten times, so that cheap models do not lie on each other."""
    if min(costs) > 0 and max(costs) > 10 * min(costs):
        return alt.Scale(type="log", nice=False, domain=[0.8 * min(costs), 2.0 * max(costs)])
    return alt.Scale(zero=False, nice=True)


def _cascade_bands(points: tuple[PolicyPoint, ...], x: Any) -> Any:
    """Draw the curve of each cascade over its stopping share, with the band of its intervals."""
    rows = [
        {"cascade": p.name.split(",")[0], "cost": p.cost, "quality": p.quality, "low": p.low, "high": p.high}
        for p in points
        if p.kind == "cascade"
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, detail="cascade:N")
    y = alt.Y("low:Q", scale=alt.Scale(zero=False))
    band = base.mark_area(color=_ORANGE, opacity=0.1).encode(y=y, y2="high:Q")
    curve = base.mark_line(color=_ORANGE, strokeWidth=1.2).encode(y=alt.Y("quality:Q", scale=alt.Scale(zero=False)))
    return band + curve


def slice_quality_chart(report: RouteReport) -> Any:
    """Draw the quality of every model in every slice with intervals."""
    rows = [
        {"slice": row.slice, "model": name, "value": row.qualities[j], "low": row.low[j], "high": row.high[j]}
        for row in report.slices
        if isinstance(row, SliceRow)
        for j, name in enumerate(report.names)
    ]
    if not rows:
        return None
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("slice:N", sort=None, title=None, axis=alt.Axis(labelLimit=240)),
        yOffset="model:N",
        color=alt.Color("model:N", legend=alt.Legend(orient="top", title=None)),
    )
    scale = alt.Scale(zero=False)
    bars = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        x=alt.X("low:Q", scale=scale, title="quality (minus estimated error)"), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=35).encode(x=alt.X("value:Q", scale=scale))
    per_slice = max(16, 7 * len(report.names))
    return (bars + points).properties(width=420, height=max(80, per_slice * len(rows) // len(report.names)))


def _hull(points: tuple[PolicyPoint, ...]) -> list[tuple[float, float]]:
    """Upper concave hull of the single models, cheapest first: what a random mix of two reaches."""
    singles = sorted({(p.cost, p.quality) for p in points if p.kind == "model"})
    hull: list[tuple[float, float]] = []
    for cost, quality in singles:
        if hull and quality <= hull[-1][1]:
            continue
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], (cost, quality)):
            hull.pop()
        hull.append((cost, quality))
    return hull


def _mixes(hull: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points between the corners, since a mix is straight in the cost and not in its logarithm."""
    shares = [i / 20 for i in range(20)]
    between = [
        ((1 - share) * a[0] + share * b[0], (1 - share) * a[1] + share * b[1])
        for a, b in pairwise(hull)
        for share in shares
    ]
    return [*between, *hull[-1:]]


def _turns_up(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])
