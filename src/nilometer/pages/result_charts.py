"""The charts of results that have no page of their own."""

from typing import Any

import altair as alt

from nilometer.decisions import Decisions
from nilometer.traces import Diagnosis

from .charts import chart_names, chart_rows
from .colours import COLOURS

__all__ = ["coverage_chart", "decision_chart"]

_MOST = 40


def decision_chart(decisions: Decisions, *, width: int = 420) -> Any:
    """Draw every decision at its risk and its stability; None where no decision has both."""
    kinds = ["decided", "abstained"]
    values = [str(row.value) for row in decisions]
    rows = [
        {
            "answer": name,
            "risk": row.risk,
            "stability": row.stability,
            "kind": "abstained" if row.abstained else "decided",
        }
        for name, row in zip(chart_names(values), decisions, strict=True)
        if row.risk is not None and isinstance(row.stability, float)
    ]
    if not rows:
        return None
    colours = alt.Scale(domain=kinds, range=[COLOURS["estimated"].light, COLOURS["realized"].light])
    shapes = alt.Scale(domain=kinds, range=["circle", "diamond"])
    legend = alt.Legend(orient="top", title=None)
    return (
        alt.Chart(chart_rows(rows))
        .mark_point(filled=True, size=45, opacity=0.6)
        .encode(
            x=alt.X("risk:Q", title="expected loss"),
            y=alt.Y("stability:Q", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("kind:N", scale=colours, legend=legend),
            shape=alt.Shape("kind:N", scale=shapes, legend=legend),
            tooltip=["answer:N", "risk:Q", "stability:Q"],
        )
        .properties(width=width, height=240)
    )


def coverage_chart(diagnosis: Diagnosis, *, width: int = 420) -> Any:
    """Draw the responses of each slice and how many of them have a label; of each model where no slices were asked for.

    None without responses. Of more than 40 slices those with most responses are drawn.
    """
    counts = [(row.slice, row.n, row.n_labels) for row in diagnosis.coverage]
    is_by_slice = bool(counts)
    counts = counts or [(row.model, row.n_traces, 0) for row in diagnosis.models]
    counts = sorted(counts, key=lambda row: -row[1])[:_MOST]
    if not counts:
        return None
    names = chart_names([name for name, _, _ in counts])
    rows = [{"name": name, "n": n, "labels": labels} for name, (_, n, labels) in zip(names, counts, strict=True)]
    y = alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=width * 0.6))
    base = alt.Chart(chart_rows(rows)).encode(y=y)
    bars = base.mark_bar(color=COLOURS["estimated"].light, opacity=0.45).encode(x=alt.X("n:Q", title="responses"))
    height = max(60, 18 * len(rows))
    if not is_by_slice:
        return bars.properties(width=width, height=height)
    ticks = base.mark_tick(color=COLOURS["realized"].light, thickness=3, size=14).encode(
        x=alt.X("labels:Q", title="responses; the tick counts the labels")
    )
    return (bars + ticks).properties(width=width, height=height)
