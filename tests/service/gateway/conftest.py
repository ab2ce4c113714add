"""Models that answer, fail, hang and break off as they are told, and a gateway before them."""

import asyncio
import contextlib
import json
import threading
from collections import Counter
from types import SimpleNamespace

import httpx
import msgspec
import pytest

from nilometer.service import Access, Gateway, GatewayConfig, Settings, gateway_app, open_database


def chunks(model, text, *, usage):
    """Events of a streamed answer, one character each."""
    head = {"id": f"{model}-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for char in text:
        choice = {"index": 0, "delta": {"content": char}, "logprobs": None, "finish_reason": None}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode()
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    yield f"data: {json.dumps({**head, 'choices': [last]})}\n\n".encode()
    if usage:
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n".encode()
    yield b"data: [DONE]\n\n"


class FakeModels:
    """Serves /NAME/v1/chat/completions; ``replies[name]`` says what model NAME does.

    A reply is a text, None (null content), or a dictionary with ``status``, ``headers``, ``text``, ``hang`` (seconds),
    ``breaks`` (the answer ends after so many parts), or a function of the body and the number of the call.
    """

    def __init__(self):
        self.replies, self.bodies, self.headers = {}, {}, {}
        self.left = threading.Event()
        self.calls = Counter()

    async def __call__(self, scope, receive, send):
        name, body = scope["path"].split("/")[1], b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        body = json.loads(body)
        self.calls[name] += 1
        self.bodies.setdefault(name, []).append(body)
        self.headers.setdefault(name, []).append({key.decode(): value.decode() for key, value in scope["headers"]})
        reply = self.replies[name]
        reply = reply(body, self.calls[name]) if callable(reply) else reply
        given = {"text": reply} if reply is None or isinstance(reply, str) else reply
        await self._answer(SimpleNamespace(name=name, **{"status": 200, "text": "", **given}), body, send, receive)

    async def _answer(self, given, body, send, receive):
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        if seconds := getattr(given, "hang", 0):
            await self._hang(seconds, receive)
        is_stream = body.get("stream") and given.status == 200
        if is_stream:
            parts = list(chunks(given.name, given.text, usage=usage if body.get("stream_options") else None))
        else:
            parts = [self._whole(given, body, usage)]
        kind = b"text/event-stream; charset=utf-8" if is_stream else b"application/json"
        headers = [(b"content-type", kind)]
        headers += [(key.encode(), value.encode()) for key, value in getattr(given, "headers", {}).items()]
        if not is_stream:
            headers.append((b"content-length", str(len(parts[0])).encode()))
        await send({"type": "http.response.start", "status": given.status, "headers": headers})
        for i, part in enumerate(parts):
            if getattr(given, "breaks", None) == i:
                raise ConnectionAbortedError
            if (stall := getattr(given, "stalls", None)) and stall == i:
                await self._hang(30, receive)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _whole(self, given, body, usage):
        if given.status != 200:
            return json.dumps({"error": {"message": f"{given.name} says no", "code": given.status}}).encode()
        message = {"role": "assistant", "content": given.text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        whole = {"id": f"{given.name}-1", "object": "chat.completion", "created": 1, "model": body["model"]}
        return json.dumps({**whole, "choices": [choice], "usage": usage}).encode()

    async def _hang(self, seconds, receive):
        """Wait, or until the client leaves."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.left.set()


@pytest.fixture
def fakes():
    """The models; set ``fakes.replies[name]``."""
    return FakeModels()


class OneServer:
    """A gateway and the models behind it at one address, since a server takes its time to stop."""

    def __init__(self, fakes):
        self.fakes, self.app, self.gateway = fakes, None, None

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.gateway.close()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["path"].startswith(("/v1/", "/api/", "/healthz")):
            await self.app(scope, receive, send)
        else:
            await self.fakes(scope, receive, send)


@pytest.fixture
def gateway(fakes, running, tmp_path):
    """``with gateway("abc", **config) as client``: a gateway before models of these names, as a client sees it."""

    @contextlib.contextmanager
    def start(names, *, captures=False, models=None, tokens=None, **config):
        server = OneServer(fakes)
        with running(server) as base, httpx.Client(base_url=base, timeout=120, verify=False) as client:
            own = [{"name": name, "url": f"{base}/{name}/v1", **(models or {}).get(name, {})} for name in names]
            given = msgspec.convert({"models": own, "timeout": 5.0, **config}, GatewayConfig)
            settings = Settings(spool=str(tmp_path / "spool"), k=5) if captures else None
            server.gateway = client.gateway = Gateway(given, settings)
            access = Access(tokens or open_database(tmp_path / "nilometer.db"), host="127.0.0.1")
            server.app = gateway_app(server.gateway, access)
            yield client

    return start


@pytest.fixture
def chat():
    """``chat(client, model, ...)``: the response to one question."""

    def ask(client, model, *, prompt="7 + 5?", headers=None, **more):
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
        return client.post("/v1/chat/completions", json=body, headers=headers)

    return ask
