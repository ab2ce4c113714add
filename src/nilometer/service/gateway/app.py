"""The application of ``nilometer gateway``: OpenAI's interface in front of the models, and what they are doing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from ..web import Access
from .answers import as_events
from .gateway import Gateway, NoAnswerError, Notes, Opened
from .policies import Policies
from .requests import read_chat
from .upstream import CallFailedError, Headers, Whole

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["gateway_app"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_MOST_BODY = 32 << 20
_LONGEST_HEADER = 300
_PASSED_ON = (b"traceparent", b"tracestate", b"x-request-id")
_OWN = b"x-nilometer-"


def gateway_app(gateway: Gateway, access: Access) -> "Starlette":
    """Return the application; it closes the gateway at its end."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    policies = Policies(gateway)
    state = _State(gateway, policies, access)

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        await gateway.close()

    routes = [
        Route("/v1/chat/completions", _Chat(policies, access), methods=["POST"]),
        Route("/v1/models", state.models),
        Route("/healthz", state.alive),
        Route("/api/gateway", state.shown),
    ]
    return Starlette(routes=routes, lifespan=life)


class _Chat:
    """``POST /v1/chat/completions``."""

    def __init__(self, policies: Policies, access: Access) -> None:
        self._policies, self._access = policies, access

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request; when the client leaves, the calls for it end."""
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        who = self._access.allows("ask", named)
        if who is None:
            status = 403 if "authorization" in named else 401
            await _refuse(send, NoAnswerError("this needs the right to ask.", status=status, kind="not_allowed"))
            return
        body = await _body(receive)
        if body is None:
            error = NoAnswerError(f"a body must be at most {_MOST_BODY:,} bytes.", status=413, kind="too_large")
            await _refuse(send, error)
            return
        serving = asyncio.create_task(self._serve(body, Notes(who, _passed_on(scope["headers"])), send))
        leaving = asyncio.create_task(_until_left(receive))
        try:
            await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            for task in (serving, leaving):
                task.cancel()
            await asyncio.gather(serving, leaving, return_exceptions=True)

    async def _serve(self, body: bytes, notes: Notes, send: Send) -> None:
        try:
            asked = read_chat(body)
            notes.n_prompt_tokens = asked.n_prompt_tokens()
            policy = asked.model.removeprefix("nilometer/") if asked.model.startswith("nilometer/") else "model"
            notes.headers = [*notes.headers, (b"x-nilometer-policy", _ascii(policy))]
            given = await self._policies.answer(asked, notes)
        except ValueError as exc:
            await _refuse(send, NoAnswerError(str(exc), status=400, kind="invalid_request_error"))
            return
        except NoAnswerError as exc:
            await _refuse(send, exc, notes)
            return
        if isinstance(given, Opened):
            await _send_stream(send, given, notes)
        elif asked.stream and given.status == 200:
            events = b"".join(as_events(given.body, with_usage=asked.with_usage))
            headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
            await _send_whole(send, given._replace(headers=headers, body=events), notes)
        else:
            await _send_whole(send, given, notes)


class _State:
    """What there is and how it does."""

    def __init__(self, gateway: Gateway, policies: Policies, access: Access) -> None:
        self._gateway, self._policies, self._access = gateway, policies, access

    async def models(self, request: "Request") -> "Response":
        """Names that a request may carry."""
        if self._access.allows("ask", dict(request.headers)) is None:
            return _json({"error": {"message": "this needs the right to ask."}}, status=401)
        names = self._policies.names()
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "nilometer"} for name in names]
        return _json({"object": "list", "data": data})

    async def alive(self, request: "Request") -> "Response":
        """200 while a model can be asked and the router file is whole, else 503."""
        works = self._problem() is None and len(self._gateway.resting()) < len(self._gateway.models)
        return _json({"status": "ok" if works else "degraded"}, status=200 if works else 503)

    async def shown(self, request: "Request") -> "Response":
        """Calls and failures of every model, and the state of the router."""
        if self._access.allows("read", dict(request.headers)) is None:
            return _json({"error": {"message": "this needs the right to read."}}, status=401)
        models = {
            name: {"calls": one.n_calls, "failures": one.n_failures, "rests_for": round(one.rests_for(), 1)}
            for name, one in self._gateway.models.items()
        }
        router = self._gateway.router
        loaded = None if router is None else {"loaded": router.n_loaded, "problem": router.problem}
        return _json({"models": models, "router": loaded})

    def _problem(self) -> str | None:
        return None if self._gateway.router is None else self._gateway.router.problem


def _passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers of the client that servers and captures get: those of traces and slices, never keys."""
    return [(name, value) for name, value in headers if name in _PASSED_ON or name.startswith(_OWN)]


async def _body(receive: Receive) -> bytes | None:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _MOST_BODY:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_stream(send: Send, opened: Opened, notes: Notes) -> None:
    """Pass a stream on; where it breaks off the connection does too, so that nobody takes it for a whole answer."""
    try:
        headers = [*opened.answer.headers, *_told(opened.model, notes)]
        await send({"type": "http.response.start", "status": opened.answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": opened.first, "more_body": True})
        async for part in opened.rest:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except CallFailedError as exc:
        error = {"error": {"message": f"{opened.model}: {exc.reason}", "type": "broken_off", "code": 502}}
        event = b"data: " + msgspec.json.encode(error) + b"\n\n"
        await send({"type": "http.response.body", "body": event, "more_body": True})
        raise
    finally:
        await opened.rest.aclose()


async def _send_whole(send: Send, given: Whole, notes: Notes) -> None:
    kept = [(name, value) for name, value in given.headers if name.lower() != b"content-length"]
    length = (b"content-length", str(len(given.body)).encode())
    cost = (b"x-nilometer-cost", f"{notes.cost:.6g}".encode())
    headers = [*kept, length, *_told(given.model, notes), cost]
    await send({"type": "http.response.start", "status": given.status, "headers": headers})
    await send({"type": "http.response.body", "body": given.body, "more_body": False})


async def _refuse(send: Send, error: NoAnswerError, notes: Notes | None = None) -> None:
    body = msgspec.json.encode({"error": {"message": str(error), "type": error.kind, "code": error.status}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.after is not None:
        headers.append((b"retry-after", str(max(1, round(error.after))).encode()))
    headers += [] if notes is None else _told("", notes)
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _told(model: str, notes: Notes) -> Headers:
    """Which model answers and why, which were tried in vain, and how many calls were made."""
    told = {"model": model, "reason": notes.reason, "tried": "; ".join(notes.tried)}
    headers = [(_OWN + name.encode(), _ascii(text)) for name, text in told.items() if text]
    return [*headers, (b"x-nilometer-calls", str(notes.n_calls).encode())]


def _ascii(text: str) -> bytes:
    return " ".join(text.split()).encode("ascii", "replace")[:_LONGEST_HEADER]


def _json(value: Any, *, status: int = 200) -> "Response":
    from starlette.responses import Response

    return Response(msgspec.json.encode(value), status, media_type="application/json")
