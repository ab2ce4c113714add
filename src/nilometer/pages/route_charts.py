"""The charts of the routing report as Altair specifications."""

from itertools import pairwise
from typing import Any

import altair as alt

from nilometer.decisions import PolicyPoint, RouteReport, SliceRow
from nilometer.estimators import ModelQualities

from .charts import chart_names, chart_rows
from .colours import COLOURS, SERIES

__all__ = ["cost_quality_chart", "quality_chart", "slice_quality_chart"]

_BLUE, _ORANGE, _GREY = (COLOURS[name].light for name in ("estimated", "realized", "neutral"))
_KINDS = {
    "model": (_GREY, "circle"),
    "route": (_BLUE, "square"),
    "select": (COLOURS["selected"].light, "triangle-up"),
    "cascade": (_ORANGE, "diamond"),
    "random": (COLOURS["faint"].light, "cross"),
    "oracle": (COLOURS["ink"].light, "triangle-down"),
}


def quality_chart(report: RouteReport | ModelQualities, *, width: int = 420) -> Any:
    """Draw each model's quality with its interval: accuracy where labels are known, else agreement."""
    if isinstance(report, ModelQualities):
        rows = report.to_dicts()
        return _intervals([{**row, "value": row["quality"]} for row in rows], labelled=False, width=width)
    labelled = any(row.accuracy is not None for row in report.models)
    return _intervals(
        [
            {
                "model": row.model,
                "value": row.accuracy if labelled else row.quality,
                "low": row.accuracy_low if labelled else row.low,
                "high": row.accuracy_high if labelled else row.high,
            }
            for row in report.models
        ],
        labelled=labelled,
        width=width,
    )


def _intervals(rows: list[dict[str, Any]], *, labelled: bool, width: int) -> Any:
    names = chart_names([row["model"] for row in rows])
    data = chart_rows([{**row, "model": name} for row, name in zip(rows, names, strict=True)])
    title = "accuracy" if labelled else "quality (minus estimated error)"
    scale = alt.Scale(domain=[0, 1]) if labelled else alt.Scale(zero=False)
    base = alt.Chart(data).encode(y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelLimit=width * 0.6)))
    bars = base.mark_rule(color=_BLUE, opacity=0.45, strokeWidth=3).encode(
        x=alt.X("low:Q", scale=scale, title=title), x2="high:Q"
    )
    points = base.mark_point(color=_BLUE, filled=True, size=55).encode(x=alt.X("value:Q", scale=scale))
    return (bars + points).properties(width=width, height=max(60, 20 * len(rows)))


def cost_quality_chart(points: tuple[PolicyPoint, ...], *, unit: str, width: int = 480) -> Any:
    """Draw every policy at its cost and quality, with its interval; the line is the best mix of single models."""
    if not points:
        return None
    kinds = [kind for kind in _KINDS if any(p.kind == kind for p in points)]
    legend = alt.Legend(orient="top", title=None)
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=kinds, range=[_KINDS[kind][0] for kind in kinds]), legend=legend
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=[_KINDS[kind][1] for kind in kinds]), legend=legend)
    x = alt.X("cost:Q", title=f"{_title(unit)} per prompt", scale=_cost_scale([p.cost for p in points]))
    free = alt.Scale(zero=False)
    rows = _policy_rows(points)
    base = alt.Chart(chart_rows(rows)).encode(x=x, color=colour)
    bars = base.mark_rule(opacity=0.35).encode(y=alt.Y("low:Q", title="score", scale=free), y2="high:Q")
    dots = base.mark_point(filled=True, size=60).encode(
        y=alt.Y("quality:Q", scale=free), shape=shape, tooltip=["name:N", "cost:Q", "quality:Q"]
    )
    named = chart_rows([row for row in rows if row["kind"] in ("model", "oracle")])
    text = alt.Chart(named).mark_text(align="left", dx=7, fontSize=10)
    mixes = chart_rows([{"cost": cost, "quality": quality} for cost, quality in _mixes(_hull(points))])
    line = alt.Chart(mixes).mark_line(color=_GREY, strokeDash=[4, 4])
    y = alt.Y("quality:Q", scale=free)
    layers = (line.encode(x=x, y=y), _cascade_bands(points, x), bars, dots, text.encode(x=x, y=y, text="name:N"))
    return alt.layer(*layers).properties(width=width, height=320)


