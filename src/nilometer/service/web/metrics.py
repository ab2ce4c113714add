"""Prometheus metrics of a store; a series that cannot be known is absent, never NaN."""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from nilometer.estimators import Estimate

from ..monitor import open_alerts
from ..store import SliceRow, Store, realized_rows

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["WINDOWS", "StoreCollector"]

WINDOWS = {"1h": 1, "24h": 24}
"""Windows of the estimates by name: so many hours up to now, the present one counted."""

_MOST_SLICES = 50
_HOUR = 3600
_FRESH = 15.0
_LABELS = ("model", "slice_key", "slice", "window")


class StoreCollector:
    """Collects the metrics of a store; estimates are made at most every 15 seconds."""

    def __init__(self, store: Store, connection: sqlite3.Connection) -> None:
        self._store, self._connection = store, connection
        self._rows: list[tuple[str, SliceRow]] = []
        self._made = 0.0

    def collect(self) -> "Iterator[Metric]":
        """Yield every metric family."""
        yield from self._requests()
        yield from self._health()
        yield from self._sentinel()
        yield from self._estimates()
        yield from self._labels()
        yield from self._alerts()

    def _requests(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily

        served = CounterMetricFamily("nilometer_responses", "Requests by outcome.", labels=("model", "outcome"))
        query = "SELECT model, outcome, sum(n) FROM requests WHERE slice_key = 'all' GROUP BY model, outcome"
        for model, outcome, n in self._connection.execute(query):
            served.add_metric((model, outcome), n)
        yield served
        dropped = CounterMetricFamily("nilometer_capture_dropped", "Answers lost by the capture.", labels=("reason",))
        totals: dict[str, int] = {}
        for (counts,) in self._connection.execute("SELECT counts FROM captures"):
            for name, n in json.loads(counts).items():
                if name.startswith("dropped_") or name == "errors":
                    reason = name.removeprefix("dropped_")
                    totals[reason] = totals.get(reason, 0) + n
        for reason, n in sorted(totals.items()):
            dropped.add_metric((reason,), n)
        yield dropped

    def _health(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        health = self._store.health(self._connection)
        yield GaugeMetricFamily("nilometer_spool_bytes", "Bytes in the spool.", health["spool_bytes"])
        yield GaugeMetricFamily(
            "nilometer_ingest_lag_seconds", "Age of the oldest frame not committed.", health["lag_seconds"]
        )
        yield CounterMetricFamily("nilometer_damaged_frames", "Frames with a wrong checksum.", health["damaged_frames"])
        problems = GaugeMetricFamily("nilometer_problem_active", "Whether a part cannot work.", labels=("part",))
        for part in health["problems"]:
            problems.add_metric((part,), 1)
        yield problems

    def _sentinel(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        if self._store.sentinel is None:
            return
        reference = self._store.sentinel.labelled_.profiles.provenance
        named = {name: "/".join(reference.get(name, ())) for name in ("k", "logprobs_mode")}
        version = self._store.sentinel.zero().key
        yield InfoMetricFamily("nilometer_sentinel", "The sentinel in use.", {"version": version, **named})
        (fitted,) = self._connection.execute("SELECT max(value) FROM meta WHERE name = 'sentinel_fitted'").fetchone()
        if fitted is not None:
            yield GaugeMetricFamily("nilometer_sentinel_fitted_timestamp_seconds", "When it was fitted.", float(fitted))
        refused = CounterMetricFamily(
            "nilometer_sentinel_refused", "Responses that it cannot judge.", labels=("model", "k", "logprobs_mode")
        )
        query = "SELECT model, k, mode, n FROM refusals WHERE sentinel = ?"
        for model, k, mode, n in self._connection.execute(query, (version,)):
            refused.add_metric((model, str(k), mode), n)
        yield refused

    def _estimates(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        names = {
            "accuracy": GaugeMetricFamily("nilometer_estimated_accuracy_ratio", "Estimated accuracy.", labels=_LABELS),
            "low": GaugeMetricFamily("nilometer_estimated_accuracy_lower_ratio", "Its lower end.", labels=_LABELS),
            "high": GaugeMetricFamily("nilometer_estimated_accuracy_upper_ratio", "Its upper end.", labels=_LABELS),
        }
        counted = GaugeMetricFamily("nilometer_estimate_responses", "Responses behind it.", labels=_LABELS)
        unknown = GaugeMetricFamily("nilometer_estimate_unknown", "1 where nobody knows.", labels=(*_LABELS, "reason"))
        outside = GaugeMetricFamily(
            "nilometer_estimate_outside_support", "1 where the slice is unlike what was labelled.", labels=_LABELS
        )
        for window, row in self._fresh_rows():
            place = (row.model, row.slice_key, row.slice, window)
            counted.add_metric(place, row.belief.n)
            if not isinstance(row.belief, Estimate):
                unknown.add_metric((*place, row.belief.reason), 1)
                continue
            outside.add_metric(place, float(not row.belief.in_support))
            for field, family in names.items():
                family.add_metric(place, getattr(row.belief, field))
        yield from (*names.values(), counted, unknown, outside)

    def _fresh_rows(self) -> list[tuple[str, SliceRow]]:
        now = time.time()
        if now - self._made > _FRESH:
            hour = int(now // _HOUR)
            self._rows = [
                (window, row)
                for window, n_hours in WINDOWS.items()
                for key in ("all", *self._store.slicing.keys)
                for row in self._largest(key, hour - n_hours + 1, hour)
            ]
            self._made = now
        return self._rows

    def _largest(self, key: str, first: int, last: int) -> Iterable[SliceRow]:
        rows = self._store.estimates(key, first_hour=first, last_hour=last, reader=self._connection)
        return sorted(rows, key=lambda row: -row.belief.n)[:_MOST_SLICES]

    def _labels(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        labels = CounterMetricFamily("nilometer_labels", "Labels by source.", labels=("source",))
        for source, n in self._connection.execute("SELECT source, count(*) FROM labels GROUP BY source"):
            labels.add_metric((source,), n)
        yield labels
        realized = GaugeMetricFamily(
            "nilometer_realized_accuracy_ratio", "Share of random labels that are right.", labels=_LABELS
        )
        hour = int(time.time() // _HOUR)
        for key in ("all", *self._store.slicing.keys):
            rows = realized_rows(self._connection, key, first_hour=hour - 23, last_hour=hour)
            for row in sorted(rows, key=lambda row: -row.n_random)[:_MOST_SLICES]:
                if row.accuracy is not None:
                    realized.add_metric((row.model, key, row.slice, "24h"), row.accuracy)
        yield realized

    def _alerts(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        active = GaugeMetricFamily(
            "nilometer_alert_active", "1 while an alert is open.", labels=("kind", "slice_key", "slice", "model")
        )
        for one in open_alerts(self._connection):
            active.add_metric((one.kind, one.slice_key, one.slice, one.model), 1)
        yield active
