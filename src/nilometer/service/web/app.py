"""The application of ``nilometer serve``: pages, their twins in JSON, metrics and labels behind one gate."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nilometer.pages import console_file
from nilometer.traces import ReadReport, read_traces

from ..capture import Spool
from ..labelling.exchange import EXPORTS
from ..store import Store, spool_traces
from .access import Access, Person
from .gate import HEADERS, act_endpoint, guarded, in_thread, json_endpoint, json_response, page_endpoint, read_body
from .labelling import plan_file
from .labels import read_label_body
from .metrics import StoreCollector
from .questions import AskedError
from .routes import ACTS, VIEWS, describe
from .sessions import session_routes
from .site import Site
from .worker import Worker

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ["serve_app"]


def serve_app(store: Store, access: Access, worker: Worker, *, target: float | None = None) -> "Starlette":
    """Return the application; it starts the worker with itself and stops it at its end.

    Parameters
    ----------
    store
        Of the folder.
    access
        Who may do what.
    worker
        That writes.
    target
        Least accuracy that is good enough, None where nobody said so.
    """
    from starlette.applications import Starlette

    site = Site(store, access, worker, target=target)

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop()

    return Starlette(routes=_routes(site), lifespan=life)


def _routes(site: Site) -> "list[Route]":
    from starlette.routing import Route

    bulk = _Bulk(site)
    return [
        Route("/healthz", bulk.alive),
        Route("/metrics", guarded(site, "metrics", bulk.metrics)),
        Route("/static/{name}", bulk.file),
        Route("/plans/export", guarded(site, "admin", bulk.plan)),
        Route("/openapi.json", guarded(site, "", bulk.description)),
        Route("/v1/traces", guarded(site, "ingest", bulk.traces), methods=["POST"]),
        Route("/v1/labels", guarded(site, "label", bulk.labels), methods=["POST"]),
        *session_routes(site),
        *(Route(view.path, page_endpoint(site, view)) for view in VIEWS if view.path),
        *(Route(f"/api/{view.api}", json_endpoint(site, view)) for view in VIEWS),
        *(Route(act.path, act_endpoint(site, act), methods=["POST"]) for act in ACTS),
    ]


class _Bulk:
    """Handlers of what is not a page: probes, metrics, files, and bodies of traces and labels."""

    def __init__(self, site: Site) -> None:
        self._site, self._store = site, site.store
        self._registry: Any = None

    async def alive(self, request: "Request") -> "Response":
        """200 while the store works, 503 where it has a problem; without any detail, for probes."""
        problems = bool(self._store.problems)
        return json_response({"status": "degraded" if problems else "ok"}, status=503 if problems else 200)

    async def file(self, request: "Request") -> "Response":
        """Style sheets and scripts of ours; a new version has a new address."""
        from starlette.responses import Response

        found = console_file(request.path_params["name"])
        if found is None:
            return json_response({"error": "there is no such file."}, status=404)
        response = Response(found.content, media_type=found.media_type, headers=HEADERS)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response

    async def description(self, request: "Request", who: Person) -> "Response":
        """What there is, in the form of OpenAPI."""
        return json_response(describe(VIEWS, ACTS))

    async def plan(self, request: "Request", who: Person) -> "Response":
        """The log of a plan as a file to keep."""
        from starlette.responses import Response

        name, form = request.query_params.get("plan", ""), request.query_params.get("form", "csv")
        if form not in EXPORTS:
            raise AskedError(400, f"`form` must be one of {', '.join(EXPORTS)}, got {form[:50]!r}.")
        text = await in_thread(lambda: plan_file(self._site, name, form))
        kind = "text/csv" if form == "csv" else "application/json"
        response = Response(text.encode("utf-8", "replace"), media_type=kind)
        ending = {"csv": "csv", "jsonl": "jsonl"}.get(form, "json")
        response.headers["content-disposition"] = f'attachment; filename="labels.{ending}"'
        return response

    async def labels(self, request: "Request", who: Person) -> "Response":
        """Append labels; they are on disk when this answers."""
        labels = read_label_body(await read_body(request), request.headers.get("content-type", ""))
        n = await in_thread(lambda: self._store.add_labels(labels, who=who.name))
        return json_response({"received": len(labels), "new": n})

    async def traces(self, request: "Request", who: Person) -> "Response":
        """Read traces of any known format from the body and put them into the spool; on disk when this answers."""
        body = await read_body(request)
        report, n = await in_thread(lambda: self._take_traces(body))
        return json_response(
            {"traces": n, "bad": report.n_bad, "skipped": report.n_skipped, "bad_lines": report.bad_lines}
        )

    def _take_traces(self, body: bytes) -> tuple[ReadReport, int]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "body"
            path.write_bytes(body)
            stream = read_traces(path)
            spool = Spool(self._store.spool)
            try:
                n = spool_traces(spool, stream)
            except OSError as exc:
                raise AskedError(507, str(exc)) from exc
            finally:
                spool.close()
            return stream.report, n

    async def metrics(self, request: "Request", who: Person) -> "Response":
        """Metrics in the text format of Prometheus."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from starlette.responses import Response

        if self._registry is None:
            self._registry = CollectorRegistry(auto_describe=False)
            self._registry.register(StoreCollector(self._store, self._store.reader()))
        text = await in_thread(lambda: generate_latest(self._registry))
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})