def _title(text: str) -> str:
    """Leave out what would end a string: the drawing library writes titles into expressions."""
    return chart_names([text])[0].replace("\\", "").replace('"', "")


def _policy_rows(points: tuple[PolicyPoint, ...]) -> list[dict[str, Any]]:
    names = chart_names([p.name for p in points])
    return [
        {"name": name, "kind": p.kind, "cost": p.cost, "quality": p.quality, "low": p.low, "high": p.high}
        for name, p in zip(names, points, strict=True)
    ]


def _cost_scale(costs: list[float]) -> Any:
    """Logarithmic where prices differ by more than ten times, so that cheap models do not lie on each other."""
    if min(costs) > 0 and max(costs) > 10 * min(costs):
        return alt.Scale(type="log", nice=False, domain=[0.8 * min(costs), 2.0 * max(costs)])
    return alt.Scale(zero=False, nice=True)


def _cascade_bands(points: tuple[PolicyPoint, ...], x: Any) -> Any:
    """Draw the curve of each cascade over its stopping share, with the band of its intervals."""
    rows = [
        {
            "cascade": chart_names([p.name.split(",")[0]])[0],
            "cost": p.cost,
            "quality": p.quality,
            "low": p.low,
            "high": p.high,
        }
        for p in points
        if p.kind == "cascade"
    ]
    base = alt.Chart(chart_rows(rows)).encode(x=x, detail="cascade:N")
    y = alt.Y("low:Q", scale=alt.Scale(zero=False))
    band = base.mark_area(color=_ORANGE, opacity=0.1).encode(y=y, y2="high:Q")
    curve = base.mark_line(color=_ORANGE, strokeWidth=1.2).encode(y=alt.Y("quality:Q", scale=alt.Scale(zero=False)))
    return band + curve


def slice_quality_chart(report: RouteReport, *, width: int = 420, most: int = 20) -> Any:
    """Draw the quality of every model in every slice with intervals.

    Parameters
    ----------
    report
        With slices.
    width
        Of the plot without its labels, in pixels.
    most
        Slices to draw; of more than that, those with most prompts.

    Returns
    -------
    The Altair chart, or None where no slice has estimates.
    """
    known = [row for row in report.slices if isinstance(row, SliceRow)]
    kept = {row.slice for row in sorted(known, key=lambda row: -row.n)[:most]}
    known = [row for row in known if row.slice in kept]
    if not known:
        return None
    models, names = chart_names(report.names), chart_names([row.slice for row in known])
    data = [
        {"slice": name, "model": model, "value": row.qualities[j], "low": row.low[j], "high": row.high[j]}
        for name, row in zip(names, known, strict=True)
        for j, model in enumerate(models)
    ]
    return _by_model(chart_rows(data), models, width=width, height=max(16, 7 * len(models)) * len(known))


def _by_model(data: Any, models: list[str], *, width: int, height: int) -> Any:
    colours = [SERIES[i % len(SERIES)].light for i in range(len(models))]
    shapes = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]
    legend = alt.Legend(orient="top", title=None, columns=max(1, width // 140), labelLimit=120)
    colour = alt.Color("model:N", legend=legend, scale=alt.Scale(domain=models, range=colours))
    shape = alt.Scale(domain=models, range=[shapes[i % len(shapes)] for i in range(len(models))])
    free = alt.Scale(zero=False)
    base = alt.Chart(data).encode(
        y=alt.Y("slice:N", sort=None, title=None, axis=alt.Axis(labelLimit=width * 0.5)),
        yOffset=alt.YOffset("model:N", sort=models),
        color=colour,
    )
    bars = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        x=alt.X("low:Q", scale=free, title="quality (minus estimated error)"), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=35).encode(
        x=alt.X("value:Q", scale=free), shape=alt.Shape("model:N", legend=legend, scale=shape)
    )
    return (bars + points).properties(width=width, height=max(80, height))


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
