"""Capture inside a program that calls a server by OpenAI's client, or by httpx."""

import sys
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

from nilometer.errors import ConfigError

from .exchange import Exchange, Message
from .frames import Frame
from .recorder import Recorder
from .requests import Asked, api_of, read_request
from .settings import Settings

__all__ = ["wrap"]

_FREE_HEADERS = {b"accept-encoding", b"content-length"}


def wrap(client: Any, settings: Settings | None = None) -> Any:
    """Capture what a client of OpenAI, or of httpx or httpx2, asks and gets; the client itself comes back.

    Works for ``OpenAI``, ``AsyncOpenAI`` and whatever else calls ``/chat/completions`` or ``/completions``, whole and
    streamed. As in the middleware, log-probabilities are asked for where the program did not, written to the spool
    and taken out again. A client that is wrapped already is left alone.

    Parameters
    ----------
    client
        Its transport is replaced by one that captures and calls it.
    settings
        None reads the environment.

    Raises
    ------
    ConfigError
        If it is no such client, or the environment holds a value outside its range.

    Examples
    --------
    >>> import httpx
    >>> import tempfile
    >>> client = httpx.Client()
    >>> wrap(client, Settings(spool=tempfile.mkdtemp())) is client
    True
    """
    http = getattr(client, "_client", client)
    module = _module_of(http)
    if isinstance(http._transport, _Transport):
        return client
    kind = _AsyncTransport if hasattr(http._transport, "handle_async_request") else _SyncTransport
    recorder = Recorder(settings)
    http._transport = kind(http._transport, module, recorder)
    for pattern, inner in http._mounts.items():
        http._mounts[pattern] = inner and kind(inner, module, recorder)
    return client


def _module_of(http: Any) -> ModuleType:
    """Module that a client of httpx or of its successor comes from."""
    for base in type(http).__mro__:
        root = base.__module__.partition(".")[0]
        if base.__name__ in {"Client", "AsyncClient"} and root.startswith("httpx"):
            return sys.modules[root]
    raise ConfigError(f"`client` must be a client of openai or httpx, got {type(http).__name__}.")


class _Transport:
    """What both kinds of transport share."""

    def __init__(self, inner: Any, module: ModuleType, recorder: Recorder) -> None:
        self._inner, self._module, self._recorder = inner, module, recorder

    def _asked(self, request: Any, body: bytes) -> Asked | None:
        api = api_of({"type": "http", "method": request.method, "path": request.url.path})
        too_long = len(body) > self._recorder.settings.request_limit
        if api is None or too_long or "content-encoding" in request.headers:
            return None
        return read_request(api, body)

    def _first(self, asked: Asked, request: Any) -> tuple[Frame, Exchange, Any]:
        """The frame, what follows the answer, and the request with log-probabilities asked for, or as it came."""
        recorder = self._recorder
        frame = recorder.frame(asked, request.headers.raw)
        if not recorder.may_ask(asked, frame):
            return frame, recorder.exchange(frame, injected=False), request
        frame.k = recorder.settings.k
        return frame, recorder.exchange(frame, injected=True), self._changed(request, asked.with_logprobs(frame.k))

    def _second(self, frame: Frame) -> Exchange:
        """What follows the answer to the original request, after the changed one was refused; the same draw decides."""
        frame.k = None
        return self._recorder.exchange(frame, injected=False)

    def _note(self, asked: Asked, exchange: Exchange) -> None:
        if exchange.status < 400:
            self._recorder.note_refusal(asked.model)

    def _changed(self, request: Any, body: bytes) -> Any:
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _FREE_HEADERS]
        return self._module.Request(
            request.method, request.url, headers=headers, content=body, extensions=request.extensions
        )

    def _begun(self, response: Any, exchange: Exchange) -> list[Message]:
        return exchange.pass_on(
            {"type": "http.response.start", "status": response.status_code, "headers": response.headers.raw}
        )

    def _answer(self, response: Any, start: Message, stream: Any) -> Any:
        return self._module.Response(
            start["status"], headers=start["headers"], stream=stream, extensions=response.extensions
        )

    def _whole(self, response: Any, exchange: Exchange, body: bytes) -> Any:
        start, *parts = exchange.pass_on({"type": "http.response.body", "body": body, "more_body": False})
        return self._answer(response, start, self._module.ByteStream(b"".join(part["body"] for part in parts)))

    def _stream(self, kind: type, response: Any, exchange: Exchange) -> Any:
        base = self._module.AsyncByteStream if kind is _AsyncStream else self._module.SyncByteStream
        return type("CapturedStream", (kind, base), {})(response.stream, exchange)


class _SyncTransport(_Transport):
    """Between a client and the transport that it had."""

    def handle_request(self, request: Any) -> Any:
        """Send a request and give its answer."""
        asked = self._asked(request, request.read())
        if asked is None:
            return self._inner.handle_request(request)
        frame, exchange, changed = self._first(asked, request)
        response = self._inner.handle_request(changed)
        start = self._begun(response, exchange)
        if exchange.refused:
            response.close()
            exchange = self._second(frame)
            response = self._inner.handle_request(request)
            start = self._begun(response, exchange)
            self._note(asked, exchange)
        if start:
            return self._answer(response, start[0], self._stream(_SyncStream, response, exchange))
        try:
            return self._whole(response, exchange, b"".join(response.stream))
        finally:
            exchange.close()
            response.close()

    def close(self) -> None:
        """Close the spool and the transport."""
        self._recorder.spool.close()
        self._inner.close()

    def __enter__(self) -> "_SyncTransport":
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._recorder.spool.close()
        self._inner.__exit__(*error)


class _AsyncTransport(_Transport):
    """The same for an asynchronous client."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request and give its answer."""
        asked = self._asked(request, await request.aread())
        if asked is None:
            return await self._inner.handle_async_request(request)
        frame, exchange, changed = self._first(asked, request)
        response = await self._inner.handle_async_request(changed)
        start = self._begun(response, exchange)
        if exchange.refused:
            await response.aclose()
            exchange = self._second(frame)
            response = await self._inner.handle_async_request(request)
            start = self._begun(response, exchange)
            self._note(asked, exchange)
        if start:
            return self._answer(response, start[0], self._stream(_AsyncStream, response, exchange))
        try:
            return self._whole(response, exchange, b"".join([part async for part in response.stream]))
        finally:
            exchange.close()
            await response.aclose()

    async def aclose(self) -> None:
        """Close the spool and the transport."""
        self._recorder.spool.close()
        await self._inner.aclose()

    async def __aenter__(self) -> "_AsyncTransport":
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._recorder.spool.close()
        await self._inner.__aexit__(*error)


def _passed(exchange: Exchange, data: bytes, *, more: bool) -> bytes:
    messages = exchange.pass_on({"type": "http.response.body", "body": data, "more_body": more})
    return b"".join(message["body"] for message in messages)


class _SyncStream:
    """A body on its way to the client."""

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner, self._exchange = inner, exchange

    def __iter__(self) -> Iterator[bytes]:
        for data in self._inner:
            if passed := _passed(self._exchange, data, more=True):
                yield passed
        if passed := _passed(self._exchange, b"", more=False):
            yield passed

    def close(self) -> None:
        self._exchange.close()
        self._inner.close()


class _AsyncStream:
    """The same for an asynchronous client."""

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner, self._exchange = inner, exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._inner:
            if passed := _passed(self._exchange, data, more=True):
                yield passed
        if passed := _passed(self._exchange, b"", more=False):
            yield passed

    async def aclose(self) -> None:
        self._exchange.close()
        await self._inner.aclose()
