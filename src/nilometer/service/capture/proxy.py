"""A pass-through to an OpenAI-compatible server, so that the capture can stand before servers that are not ASGI."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from nilometer.errors import ConfigError

from .exchange import Message, Send
from .middleware import Capture, Receive, Scope
from .settings import Settings

if TYPE_CHECKING:
    import httpx

__all__ = ["PassThrough", "proxy_app"]

_HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"host",
}


class PassThrough:
    """Sends every request on to one server and its answer back as it comes, byte for byte.

    A server that cannot be reached gives 502 with the reason as JSON. When the client leaves, so does the request.

    Parameters
    ----------
    upstream
        Address of the server, such as ``http://127.0.0.1:8080``.

    Raises
    ------
    ConfigError
        If ``upstream`` is no http address.
    """

    def __init__(self, upstream: str) -> None:
        if not upstream.startswith(("http://", "https://")):
            raise ConfigError(f"`upstream` must start with http:// or https://, got {upstream!r}.")
        self._upstream = upstream.rstrip("/")
        self._opened: httpx.AsyncClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._pass(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _live(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def close(self) -> None:
        """Close the connections to the server."""
        if self._opened is not None:
            await self._opened.aclose()

    def _client(self) -> "httpx.AsyncClient":
        if self._opened is None:
            import httpx

            limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
            secure = self._upstream.startswith("https://")  # loading the certificates takes a fifth of a second
            timeout = httpx.Timeout(None, connect=10)
            self._opened = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, verify=secure)
        return self._opened

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = asyncio.Event()
        answer = asyncio.create_task(self._answer(scope, _body(receive, sent), send))
        left = asyncio.create_task(_until_left(receive, sent))
        try:
            await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                answer.result()
        finally:
            for task in (answer, left):
                task.cancel()
            await asyncio.gather(answer, left, return_exceptions=True)

    async def _answer(self, scope: Scope, body: AsyncIterator[bytes], send: Send) -> None:
        import httpx

        query = scope.get("query_string", b"")
        url = self._upstream + scope["path"] + (f"?{query.decode('latin-1')}" if query else "")
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _HOP_BY_HOP]
        has_body = any(name.lower() == b"content-length" for name, _ in headers) or scope["method"] in {"POST", "PUT"}
        request = self._client().build_request(
            scope["method"], url, headers=headers, content=body if has_body else None
        )
        if b"accept-encoding" not in dict(headers):
            request.headers["accept-encoding"] = "identity"
        try:
            response = await self._client().send(request, stream=True)
        except httpx.HTTPError as exc:
            await _bad_gateway(send, f"{self._upstream} does not answer ({type(exc).__name__}: {exc})")
            return
        try:
            kept = [(name, value) for name, value in response.headers.raw if name.lower() not in _HOP_BY_HOP]
            lowered = [(name.lower(), value) for name, value in kept]
            await send({"type": "http.response.start", "status": response.status_code, "headers": lowered})
            async for part in response.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await response.aclose()


async def _body(receive: Receive, sent: asyncio.Event) -> AsyncIterator[bytes]:
    more = True
    while more:
        message: Message = await receive()
        more = message.get("more_body", False)
        if not more:
            sent.set()
        yield message.get("body", b"")


async def _until_left(receive: Receive, sent: asyncio.Event) -> None:
    await sent.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _bad_gateway(send: Send, reason: str) -> None:
    import msgspec

    body = msgspec.json.encode({"error": {"message": reason, "type": "bad_gateway", "code": 502}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 502, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def proxy_app(upstream: str, settings: Settings | None = None) -> Any:
    """Return the capture around a pass-through to ``upstream``, an ASGI application.

    Raises
    ------
    ConfigError
        If ``upstream`` is no http address or a setting is outside its range.
    """
    return Capture(PassThrough(upstream), settings)
