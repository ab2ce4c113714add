"""The application of ``nilometer serve``: JSON, metrics and labels behind one gate."""

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nilometer.errors import TraceFormatError
from nilometer.estimators import Estimate
from nilometer.traces import ReadReport, read_traces

from ..capture import Spool
from ..monitor import open_alerts
from ..store import SliceRow, Store, realized_rows, spool_traces
from .access import Access
from .labels import read_label_body
from .metrics import StoreCollector
from .worker import Worker

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["serve_app"]

Handler = Callable[["Request", str], Awaitable["Response"]]
_HOUR = 3600
_MOST_BODY = 64 << 20
_MOST_HOURS = 24 * 366
_KNOWN = ("accuracy", "low", "high", "confidence_level", "in_support", "note")
_UNKNOWN = ("reason", "needed")
_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class _RefusedError(Exception):
    """A request that gets an answer other than 200."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def serve_app(store: Store, access: Access, worker: Worker) -> "Starlette":
    """Return the application; it starts the worker with itself and stops it at its end."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    api = _Api(store, worker)
    routes = [
        Route("/healthz", api.alive),
        Route("/api/health", _gate(access, "read", api.health)),
        Route("/api/slices", _gate(access, "read", api.slices)),
        Route("/api/hours", _gate(access, "read", api.hours)),
        Route("/api/alerts", _gate(access, "read", api.alerts)),
        Route("/metrics", _gate(access, "read", api.metrics)),
        Route("/api/texts", _gate(access, "label", api.texts)),
        Route("/v1/traces", _gate(access, "ingest", api.traces), methods=["POST"]),
        Route("/v1/labels", _gate(access, "label", api.labels), methods=["POST"]),
    ]

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop()

    return Starlette(routes=routes, lifespan=life)


def _gate(access: Access, act: str, handler: Handler) -> Callable[["Request"], Awaitable["Response"]]:
    """Let a request through to its handler only if the one who asks may do it; errors become JSON."""

    async def guarded(request: "Request") -> "Response":
        try:
            response = await handler(request, _who(access, act, request))
        except _RefusedError as exc:
            response = _json({"error": str(exc)}, status=exc.status)
        except TraceFormatError as exc:
            response = _json({"error": str(exc)}, status=400)
        response.headers.update(_HEADERS)
        return response

    return guarded


def _who(access: Access, act: str, request: "Request") -> str:
    who = access.allows(act, dict(request.headers))
    if who is None:
        raise _RefusedError(403 if "authorization" in request.headers else 401, f"this needs the right to {act}.")
    return who


def _json(value: Any, *, status: int = 200) -> "Response":
    from starlette.responses import Response

    return Response(msgspec.json.encode(value, enc_hook=str), status, media_type="application/json")


