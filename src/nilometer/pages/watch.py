"""The watch as one HTML file that opens offline: alerts, accuracy over windows, and what changed."""

from nilometer.decisions import Alert, Watch, short_name

from .charts import window_chart
from .page import render
from .tables import Column, Table, accuracy_cells

__all__ = ["alert_rows", "change_table", "render_watch_html", "watch_table"]


def render_watch_html(watch: Watch, *, title: str = "Accuracy over time") -> str:
    """Write a watch as one HTML page. All text from traces is escaped; the numbers are in the page as JSON."""
    return render(
        "watch.html",
        numbers=watch.to_dict(),
        title=title,
        watch=watch,
        alerts=alert_rows(watch),
        windows=window_chart(watch),
        changes=change_table(watch),
        table=watch_table(watch),
    )


def alert_rows(watch: Watch) -> list[tuple[str, Alert]]:
    """Alerts, each with the short name of its slice."""
    return [(short_name(alert.slice, watch.by), alert) for alert in watch.alerts]


def change_table(watch: Watch) -> Table | None:
    """Split the change of all traffic into mix and within, one row per window; None without estimates."""
    if not watch.changes:
        return None
    columns = map(Column, ("window", "reference", "window", "by the mix of slices", "within slices"))
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
        *map(Column, ("responses", "share", "estimated", "interval", "realised (labels)")),
    )
    rows = []
    for row in watch.rows:
        realized = "" if row.realized is None else f"{row.realized.accuracy:.3f} ({row.realized.n_labels:,})"
        name = short_name(row.slice, watch.by)
        rows.append([row.window, name, f"{row.n:,}", f"{row.share:.1%}", *accuracy_cells(row.estimate), realized])
    return Table(columns, rows)
