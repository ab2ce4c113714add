"""Estimates of closed hours as OpenTelemetry events, for backends that speak OTLP."""

import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from nilometer.errors import ConfigError
from nilometer.estimators import Estimate

from ..store import SliceRow, Store
from ..store.slicing import ALL
from .deliver import pause_after, post_json

__all__ = ["EvaluationExporter", "evaluation_events", "read_headers"]

_HOUR = 3600
_GRACE = 600
_MOST_HOURS = 48
"""Hours that are sent late, after the endpoint or the server was away."""
_INFO = 9
_EVENT = "gen_ai.evaluation.result"


class EvaluationExporter:
    """Sends the estimates of every closed hour to an OTLP endpoint, once, as events ``gen_ai.evaluation.result``.

    An hour is closed ten minutes after its end, with nothing left to read in the spool. A delivery that fails is a
    problem of the store with the name ``otlp`` and is tried again after 10 seconds, then after twice as long each time
    up to an hour; at most two days are sent late.

    Parameters
    ----------
    store
        Of the estimates; it keeps what was sent.
    endpoint
        Address of the receiver, such as ``http://127.0.0.1:4318``; ``/v1/logs`` is added where it is not there.
    headers
        Sent along, such as an authorization.

    Raises
    ------
    ConfigError
        If ``endpoint`` is no http address.
    """

    def __init__(self, store: Store, endpoint: str, *, headers: Mapping[str, str] | None = None) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"`endpoint` must start with http:// or https://, got {endpoint!r}.")
        url = endpoint.rstrip("/")
        self._url = url if url.endswith("/v1/logs") else f"{url}/v1/logs"
        self._store, self._headers = store, dict(headers or {})
        self._failed, self._next_try = 0, 0.0

    def step(self, *, now: float | None = None) -> int:
        """Send the hours that have closed; how many."""
        now = time.time() if now is None else now
        store = self._store
        if store.sentinel is None or now < self._next_try or store.waiting_bytes():
            return 0
        last = int((now - _GRACE) // _HOUR) - 1
        with store.writing() as connection:
            kept = connection.execute("SELECT value FROM meta WHERE name='otlp_sent'").fetchone()
        first = max(int(kept[0]) + 1 if kept else last, last - _MOST_HOURS + 1)
        for hour in range(first, last + 1):
            failure = self._send(hour)
            if failure is not None:
                self._failed += 1
                self._next_try = now + pause_after(self._failed)
                store.problems["otlp"] = f"{self._url} does not take events: {failure}"
                return hour - first
            self._failed = 0
            store.problems.pop("otlp", None)
            with store.writing() as connection:
                connection.execute("REPLACE INTO meta VALUES ('otlp_sent', ?)", (str(hour),))
        return max(last + 1 - first, 0)

    def _send(self, hour: int) -> str | None:
        """Send one hour; the reason if that failed."""
        keys = (ALL, *self._store.slicing.keys)
        reader = self._store.reader()
        try:
            rows = [
                row
                for key in keys
                for row in self._store.estimates(key, first_hour=hour, last_hour=hour, reader=reader)
            ]
        finally:
            reader.close()
        if not rows:
            return None
        return post_json(self._url, evaluation_events(rows), self._headers)


def evaluation_events(rows: Iterable[SliceRow]) -> dict[str, Any]:
    """Put estimates into the body of a request to ``/v1/logs``, one event per slice.

    The score of a slice is its estimated accuracy; its interval stands beside it under names of nilometer, since the
    conventions have none for it yet. A slice that cannot be estimated has the label ``unknown`` and its reason, and no
    score.

    References
    ----------
    OpenTelemetry semantic conventions for generative AI, event ``gen_ai.evaluation.result`` (Development).
    """
    scope = {"name": "nilometer", "version": version("nilometer")}
    logs = {"scope": scope, "logRecords": [_record(row) for row in rows]}
    resource = {"attributes": [_attribute("service.name", "nilometer")]}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [logs]}]}


def _record(row: SliceRow) -> dict[str, Any]:
    belief = row.belief
    values: dict[str, Any] = {
        "gen_ai.evaluation.name": "nilometer.estimated_accuracy",
        "gen_ai.request.model": row.model,
        "nilometer.slice_key": row.slice_key,
        "nilometer.slice": row.slice,
        "nilometer.responses": belief.n,
    }
    if isinstance(belief, Estimate):
        values |= {
            "gen_ai.evaluation.score.value": belief.accuracy,
            "gen_ai.evaluation.score.label": "in_support" if belief.in_support else "outside_support",
            "nilometer.score.lower": belief.low,
            "nilometer.score.upper": belief.high,
            "nilometer.score.confidence_level": belief.confidence_level,
        }
    else:
        values |= {"gen_ai.evaluation.score.label": "unknown", "gen_ai.evaluation.explanation": belief.reason}
    end = (row.last_hour + 1) * _HOUR * 1_000_000_000
    return {
        "timeUnixNano": str(end),
        "observedTimeUnixNano": str(time.time_ns()),
        "severityNumber": _INFO,
        "eventName": _EVENT,
        "attributes": [_attribute(name, value) for name, value in values.items()],
    }


def _attribute(name: str, value: str | float) -> dict[str, Any]:
    if isinstance(value, str):
        return {"key": name, "value": {"stringValue": value}}
    if isinstance(value, int):
        return {"key": name, "value": {"intValue": str(value)}}
    return {"key": name, "value": {"doubleValue": value}}


def read_headers(text: str) -> dict[str, str]:
    """Read ``name=value,name=value``, as in ``OTEL_EXPORTER_OTLP_HEADERS``.

    Raises
    ------
    ConfigError
        If a part has no name.

    Examples
    --------
    >>> read_headers("authorization=Bearer%20x,tenant=a")
    {'authorization': 'Bearer x', 'tenant': 'a'}
    """
    from urllib.parse import unquote

    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not name.strip() or not sign for name, sign, _ in pairs):
        raise ConfigError("`OTEL_EXPORTER_OTLP_HEADERS` must list name=value, separated by commas.")
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}