class _Api:
    """Handlers of the JSON interface."""

    def __init__(self, store: Store, worker: Worker) -> None:
        self._store, self._worker = store, worker
        self._registry: Any = None

    async def alive(self, request: "Request") -> "Response":
        """200 while the store works, 503 where it has a problem; without any detail, for probes."""
        problems = bool(self._store.problems)
        return _json({"status": "degraded" if problems else "ok"}, status=503 if problems else 200)

    async def health(self, request: "Request", who: str) -> "Response":
        """State of the store."""
        return _json({**await self._read(self._store.health), "last_step": self._worker.last_step})

    async def slices(self, request: "Request", who: str) -> "Response":
        """Estimate and realised accuracy of every slice of ``key`` over the last ``hours``.

        While a new sentinel scores what is stored, ``by_previous_sentinel`` has what the one before estimates.
        """
        key, hours = self._key(request), _hours(request, 24)
        last = int(time.time() // _HOUR)
        first = last - hours + 1

        def both(connection: Any) -> Any:
            span = {"first_hour": first, "last_hour": last, "reader": connection}
            rows, before = self._store.estimates(key, **span), self._store.previous
            earlier = [] if before is None else self._store.estimates(key, **span, sentinel=before)
            return rows, earlier, realized_rows(connection, key, first_hour=first, last_hour=last)

        rows, earlier, realized = await self._read(both)
        found = {(one.model, one.slice): one for one in realized}
        shown, previous = ([_row(row, found.get((row.model, row.slice))) for row in own] for own in (rows, earlier))
        return _json({"key": key, "hours": hours, "slices": shown, "by_previous_sentinel": previous})

    async def hours(self, request: "Request", who: str) -> "Response":
        """Estimates of one ``slice`` of ``key`` in each of the last ``hours``."""
        key, hours = self._key(request), _hours(request, 168)
        name = request.query_params.get("slice", "all")
        last = int(time.time() // _HOUR)

        def each(connection: Any) -> list[SliceRow]:
            return [
                row
                for hour in range(last - hours + 1, last + 1)
                for row in self._store.estimates(key, first_hour=hour, last_hour=hour, reader=connection, name=name)
            ]

        return _json({"key": key, "slice": name, "hours": [_row(row, None) for row in await self._read(each)]})

    async def alerts(self, request: "Request", who: str) -> "Response":
        """Alerts that are open, oldest first."""
        return _json({"alerts": [one._asdict() for one in await self._read(open_alerts)]})

    async def texts(self, request: "Request", who: str) -> "Response":
        """Redacted prompt and answer of a ``trace_id``, for those who label."""
        name = request.query_params.get("trace_id", "")
        found = await self._read(lambda connection: self._store.text_of(name, connection))
        if found is None:
            raise _RefusedError(404, f"there are no texts of {name!r}. Captures keep them with NILOMETER_TEXTS=1.")
        return _json(found._asdict())

    async def labels(self, request: "Request", who: str) -> "Response":
        """Append labels; they are on disk when this answers."""
        from starlette.concurrency import run_in_threadpool

        body = await _body(request)
        labels = read_label_body(body, request.headers.get("content-type", ""))
        n = await run_in_threadpool(self._store.add_labels, labels, who=who)
        return _json({"received": len(labels), "new": n})

    async def traces(self, request: "Request", who: str) -> "Response":
        """Read traces of any known format from the body and put them into the spool; on disk when this answers."""
        from starlette.concurrency import run_in_threadpool

        body = await _body(request)
        report, n = await run_in_threadpool(self._take_traces, body)
        return _json({"traces": n, "bad": report.n_bad, "skipped": report.n_skipped, "bad_lines": report.bad_lines})

    def _take_traces(self, body: bytes) -> tuple[ReadReport, int]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "body"
            path.write_bytes(body)
            stream = read_traces(path)
            spool = Spool(self._store.spool)
            try:
                n = spool_traces(spool, stream)
            except OSError as exc:
                raise _RefusedError(507, str(exc)) from exc
            finally:
                spool.close()
            return stream.report, n

    async def metrics(self, request: "Request", who: str) -> "Response":
        """Metrics in the text format of Prometheus."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import Response

        if self._registry is None:
            self._registry = CollectorRegistry(auto_describe=False)
            self._registry.register(StoreCollector(self._store, self._store.reader()))
        text = await run_in_threadpool(generate_latest, self._registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    async def _read(self, function: Callable[[Any], Any]) -> Any:
        """Run a function of a reading connection in a thread."""
        from starlette.concurrency import run_in_threadpool

        def run() -> Any:
            with closing(self._store.reader()) as connection:
                return function(connection)

        return await run_in_threadpool(run)

    def _key(self, request: "Request") -> str:
        key = request.query_params.get("key", "all")
        known = ("all", *self._store.slicing.keys)
        if key not in known:
            raise _RefusedError(404, f"`key` must be one of {', '.join(known)}, got {key!r}.")
        return key


async def _body(request: "Request") -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BODY:
            raise _RefusedError(413, f"a body must be at most {_MOST_BODY:,} bytes. Send it in parts.")
    return body


def _hours(request: "Request", default: int) -> int:
    given = request.query_params.get("hours", str(default))
    if not given.isdigit() or not 1 <= int(given) <= _MOST_HOURS:
        raise _RefusedError(400, f"`hours` must be a number from 1 to {_MOST_HOURS}, got {given!r}.")
    return int(given)


def _row(row: SliceRow, realized: Any) -> dict[str, Any]:
    """One slice as JSON; what is not known is null, and the reason stands beside."""
    belief = row.belief
    known = isinstance(belief, Estimate)
    return {
        "model": row.model,
        "slice": row.slice,
        "first_hour": row.first_hour * _HOUR,
        "last_hour": row.last_hour * _HOUR,
        "n": belief.n,
        **{name: getattr(belief, name) if known else None for name in _KNOWN},
        **{name: None if known else getattr(belief, name) for name in _UNKNOWN},
        "realized_accuracy": None if realized is None else realized.accuracy,
        "n_random_labels": 0 if realized is None else realized.n_random,
        "n_other_labels": 0 if realized is None else realized.n_other,
    }
