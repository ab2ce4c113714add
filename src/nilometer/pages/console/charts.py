"""Charts of the console: the same Altair specifications as everywhere, drawn on the server, kept by their content."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
from markupsafe import Markup

from ..charts import chart_rows, to_svg
from ..colours import COLOURS

__all__ = ["entropy_svg", "left_out_svg", "timeline_svg"]

_BLUE, _ORANGE, _SOFT = (COLOURS[name].light for name in ("estimated", "realized", "soft"))
_UNIT = alt.Scale(domain=[0, 1])
_KEPT = 256
_MARKS = {"alert": _ORANGE, "resolved": _SOFT, "model": COLOURS["selected"].light}


def timeline_svg(
    moments: Sequence[Mapping[str, Any]], marks: Sequence[Mapping[str, Any]], *, target: float | None = None
) -> Markup | None:
    """Draw estimates with their intervals over time, labels as diamonds, alerts and other models as lines.

    Parameters
    ----------
    moments
        With ``hour``, ``accuracy``, ``low``, ``high``, ``realized_accuracy``, ``n_random_labels``.
    marks
        With ``hour`` and ``kind``.
    target
        Least accuracy, drawn as a line.

    Returns
    -------
    SVG, or None where no moment has an estimate.
    """
    names = ("hour", "accuracy", "low", "high", "realized_accuracy", "n_random_labels")
    rows = [{name: moment[name] for name in names} for moment in moments if moment["accuracy"] is not None]
    if not rows:
        return None
    lines = [{"hour": mark["hour"], "kind": mark["kind"]} for mark in marks]
    return _drawn(json.dumps({"rows": rows, "lines": lines, "target": target}), "timeline")


def entropy_svg(lines: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Draw the mean entropy along the answers, now and before; None without any."""
    if not lines:
        return None
    rows = [
        {"when": line["name"], "tenth": i + 1, "entropy": value}
        for line in lines
        for i, value in enumerate(line["values"])
    ]
    return _drawn(json.dumps({"rows": rows}), "entropy")


def left_out_svg(rows: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Draw the accuracy of labelled slices against their estimate without their labels; None without any."""
    plain = [{"estimated": row["estimated"], "realized": row["realized"]} for row in rows]
    return _drawn(json.dumps({"rows": plain}), "left out") if plain else None


@lru_cache(maxsize=_KEPT)
def _drawn(data: str, kind: str) -> Markup:
    draw = {"timeline": _timeline, "entropy": _entropy, "left out": _left_out}[kind]
    return Markup(to_svg(draw(json.loads(data))))


def _left_out(values: dict[str, Any]) -> Any:
    ends = chart_rows([{"estimated": end, "realized": end} for end in (0, 1)])
    base = alt.Chart(chart_rows(values["rows"])).encode(
        x=alt.X("estimated:Q", scale=_UNIT, title="estimated without its labels"),
        y=alt.Y("realized:Q", scale=_UNIT, title="by its labels"),
    )
    diagonal = alt.Chart(ends).mark_line(color=COLOURS["neutral"].light, strokeDash=[4, 4])
    same = diagonal.encode(x="estimated:Q", y="realized:Q")
    return (same + base.mark_point(color=_BLUE, filled=True, size=45)).properties(width=260, height=240)


def _timeline(values: dict[str, Any]) -> Any:
    rows = chart_rows([{**row, "time": row["hour"] * 3_600_000} for row in values["rows"]])
    time = alt.X("time:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(labelOverlap=True, tickCount=8))
    base = alt.Chart(rows).encode(x=time)
    spans = base.mark_rule(color=_BLUE, opacity=0.35, strokeWidth=4).encode(
        y=alt.Y("low:Q", scale=_UNIT, title="accuracy"), y2="high:Q"
    )
    line = base.mark_line(color=_BLUE, strokeWidth=1.5, point=alt.OverlayMarkDef(color=_BLUE, size=28)).encode(
        y=alt.Y("accuracy:Q", scale=_UNIT)
    )
    labels = (
        base.transform_filter("datum.n_random_labels >= 5")
        .mark_point(color=_ORANGE, filled=True, shape="diamond", size=60)
        .encode(y=alt.Y("realized_accuracy:Q", scale=_UNIT))
    )
    layers = [spans, line, labels]
    marks = [{**mark, "time": mark["hour"] * 3_600_000} for mark in values["lines"]]
    for kind, colour in _MARKS.items():
        own = [mark for mark in marks if mark["kind"] == kind]
        if own:
            dash = [1, 0] if kind == "alert" else [4, 3]
            layers.append(alt.Chart(chart_rows(own)).mark_rule(color=colour, strokeDash=dash).encode(x=time))
    if values["target"] is not None:
        least = alt.Chart(chart_rows([{"target": values["target"]}]))
        layers.append(least.mark_rule(color=_SOFT, strokeDash=[2, 3]).encode(y=alt.Y("target:Q", scale=_UNIT)))
    return alt.layer(*layers).properties(width=760, height=230)


def _entropy(values: dict[str, Any]) -> Any:
    names = list(dict.fromkeys(row["when"] for row in values["rows"]))
    colours = [_BLUE, COLOURS["neutral"].light][: len(names)]
    dashes = [[1, 0], [5, 3]][: len(names)]
    legend = alt.Legend(orient="top", title=None)
    return (
        alt.Chart(chart_rows(values["rows"]))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("tenth:O", title="tenth of the answer", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("entropy:Q", title="mean entropy, nats"),
            color=alt.Color("when:N", scale=alt.Scale(domain=names, range=colours), legend=legend),
            strokeDash=alt.StrokeDash("when:N", scale=alt.Scale(domain=names, range=dashes), legend=legend),
        )
        .properties(width=380, height=180)
    )
