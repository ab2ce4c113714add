"""One answer on its way to the client: what is held, stripped, spooled and passed on."""

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .frames import Frame
from .spool import Spool
from .strip import EventCutter, strip_body, strip_event, writes_null

__all__ = ["Exchange", "Send"]

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
_REFUSED = (400, 422)
_EARLY = 3
"""Events of a stream that may show how the server writes a chunk without log-probabilities."""


class Exchange:
    """The answer to one request; ``pass_on`` stands between the server and the client.

    Parameters
    ----------
    frame
        What is known so far; completed and spooled when the answer is whole, or at ``close``.
    injected
        Whether log-probabilities were asked for without the client's knowledge, so that they must be taken out.
    nulls
        What was learned of each interface: whether the server writes ``"logprobs":null`` without them.
    """

    def __init__(
        self, frame: Frame, *, spool: Spool, injected: bool, nulls: dict[str, bool], record_limit: int
    ) -> None:
        self.status = 0
        self.refused = False
        """Whether the server refused a request that was changed; nothing has been passed on then."""
        self._frame, self._spool = frame, spool
        self._injected, self._nulls, self._record_limit = injected, nulls, record_limit
        self._captures = frame.outcome == "served"
        self._start: Message | None = None
        self._kind = "pass"
        self._cutter = EventCutter()
        self._held = b""
        self._parts: list[bytes] = []
        self._size = 0
        self._spooled = False

    def pass_on(self, message: Message) -> list[Message]:
        """Messages for the client after this one of the server; if that fails, it is counted and goes as it came."""
        try:
            return self._answer(message)
        except Exception:  # noqa: BLE001 - the answer goes on whatever happens to the capture
            return self._as_it_came(message)

    def close(self) -> None:
        """Spool an answer that broke off."""
        if self.status == 200 and not self._spooled:
            self._frame.outcome = "aborted" if self._captures else self._frame.outcome
            self._spool_frame()

    def _answer(self, message: Message) -> list[Message]:
        if message["type"] == "http.response.start":
            return self._begin(message)
        if message["type"] != "http.response.body" or self.refused:
            return [] if self.refused else [message]
        data, more = message.get("body", b""), message.get("more_body", False)
        if self._kind == "pass":
            self._finish(more=more)
            return [message]
        if self._kind == "events" and self._injected:
            return self._events(data, more=more)
        self._keep(data)
        if self._kind == "whole" and self._injected:
            return self._whole() if not more else []
        done = self._kind == "events" and any(map(_is_done, self._cutter.feed(data)))
        self._finish(more=more and not done)
        return [message]

    def _as_it_came(self, message: Message) -> list[Message]:
        """Everything that was held, and the message."""
        self._spool.counts["errors"] += 1
        kind, start = self._kind, self._start
        self._kind, self._start = "pass", None
        if message["type"] != "http.response.body":
            return [message]
        if kind == "whole" and start is not None:
            return [start, {**message, "body": b"".join(self._parts)}]
        return [{**message, "body": self._held + message.get("body", b"")}]

    def _begin(self, message: Message) -> list[Message]:
        self.status = message["status"]
        headers = {name.lower(): value for name, value in message.get("headers", ())}
        kind = headers.get(b"content-type", b"").split(b";")[0].strip()
        if self._injected and self.status in _REFUSED:
            self.refused = True
            return []
        if self.status != 200 or not self._captures:
            return [message]
        encoding = headers.get(b"content-encoding", b"identity")
        if kind == b"text/event-stream":
            self._kind = "events"
        elif kind == b"application/json":
            self._kind = "whole"
        if encoding not in {b"identity", b"gzip"} or (encoding == b"gzip" and self._kind == "events"):
            self._kind = "pass"
            self._spool.counts["encoded"] += 1
        if self._kind == "whole" and self._injected:
            self._start = message
            return []
        return [message]

    def _whole(self) -> list[Message]:
        """The whole answer, held until now, without what the client did not ask for."""
        start, body = self._start or {}, b"".join(self._parts)
        headers = list(start.get("headers", ()))
        if (b"content-encoding", b"gzip") in [(name.lower(), value) for name, value in headers]:
            body = zlib.decompress(body, wbits=31)
            headers = [item for item in headers if item[0].lower() != b"content-encoding"]
            self._parts = [body]
        body = strip_body(body, null=self._nulls.get(self._frame.api, True))
        length = (b"content-length", str(len(body)).encode())
        self._finish(more=False)
        self._start = None
        start["headers"] = [length if name.lower() == b"content-length" else (name, value) for name, value in headers]
        return [start, {"type": "http.response.body", "body": body, "more_body": False}]

    def _events(self, data: bytes, *, more: bool) -> list[Message]:
        self._held = self._cutter.waiting
        events = self._cutter.feed(data)
        if not more and (rest := self._cutter.rest()):
            events.append(rest)
        passed = []
        for event in events:
            self._keep(event)
            is_early = self._frame.api not in self._nulls and len(self._parts) <= _EARLY
            if is_early and (null := writes_null(event)) is not None:
                self._nulls[self._frame.api] = null
            passed.append(strip_event(event, null=self._nulls.get(self._frame.api, True)))
        self._finish(more=more and not any(map(_is_done, events)))
        body = b"".join(passed)
        return [{"type": "http.response.body", "body": body, "more_body": more}] if body or not more else []

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._record_limit or (self._injected and self._kind == "whole"):
            self._parts.append(data)
        else:
            self._parts.clear()

    def _finish(self, *, more: bool) -> None:
        if not more and self.status == 200 and not self._spooled:
            self._spool_frame()

    def _spool_frame(self) -> None:
        self._spooled = True
        if self._captures and self._size > self._record_limit:
            self._spool.counts["dropped_too_large"] += 1
        elif self._captures:
            self._frame.body = b"".join(self._parts)
        self._spool.counts[self._frame.outcome] += 1
        self._spool.write(self._frame)
        self._parts = []


def _is_done(event: bytes) -> bool:
    return event.startswith((b"data: [DONE]", b"data:[DONE]"))
