"""What results show of themselves outside a page: a chart, a table, and a piece of HTML for a notebook."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa

from nilometer.decisions import Decisions, Report, RouteReport, Watch
from nilometer.display import finite
from nilometer.estimators import ModelQualities, SliceEstimates
from nilometer.traces import Diagnosis

from .charts import slice_chart, window_chart
from .page import render
from .result_charts import coverage_chart, decision_chart
from .route_charts import quality_chart
from .routes import model_table
from .tables import Column, Table, interval, slice_table
from .watch import watch_table, window_rows

__all__ = ["frame_result", "plot_result", "show_result"]

_MOST_ROWS = 30


class _View(NamedTuple):
    """How one kind of result is shown."""

    chart: Callable[[Any], Any]
    table: Callable[[Any], Table]
    rows: Callable[[Any], list[dict[str, Any]]]
    """Plain values for a frame."""
    note: Callable[[Any], str]
    """One line above the table."""


def plot_result(result: Any) -> Any:
    """Draw the chart of a result; None where there is nothing to draw."""
    return _view(result).chart(result)


def frame_result(result: Any) -> Any:
    """Make the pandas data frame of a result, one row for each row of its table."""
    return pa.Table.from_pylist(finite(_view(result).rows(result))).to_pandas()


def show_result(result: Any) -> str:
    """Write a result as a piece of HTML for a notebook: a line, the table and the chart.

    All text is escaped as in the pages. There is no script in it.
    """
    view = _view(result)
    table = view.table(result)
    return render(
        "result.html",
        name=type(result).__name__,
        note=view.note(result),
        table=Table(table.columns, table.rows[:_MOST_ROWS]),
        more=max(len(table.rows) - _MOST_ROWS, 0),
        chart=view.chart(result),
    )


def _view(result: Any) -> _View:
    for kind in type(result).__mro__:
        if kind in _VIEWS:
            return _VIEWS[kind]
    known = ", ".join(sorted(kind.__name__ for kind in _VIEWS))
    raise TypeError(f"`result` must be one of {known}, got {type(result).__name__}.")


def _qualities(result: ModelQualities) -> Table:
    columns = (Column("model", is_text=True), Column("quality"), Column("interval"))
    rows = result.to_dicts()
    return Table(
        columns,
        [[row["model"], f"{row['quality']:.4g}", interval(row["low"], row["high"], digits=".3g")] for row in rows],
    )


def _decisions(result: Decisions) -> Table:
    names = ("risk", "stability")
    columns = (Column("answer", is_text=True), *map(Column, names), Column("runner-up", is_text=True))
    rows = []
    for row in result.to_dicts():
        numbers = ["" if row[name] is None else f"{row[name]:.3g}" for name in names]
        answer = "(abstained)" if row["abstained"] else str(row["value"])
        rows.append([answer, *numbers, "" if row["runner_up"] is None else str(row["runner_up"])])
    return Table(columns, rows)


def _diagnosis(result: Diagnosis) -> Table:
    columns = tuple(Column(name, is_text=True) for name in ("severity", "finding", "cure"))
    return Table(columns, [[found.severity, found.message, found.cure] for found in result.findings])


def _estimates_note(result: SliceEstimates) -> str:
    return f"{len(result):,} slices"


def _report_note(result: Report) -> str:
    return f"{result.n:,} responses, {result.n_labels:,} labels, slices by {', '.join(result.by)}, {result.method}"


def _route_note(result: RouteReport) -> str:
    return f"{result.n_prompts:,} prompts. {result.best} first. {result.separation}."


_VIEWS: dict[type, _View] = {
    SliceEstimates: _View(slice_chart, slice_table, SliceEstimates.to_dicts, _estimates_note),
    Report: _View(
        slice_chart,
        lambda result: slice_table(result.estimates, result.by),
        lambda result: result.estimates.to_dicts(),
        _report_note,
    ),
    Watch: _View(
        window_chart,
        watch_table,
        window_rows,
        lambda result: f"{len(result.windows):,} windows after the reference, {len(result.alerts):,} alerts",
    ),
    RouteReport: _View(
        quality_chart, model_table, lambda result: [row._asdict() for row in result.models], _route_note
    ),
    ModelQualities: _View(
        quality_chart, _qualities, ModelQualities.to_dicts, lambda result: f"{result.n_prompts:,} prompts"
    ),
    Decisions: _View(
        decision_chart,
        _decisions,
        lambda result: result.to_arrow().to_pylist(),
        lambda result: f"{len(result):,} decisions by {result.rule}, expected {result.expected:.4g}",
    ),
    Diagnosis: _View(
        coverage_chart,
        _diagnosis,
        lambda result: result.to_dict()["findings"],
        lambda result: f"{result.n_traces:,} responses: {'usable' if result.usable else 'not usable'}",
    ),
}
