"""The middleware: pure ASGI, so that it fits vLLM, SGLang, Starlette, FastAPI and our own proxy."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from .exchange import Exchange, Message, Send
from .recorder import Recorder
from .requests import Asked, api_of, read_request
from .settings import Settings

__all__ = ["Capture"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_FREE_HEADERS = (b"accept-encoding", b"content-length")


class Capture:
    """Asks the server for log-probabilities, spools them, and takes out of the answer what the client did not ask for.

    Bytes reach the client as they would without it. A request whose client asks for log-probabilities itself is
    passed unchanged and recorded. When the server refuses a changed request, the original goes out, and the
    model is not asked for ten minutes. A failure of the capture is counted and the answer goes on.

    Parameters
    ----------
    app
        Any ASGI application.
    settings
        None reads the environment, since servers such as vLLM make the middleware without arguments.

    Raises
    ------
    ConfigError
        If the environment holds a value outside its range.

    Examples
    --------
    ``vllm serve MODEL --middleware nilometer.capture.Capture``, or ``app.add_middleware(Capture)`` in Starlette and
    FastAPI, or ``nilometer proxy --upstream URL`` where the server is no ASGI application.
    """

    def __init__(self, app: App, settings: Settings | None = None) -> None:
        self._app = app
        self._recorder = Recorder(settings)
        self.settings, self.spool = self._recorder.settings, self._recorder.spool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        api = api_of(scope)
        headers = () if api is None else scope["headers"]
        if api is None or any(name.lower() == b"content-encoding" for name, _ in headers):
            await self._app(scope, receive, send)
            return
        body, receive = await _read_body(receive, self.settings.request_limit)
        asked = None if body is None else read_request(api, body)
        if asked is None:
            self.spool.counts["passed"] += 1
            await self._app(scope, receive, send)
            return
        await self._serve(asked, scope, receive, send=send)

    async def _serve(self, asked: Asked, scope: Scope, receive: Receive, *, send: Send) -> None:
        k, mode = self._server_settings(scope)
        recorder = self._recorder
        frame = recorder.frame(asked, scope["headers"], mode=mode)
        injects = recorder.may_ask(asked, frame)
        if injects:
            frame.k = k
            body = asked.with_logprobs(k)
            exchange = recorder.exchange(frame, injected=True)
            await self._run(exchange, _changed(scope, body), _replay(body, receive), send=send)
            if not exchange.refused:
                return
            frame.k = None
        exchange = recorder.exchange(frame, injected=False)
        await self._run(exchange, scope, _replay(asked.body, receive), send=send)
        if injects and exchange.status < 400:
            recorder.note_refusal(asked.model)

    async def _run(self, exchange: Exchange, scope: Scope, receive: Receive, *, send: Send) -> None:
        async def pass_on(message: Message) -> None:
            for passed in exchange.pass_on(message):
                await send(passed)

        try:
            await self._app(scope, receive, pass_on)
        finally:
            exchange.close()

    def _server_settings(self, scope: Mapping[str, Any]) -> tuple[int, str]:
        """How many alternatives to ask for, and the mode of the log-probabilities, where vLLM's own flags say it."""
        k, mode = self.settings.k, self.settings.logprobs_mode
        flags = getattr(getattr(scope.get("app"), "state", None), "args", None)
        most, named = getattr(flags, "max_logprobs", None), getattr(flags, "logprobs_mode", None)
        if isinstance(most, int) and most >= 0:
            k = min(k, most)
        if isinstance(named, str):
            mode = named.partition("_")[0]
        return k, mode if mode in {"raw", "processed"} else "unknown"


async def _read_body(receive: Receive, limit: int) -> tuple[bytes | None, Receive]:
    """Read a request's body; None, with everything to be received again, if it is too long or was broken off."""
    messages: list[Message] = []
    size, more = 0, True
    while more:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or size > limit:
            return None, _again(messages, receive)
        more = message.get("more_body", False)
    body = b"".join(message.get("body", b"") for message in messages)
    return body, _again([{"type": "http.request", "body": body, "more_body": False}], receive)


def _again(messages: list[Message], receive: Receive) -> Receive:
    """Give the messages once more, then those that come, such as the news that the client has left."""
    waiting = list(messages)

    async def again() -> Message:
        return waiting.pop(0) if waiting else await receive()

    return again


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give this body in place of the one that came, then the messages behind it."""
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        message = await receive()
        return await receive() if message["type"] == "http.request" else message

    return replay


def _changed(scope: Scope, body: bytes) -> Scope:
    """The scope of a request with another body, whose answer must come uncompressed."""
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in _FREE_HEADERS]
    length = [(b"content-length", str(len(body)).encode())]
    return {**scope, "headers": kept + length}
