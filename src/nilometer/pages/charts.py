"""The charts of the report as Altair specifications, the same for notebook, page and console."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import altair as alt

from nilometer.decisions import Curve, Report, Watch, WindowSlice, rank_slices, short_name
from nilometer.display import finite, visible_text
from nilometer.estimators import Estimate, NotEnoughData, SliceEstimates

from .colours import COLOURS

__all__ = [
    "Sizes",
    "calibration_chart",
    "chart_names",
    "chart_rows",
    "curve_chart",
    "sizes",
    "slice_chart",
    "to_svg",
    "window_chart",
]

_BLUE, _ORANGE = COLOURS["estimated"].light, COLOURS["realized"].light
_INK, _SOFT, _LINE = (COLOURS[name].light for name in ("ink", "soft", "line"))
_MOST_CHARACTERS = 60
_UNIT = alt.Scale(domain=[0, 1])
_THEME = {
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelColor": _SOFT,
        "titleColor": _INK,
        "gridColor": _LINE,
        "domainColor": _SOFT,
        "tickColor": _SOFT,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 12,
    },
    "legend": {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 11},
    "header": {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 11},
    "text": {"color": _INK},
}
"""Only for the drawn picture: a chart without a configuration can be laid over others in a notebook."""


def slice_chart(report: Report | SliceEstimates, *, width: int = 420, most: int = 40) -> Any:
    """Draw the accuracy of each slice with its interval, and the accuracy of its labels alone as a tick.

    Parameters
    ----------
    report
        A report, or estimates alone.
    width
        Of the plot without its labels, in pixels.
    most
        Slices to draw; of more than that, those with the lowest estimates. A report's come most wrong answers first.

    Returns
    -------
    The Altair chart, or None where no slice has an estimate.
    """
    rows, by = (_ranked(report), report.by) if isinstance(report, Report) else (report, ())
    known = _lowest([row for row in rows if isinstance(row, Estimate)], most)
    names = chart_names([short_name(row.slice, by) for row in known])
    data = [
        {"slice": name, "estimated": row.accuracy, "low": row.low, "high": row.high, "realized": row.realized_accuracy}
        for name, row in zip(names, known, strict=True)
    ]
    if not data:
        return None
    y = alt.Y("slice:N", sort=None, title=None, axis=alt.Axis(labelLimit=width * 0.6))
    base = alt.Chart(chart_rows(data)).encode(y=y)
    bars = base.mark_rule(color=_BLUE, opacity=0.45, strokeWidth=3).encode(
        x=alt.X("low:Q", scale=_UNIT, title="accuracy"), x2="high:Q"
    )
    points = base.mark_point(color=_BLUE, filled=True, size=55).encode(x=alt.X("estimated:Q", scale=_UNIT))
    ticks = base.mark_tick(color=_ORANGE, thickness=3, size=14).encode(x=alt.X("realized:Q", scale=_UNIT))
    return (bars + points + ticks).properties(width=width, height=max(60, 18 * len(data)))


def _ranked(report: Report) -> list[Estimate | NotEnoughData]:
    rows = {row.slice: row for row in report.estimates}
    return [rows[rank.slice] for rank in rank_slices(report)]


def _lowest(rows: list[Estimate], most: int) -> list[Estimate]:
    """At most so many rows, those of the lowest accuracy, in the order they came."""
    kept = {id(row) for row in sorted(rows, key=lambda row: row.accuracy)[:most]}
    return [row for row in rows if id(row) in kept]


def curve_chart(curves: Sequence[Curve], *, x: str, y: str, width: int = 420) -> Any:
    """Draw curves with their bands under the given titles of the axes; None without curves."""
    names = chart_names([curve.name for curve in curves])
    rows = [
        {"name": name, "x": a, "y": b, "low": b - h, "high": b + h}
        for name, c in zip(names, curves, strict=True)
        for a, b, h in zip(c.x, c.y, c.half or (0.0,) * len(c.x), strict=True)
    ]
    if not rows:
        return None
    colours = {"correct": _BLUE, "wrong": _ORANGE}
    scale = alt.Scale(domain=names, range=[colours.get(name, COLOURS["neutral"].light) for name in names])
    dashes = alt.Scale(domain=names, range=[[6, 3] if name == "wrong" else [1, 0] for name in names])
    legend = alt.Legend(orient="top")
    colour = alt.Color("name:N", scale=scale, title=None, legend=legend)
    base = alt.Chart(chart_rows(rows)).encode(x=alt.X("x:Q", title=x), color=colour)
    band = base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", title=y), y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(
        y="y:Q", strokeDash=alt.StrokeDash("name:N", scale=dashes, title=None, legend=legend)
    )
    return (band + line).properties(width=width, height=200)


def calibration_chart(curve: Curve | None, *, width: int = 420) -> Any:
    """Draw the share of correct answers against the probability given, with the diagonal; None without a curve."""
    if curve is None:
        return None
    rows = [
        {"p": a, "share": b, "low": b - h, "high": b + h} for a, b, h in zip(curve.x, curve.y, curve.half, strict=True)
    ]
    base = alt.Chart(chart_rows(rows)).encode(x=alt.X("p:Q", title="probability given", scale=_UNIT))
    line = alt.Chart(alt.Data(values=[{"p": 0, "share": 0}, {"p": 1, "share": 1}]))
    diagonal = line.mark_line(color=COLOURS["neutral"].light, strokeDash=[4, 4]).encode(x="p:Q", y="share:Q")
    bars = base.mark_rule(color=_BLUE).encode(y=alt.Y("low:Q", title="share correct"), y2="high:Q")
    points = base.mark_point(color=_BLUE, filled=True).encode(y="share:Q")
    return (diagonal + bars + points).properties(width=width, height=240)


def window_chart(watch: Watch, *, width: int = 210, columns: int = 3, most: int = 12) -> Any:
    """Draw estimated and realised accuracy over the windows, one small chart a slice; None without estimates.

    Parameters
    ----------
    watch
        Of a sentinel.
    width
        Of one small chart, in pixels.
    columns
        Small charts beside each other.
    most
        Slices to draw; of more than that, those with the lowest estimate in any window.
    """
    known = [(row, row.estimate) for row in watch.rows if isinstance(row.estimate, Estimate)]
    by_accuracy = sorted(known, key=lambda pair: pair[1].accuracy)
    kept = set(list(dict.fromkeys(row.slice for row, _ in by_accuracy))[:most])
    known = [pair for pair in known if pair[0].slice in kept]
    if not known:
        return None
    names = chart_names([short_name(row.slice, watch.by) for row, _ in known])
    windows = list(dict.fromkeys(row.window for row in watch.rows))
    order = chart_names(windows)
    shown = dict(zip(windows, order, strict=True))
    rows = [{**_window(*pair), "slice": name} for pair, name in zip(known, names, strict=True)]
    data = chart_rows([{**row, "window": shown[row["window"]]} for row in rows])
    base = alt.Chart().encode(x=alt.X("window:N", sort=order, title=None, axis=alt.Axis(labelAngle=-45)))
    band = base.mark_area(color=_BLUE, opacity=0.15).encode(y=alt.Y("low:Q", scale=_UNIT, title=None), y2="high:Q")
    line = base.mark_line(color=_BLUE, point=True).encode(y=alt.Y("estimated:Q", scale=_UNIT))
    dots = base.mark_point(color=_ORANGE, filled=True, shape="diamond", size=55).encode(
        y=alt.Y("realized:Q", scale=_UNIT)
    )
    one = alt.layer(band, line, dots).properties(width=width, height=110)
    facets = alt.Facet("slice:N", title=None, sort=None)
    return one.facet(facet=facets, columns=columns, data=data, spacing=28)


def _window(row: WindowSlice, estimate: Estimate) -> dict[str, Any]:
    return {
        "window": row.window,
        "estimated": estimate.accuracy,
        "low": estimate.low,
        "high": estimate.high,
        "realized": None if row.realized is None else row.realized.accuracy,
    }


class Sizes(NamedTuple):
    """A chart as wide as a screen allows, and as narrow as a phone."""

    wide: Any
    narrow: Any


def sizes(draw: Callable[[int], Any], *, wide: int, narrow: int) -> Sizes | None:
    """Draw a chart at two widths; None where there is nothing to draw."""
    drawn = draw(wide)
    return None if drawn is None else Sizes(drawn, draw(narrow))


def chart_names(names: Sequence[str]) -> list[str]:
    """Write names as a chart can draw them: visible, short, in one line, and as different as they were.

    Examples
    --------
    >>> chart_names(["a", "b" * 100, "b" * 100 + "c"])[1:] == ["b" * 60 + "…", "b" * 60 + "… (2)"]
    True
    """
    drawn: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        short = visible_text(" ".join(name.split()))
        short = short if len(short) <= _MOST_CHARACTERS else f"{short[:_MOST_CHARACTERS]}…"
        candidates = (short if i == 1 else f"{short} ({i})" for i in count(1))
        drawn[name] = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(drawn[name])
    return [drawn[name] for name in names]


def chart_rows(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Turn rows into the data of a chart, text visible and numbers finite."""
    return alt.Data(values=_visible(finite(list(rows))))


def to_svg(chart: Any) -> str:
    """Draw a chart as SVG text, in the colours of the pages, with nothing fetched.

    Text is cleaned once more here: a control character would end the process in the drawing library.
    """
    import vl_convert

    spec = _visible(chart.to_dict())
    config = {**spec.get("config", {}), **_THEME}
    return str(vl_convert.vegalite_to_svg(json.dumps({**spec, "config": config})))


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible_text(value)
    if isinstance(value, dict):
        return {visible_text(key): _visible(item) for key, item in value.items()}
    return [_visible(item) for item in value] if isinstance(value, list) else value
