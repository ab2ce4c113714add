"""One model behind the gateway: a call to it as it comes, and how long it rests after a failure."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from nilometer.models import clean_text, retry_after

from ..capture import Capture, PassThrough, Settings
from .config import ModelConfig

__all__ = ["Answer", "Call", "CallFailedError", "Headers", "Upstream", "Whole"]

Headers = list[tuple[bytes, bytes]]
_WAITING = 8
_LONGEST_REST = 30.0
_LIMITED = 429
_OF_THE_SERVER = frozenset({401, 403, 404, 408, 425, _LIMITED})
_MOST_OF_ERROR = 64 << 10


class CallFailedError(Exception):
    """A call that brought no answer, so that another model may be asked."""

    def __init__(self, reason: str, *, status: int | None = None, said: str = "", after: float | None = None) -> None:
        super().__init__(f"{reason} ({said})" if said else reason)
        self.reason = reason
        """What happened, without what the server said."""
        self.status = status
        """With which the server refused; None if it began an answer, or may have."""
        self.after = after
        """Seconds that the server asks to wait."""


class Answer(NamedTuple):
    """The beginning of an answer."""

    status: int
    headers: Headers


class Whole(NamedTuple):
    """A whole answer."""

    model: str
    headers: Headers
    body: bytes
    status: int = 200


class Call:
    """One call to an ASGI application: its answer part by part, and an end that reaches the server.

    Parameters
    ----------
    app
        Called once.
    scope
        Of the request.
    body
        Of the request.
    timeout
        Seconds without a message after which the call has failed.
    """

    def __init__(self, app: Any, scope: dict[str, Any], body: bytes, *, timeout: float) -> None:
        self._timeout = timeout
        self._messages: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue(_WAITING)
        self._request: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
        self._left = asyncio.Event()
        self._task = asyncio.create_task(self._run(app, scope))

    async def begin(self) -> Answer:
        """Wait for the status and the headers."""
        message = await self._next()
        return Answer(message["status"], list(message.get("headers", ())))

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        more = True
        while more:
            message = await self._next()
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def close(self) -> None:
        """End the call; a server that is still answering is told."""
        self._left.set()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _next(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout):
                message = await self._messages.get()
        except TimeoutError:
            raise CallFailedError(f"nothing came for {self._timeout:g} s") from None
        if isinstance(message, Exception):
            raise CallFailedError(f"the answer broke off ({type(message).__name__})") from message
        return message

    async def _run(self, app: Any, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._messages.put)
        except Exception as exc:  # noqa: BLE001 - whatever ended the call, another model may be asked
            await self._messages.put(exc)

    async def _receive(self) -> dict[str, Any]:
        if self._request:
            return self._request.pop()
        await self._left.wait()
        return {"type": "http.disconnect"}


class Upstream:
    """A model at its server, with a capture before it where answers are kept.

    After a failure it rests: for as long as the server asks to wait, else for a second, doubled with every further
    failure up to half a minute.

    Parameters
    ----------
    config
        The model.
    settings
        Of the capture; None for none.
    timeout
        Seconds without a byte after which a call has failed.
    """

    def __init__(self, config: ModelConfig, settings: Settings | None, *, timeout: float) -> None:
        parts = urlsplit(config.url)
        base = f"{parts.scheme}://{parts.netloc}"
        path = parts.path.rstrip("/").removesuffix("/chat/completions")
        self.name, self.config = config.name, config
        self.n_calls = self.n_failures = 0
        self._passing = PassThrough(base)
        self._app: Any = self._passing if settings is None else Capture(self._passing, settings)
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": f"{path}/chat/completions",
            "query_string": parts.query.encode(),
        }
        self._headers: Headers = [(b"content-type", b"application/json")]
        if key := config.key():
            self._headers.append((b"authorization", f"Bearer {key}".encode()))
            if (parts.hostname or "").endswith(".azure.com"):
                self._headers.append((b"api-key", key.encode()))
        self._timeout = timeout
        self._ready_at = 0.0
        self._in_a_row = 0
        self.is_limited = False
        """Whether the rest was asked for by the server."""

    def rests_for(self) -> float:
        """Seconds that this model is not to be asked, 0 if it may be."""
        return max(0.0, self._ready_at - time.monotonic())

    def cost(self, n_prompt: float, n_answer: float) -> float:
        """Price of a call by its tokens."""
        return (n_prompt * self.config.price[0] + n_answer * self.config.price[1]) / 1e6

    async def call(self, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> tuple[Call, Answer]:
        """Ask, and return the call once the server has begun to answer.

        Raises
        ------
        CallFailedError
            If the server cannot be reached, is limited, fails, refuses the key or does not know the model.
        """
        length = (b"content-length", str(len(body)).encode())
        scope = {**self._scope, "headers": [*self._headers, *headers, length]}
        self.n_calls += 1
        call = Call(self._app, scope, body, timeout=self._timeout)
        try:
            answer = await _begun(call)
        except BaseException as exc:
            await call.close()
            if isinstance(exc, CallFailedError):
                self.failed(exc)
            raise
        return call, answer

    async def whole(self, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Whole:
        """Ask, and return the whole answer.

        Raises
        ------
        CallFailedError
            As ``call``, or if the answer breaks off.
        """
        call, answer = await self.call(body, headers)
        try:
            data = b"".join([part async for part in call.parts()])
        except CallFailedError as exc:
            self.failed(exc)
            raise
        finally:
            await call.close()
        self.succeeded()
        return Whole(self.name, answer.headers, data, answer.status)

    def succeeded(self) -> None:
        """Note an answer that came whole."""
        self._in_a_row = 0
        self._ready_at = 0.0

    def failed(self, failure: CallFailedError) -> None:
        """Note a failure; the model rests."""
        self.n_failures += 1
        self._in_a_row += 1
        self.is_limited = failure.status == _LIMITED
        usual = min(2.0 ** (self._in_a_row - 1), _LONGEST_REST)
        rest = usual if failure.after is None else failure.after
        self._ready_at = max(self._ready_at, time.monotonic() + rest)

    async def close(self) -> None:
        """Close the connections and the spool."""
        if isinstance(self._app, Capture):
            await asyncio.to_thread(self._app.spool.close)
        await self._passing.close()


async def _begun(call: Call) -> Answer:
    """Wait for the beginning of an answer; a status that says that another model may do better is a failure."""
    answer = await call.begin()
    if answer.status in _OF_THE_SERVER or answer.status >= 500:
        raise await _refusal(call, answer)
    return answer


async def _refusal(call: Call, answer: Answer) -> CallFailedError:
    """What a server said instead of an answer."""
    named = {name.lower(): value for name, value in answer.headers}
    after = retry_after(named.get(b"retry-after", b"").decode("latin-1") or None)
    body = b""
    async for part in call.parts():
        body += part
        if len(body) > _MOST_OF_ERROR:
            break
    return CallFailedError(f"status {answer.status}", status=answer.status, said=_said(body), after=after)


def _said(body: bytes) -> str:
    """Message of an error, in one short line."""
    try:
        error = msgspec.json.decode(body, type=dict[str, Any]).get("error")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    message = error.get("message") if isinstance(error, dict) else error
    return clean_text(str(message)) if message else ""
