"""One gate for everything: who asks, whether that one may, and the headers that keep pages harmless."""

import hashlib
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from nilometer.display import finite
from nilometer.errors import NilometerError
from nilometer.pages import render_console

from .access import NOBODY, Person
from .questions import AskedError, Query, link, read_query
from .site import Act, Site, View, Visit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = [
    "act_endpoint",
    "address_of",
    "guarded",
    "in_thread",
    "json_endpoint",
    "json_response",
    "page_endpoint",
    "peer_of",
    "read_body",
    "read_fields",
]

Endpoint = Callable[["Request"], Awaitable["Response"]]
Handler = Callable[["Request", Person], Awaitable["Response"]]

MOST_BODY = 64 << 20
_MOST_FORM = 1 << 20
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


def json_response(value: Any, *, status: int = 200) -> "Response":
    """Answer with JSON; numbers that are not finite become null."""
    from starlette.responses import Response

    return Response(msgspec.json.encode(finite(value), enc_hook=str), status, media_type="application/json")


def guarded(site: Site, right: str, handler: Handler, *, is_page: bool = False) -> Endpoint:
    """Let a request through only if the one who asks has the right; mistakes become JSON, or a page."""

    async def endpoint(request: "Request") -> "Response":
        try:
            response = await handler(request, _person(site, right, request))
        except AskedError as exc:
            response = await _refused(site, request, exc, is_page=is_page)
        except NilometerError as exc:
            response = await _refused(site, request, AskedError(400, str(exc)), is_page=is_page)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return endpoint


def page_endpoint(site: Site, view: View) -> Endpoint:
    """Show a view as a page."""

    async def page(request: "Request", who: Person) -> "Response":
        from starlette.responses import Response

        values, query = await _values(site, view, request, who=who)
        text = await in_thread(lambda: _rendered(site, view, values, query=query, who=who))
        return _tagged(request, Response(text, media_type="text/html"))

    return guarded(site, view.right, page, is_page=True)


def json_endpoint(site: Site, view: View) -> Endpoint:
    """Show a view as JSON."""

    async def data(request: "Request", who: Person) -> "Response":
        values, _ = await _values(site, view, request, who=who)
        return _tagged(request, json_response(values))

    return guarded(site, view.right, data)


def act_endpoint(site: Site, act: Act) -> Endpoint:
    """Do what a form or a script asks; a form is led on to a page."""

    async def done(request: "Request", who: Person) -> "Response":
        from starlette.responses import RedirectResponse

        fields, is_form = await read_fields(request)
        values = await in_thread(lambda: act.do(site, fields, who))
        to = values.pop("to", "/")
        return RedirectResponse(to, 303) if is_form else json_response(values)

    async def endpoint(request: "Request") -> "Response":
        is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        return await guarded(site, act.right, done, is_page=is_form)(request)

    return endpoint


async def read_body(request: "Request", *, most: int = MOST_BODY) -> bytes:
    """Read a body whole.

    Raises
    ------
    AskedError
        If it is too long.
    """
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > most:
            raise AskedError(413, f"a body must be at most {most:,} bytes. Send it in parts.")
    return b"".join(parts)


def address_of(site: Site, request: "Request") -> str:
    """Address that a request comes from; behind the trusted proxy, the one that the proxy saw."""
    return site.access.address(dict(request.headers), peer_of(request))


def peer_of(request: "Request") -> str:
    """Address at the other end of the connection."""
    return request.client.host if request.client is not None else ""


def _person(site: Site, right: str, request: "Request") -> Person:
    """Say who asks. Wrong tokens slow down only those who have no right one: others may share their address."""
    headers = dict(request.headers)
    person = site.access.person(headers, method=request.method, address=peer_of(request))
    wait = 0.0 if person.name else site.failures.wait(address_of(site, request))
    if wait:
        raise AskedError(429, f"too many wrong tokens came from here. Try again in {wait:.0f} seconds.")
    if right and not person.may(right):
        if not person.name and "authorization" in headers:
            site.failures.note(address_of(site, request))
        known = person.name or "authorization" in headers
        raise AskedError(403 if known else 401, f"this needs the right to {right}.")
    return person


async def _values(site: Site, view: View, request: "Request", *, who: Person) -> tuple[dict[str, Any], Any]:
    query = read_query(view.parameters, view.path or request.url.path, given=dict(request.query_params), site=site)

    def read() -> dict[str, Any]:
        connection = site.store.reader()
        try:
            return view.read(Visit(site, connection, query, who))
        finally:
            connection.close()

    return await in_thread(read), query


async def read_fields(request: "Request") -> tuple[dict[str, Any], bool]:
    """Fields of a form, the last of each name, or of a JSON object."""
    body = await read_body(request, most=_MOST_FORM)
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        try:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100)), True
        except (UnicodeDecodeError, ValueError) as exc:
            raise AskedError(400, f"the form cannot be read ({exc}).") from exc
    try:
        return msgspec.json.decode(body, type=dict[str, Any]), False
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise AskedError(400, f"the body must be a JSON object or a form ({exc}).") from exc


async def _refused(site: Site, request: "Request", error: AskedError, *, is_page: bool) -> "Response":
    from starlette.responses import Response

    if not is_page:
        response = json_response({"error": str(error)}, status=error.status)
    else:
        address = link(request.url.path, **dict(request.query_params)) if request.method == "GET" else "/"
        text = render_console(
            "login.html" if error.status == 401 else "error.html",
            here="",
            who=NOBODY,
            query=None,
            link=link,
            open_alerts=0,
            status=error.status,
            reason=str(error),
            to=address,
            is_elsewhere=request.headers.get("sec-fetch-site") == "cross-site",
        )
        response = Response(text, error.status, media_type="text/html")
    if error.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if error.status == 429:
        response.headers["retry-after"] = "60"
    return response


def _tagged(request: "Request", response: "Response") -> "Response":
    """Answer 304 where the reader has it already."""
    from starlette.responses import Response

    tag = f'"{hashlib.blake2b(bytes(response.body), digest_size=12).hexdigest()}"'
    if request.headers.get("if-none-match") == tag:
        response = Response(status_code=304)
    response.headers["etag"] = tag
    return response


def _rendered(site: Site, view: View, values: dict[str, Any], *, query: Query, who: Person) -> str:
    drawn = {} if view.draw is None else view.draw(values)
    frame = {"here": view.path, "who": who, "query": query, "link": link, "open_alerts": _n_alerts(site)}
    return render_console(view.template, **frame, **values, **drawn)


def _n_alerts(site: Site) -> int:
    connection: sqlite3.Connection = site.store.reader()
    try:
        (n,) = connection.execute("SELECT count(*) FROM alerts WHERE closed IS NULL").fetchone()
        return int(n)
    finally:
        connection.close()


async def in_thread(function: Callable[[], Any]) -> Any:
    """Run what blocks in a thread."""
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(function)
