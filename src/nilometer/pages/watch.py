"""The watch as one HTML file that opens offline: alerts, accuracy over windows, and what changed."""

from dataclasses import asdict
from typing import Any

from nilometer.decisions import Alert, Event, Watch, basis_of, short_name
from nilometer.estimators import Estimate

from .charts import Sizes, window_chart
from .page import render
from .tables import Column, Table, accuracy_cells, columns_of

__all__ = ["change_table", "event_rows", "render_watch_html", "watch_table", "window_rows", "window_sizes"]

_MOST_ROWS = 5000


def render_watch_html(watch: Watch, *, title: str = "Accuracy over time") -> str:
    """Write a watch as one HTML page. All text from traces is escaped; the numbers are in the page as JSON."""
    table = watch_table(watch)
    return render(
        "watch.html",
        numbers=_numbers(watch),
        script="table.js",
        title=title,
        watch=watch,
        events=event_rows(watch),
        windows=window_sizes(watch),
        changes=change_table(watch),
        table=table._replace(rows=table.rows[:_MOST_ROWS]),
        more=max(len(table.rows) - _MOST_ROWS, 0),
    )


def window_sizes(watch: Watch) -> Sizes | None:
    """Small charts beside each other, and below each other on a phone; None without estimates."""
    wide = window_chart(watch, width=280, columns=3)
    return None if wide is None else Sizes(wide, window_chart(watch, width=270, columns=1))


def _numbers(watch: Watch) -> dict[str, Any]:
    return {
        "by": watch.by,
        "windows": watch.windows,
        "rows": columns_of(window_rows(watch)[:_MOST_ROWS]),
        "changes": columns_of([{"at": window, **change._asdict()} for window, change in watch.changes], "slices"),
        "events": [event.sentence for event in watch.events],
        "alerts": columns_of([asdict(alert) for alert in watch.alerts[:_MOST_ROWS]]),
        "notes": watch.notes,
    }


def window_rows(watch: Watch) -> list[dict[str, Any]]:
    """Plain values of every window and slice; what is not known is None."""
    rows = []
    for row in watch.rows:
        estimate = row.estimate if isinstance(row.estimate, Estimate) else None
        rows.append(
            {
                "window": row.window,
                "slice": row.slice,
                "n": row.n,
                "share": row.share,
                "accuracy": estimate and estimate.accuracy,
                "low": estimate and estimate.low,
                "high": estimate and estimate.high,
                "realized_accuracy": row.realized and row.realized.accuracy,
                "n_labels": row.realized.n_labels if row.realized else 0,
                "basis": basis_of(row.estimate),
            }
        )
    return rows


def event_rows(watch: Watch) -> list[tuple[str, list[tuple[str, Alert]]]]:
    """Events, each as its sentence and the alerts behind it with the short names of their slices."""
    names = {row.slice: short_name(row.slice, watch.by) for row in watch.rows}
    return [
        (event.told(names), [(names.get(alert.slice, alert.slice), alert) for alert in _evidence(event)])
        for event in watch.events
    ]


def _evidence(event: Event) -> list[Alert]:
    return sorted(event.alerts, key=lambda alert: (alert.window, alert.slice))


def change_table(watch: Watch) -> Table | None:
    """Split the change of all traffic into mix and within, one row per window; None without estimates."""
    if not watch.changes:
        return None
    columns = map(Column, ("window", "in the reference", "in the window", "by the mix of slices", "within slices"))
    rows = [
        [window, f"{change.before:.3f}", f"{change.after:.3f}", f"{change.mix:+.3f}", f"{change.within:+.3f}"]
        for window, change in watch.changes
    ]
    return Table(tuple(columns), rows)


def watch_table(watch: Watch) -> Table:
    """One row per window and slice."""
    columns = (
        Column("window", is_text=True),
        Column("slice", is_text=True),
        *map(Column, ("responses", "share", "accuracy", "interval")),
        Column("rests on", is_text=True),
        Column("realised (labels)"),
    )
    rows = []
    for row in watch.rows:
        realized = "" if row.realized is None else f"{row.realized.accuracy:.3f} ({row.realized.n_labels:,})"
        name = short_name(row.slice, watch.by)
        rows.append(
            [
                row.window,
                name,
                f"{row.n:,}",
                f"{row.share:.1%}",
                *accuracy_cells(row.estimate),
                basis_of(row.estimate),
                realized,
            ]
        )
    return Table(columns, rows)
