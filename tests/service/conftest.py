"""A server that replays what vLLM 0.32.0 wrote, a client without a network, a sentinel, and frames of the corpus."""

import asyncio
import contextlib
import gzip
import json
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import uvicorn

from nilometer.estimators import Sentinel
from nilometer.service.capture import Frame
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces

WIRE = Path(__file__).parents[1] / "traces" / "wire"


def _dumps(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _without(answer):
    """What the server writes when nobody asks: the same with null in place of the log-probabilities."""
    for choice in answer["choices"]:
        choice["logprobs"] = None
    return answer


def _recorded(name):
    return (WIRE / name).read_text(encoding="utf-8")


def _events(name):
    return [event for event in _recorded(name).split("\n\n") if event.strip()]


class FakeVLLM:
    """Answers by recorded bytes: whole ones by file, streams event by event; 400 where the request is wrong."""

    def __init__(self, *, newline="\n", refuses=False, mangle=None, headers=()):
        self.requests, self.disconnected = [], []
        self.newline, self.refuses, self.mangle, self.headers = newline, refuses, mangle, list(headers)
        self.after_event = None
        self.on_done = None

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.requests.append((scope, body))
        status, parts, kind = self._answer(scope["path"], body)
        headers = [(b"content-type", kind.encode()), *self.headers]
        if kind == "application/json":
            packed = b"gzip" in dict(scope["headers"]).get(b"accept-encoding", b"")
            parts = [gzip.compress(parts[0], mtime=0)] if packed else parts
            headers += [(b"content-length", str(len(parts[0])).encode())]
            headers += [(b"content-encoding", b"gzip")] if packed else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for i, part in enumerate(parts):
            if self.after_event is not None:
                await self.after_event(i, receive)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _answer(self, path, body):
        try:
            asked = json.loads(body)
        except ValueError:
            return 400, [b'{"error":{"message":"not JSON","code":400}}'], "application/json"
        if path not in {"/v1/chat/completions", "/v1/completions"}:
            return 404, [b'{"detail":"Not Found"}'], "application/json"
        if self.refuses and asked.get("logprobs"):
            return 400, [b'{"error":{"message":"logprobs are not supported","code":400}}'], "application/json"
        if "messages" not in asked and "prompt" not in asked:
            echo = _dumps({"error": {"message": f"messages missing in {sorted(asked)}", "code": 400}})
            return 400, [echo.encode()], "application/json"
        wants = asked.get("logprobs") not in (None, False)
        if asked.get("stream"):
            return 200, self._stream(asked, wants=wants), "text/event-stream; charset=utf-8"
        name = "vllm_completions.jsonl" if "prompt" in asked else "vllm_chat.jsonl"
        name = "vllm_chat_two_choices.jsonl" if asked.get("n") == 2 else name
        line = _recorded(name).splitlines()[0]
        assert _dumps(json.loads(line)) == line
        text = line if wants else _dumps(_without(json.loads(line)))
        return 200, [(self.mangle(text) if self.mangle else text).encode()], "application/json"

    def _stream(self, asked, *, wants):
        chunks = [json.loads(event[6:]) for event in _events("vllm_chat.sse")[:-1]]
        if "prompt" in asked:
            chunks = self._text_chunks()
        if asked.get("n") == 2:
            chunks = [{**chunk, "choices": [{**chunk["choices"][0], "index": i}]} for chunk in chunks for i in (0, 1)]
        if asked.get("tools"):
            swallowed = {"delta": {}, "finish_reason": None}
            middle = [{**c, "choices": [{**c["choices"][0], **swallowed}]} for c in chunks[2:-1]]
            chunks = [chunks[0], chunks[1], *(middle if wants else []), chunks[-1]]
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({**chunks[-1], "choices": [], "usage": {"prompt_tokens": 37, "completion_tokens": 8}})
        chunks = chunks if wants else [_without(chunk) for chunk in chunks]
        blank = self.newline * 2
        texts = [f"data: {_dumps(chunk)}{blank}" for chunk in chunks]
        texts = [self.mangle(text) if self.mangle else text for text in texts]
        return [text.encode() for text in (f": keep-alive{blank}", *texts, f"data: [DONE]{blank}")]

    def _text_chunks(self):
        whole = json.loads(_recorded("vllm_completions.jsonl").splitlines()[0])
        lists, last = whole["choices"][0]["logprobs"], len(whole["choices"][0]["logprobs"]["tokens"]) - 1
        head = {name: whole[name] for name in ("id", "object", "created", "model")}
        return [
            {
                **head,
                "choices": [
                    {
                        "index": 0,
                        "text": token,
                        "logprobs": {name: [values[i]] for name, values in lists.items()},
                        "finish_reason": "length" if i == last else None,
                    }
                ],
            }
            for i, token in enumerate(lists["tokens"])
        ]


async def _call(app, path, body, *, headers, parts):
    sent, outgoing = [], list(parts or [body])
    n_parts = len(outgoing)

    async def receive():
        if outgoing:
            part = outgoing.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(outgoing)}
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
    await app(scope, receive, send)
    assert n_parts >= 1
    return SimpleNamespace(
        status=sent[0]["status"],
        headers=dict(sent[0]["headers"]),
        body=b"".join(message.get("body", b"") for message in sent[1:]),
        messages=sent,
    )


@pytest.fixture
def fake_vllm():
    return FakeVLLM


@pytest.fixture
def ask():
    """``ask(app, {...})``: status, headers, body and messages of one request."""

    def run(app, body, *, path="/v1/chat/completions", headers=(), parts=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return asyncio.run(_call(app, path, data, headers=headers, parts=parts))

    return run


@pytest.fixture
def frames():
    """Every frame of a spool folder."""

    def read(folder):
        from nilometer.service.capture import HEAD_BYTES, FrameReader

        found = []
        for path in sorted(Path(folder).glob("*.spool")):
            with contextlib.suppress(FileNotFoundError):  # dropped since it was listed
                found += [frame for _, frame in FrameReader(path.read_bytes()[HEAD_BYTES:])]
        return [frame for frame in found if frame.outcome != "counts"]

    return read


@pytest.fixture(scope="session")
def gemma():
    """Traces and profiles of the shipped corpus, and a sentinel fitted on them."""
    traces = read_traces(corpus_path("gemma3")).read_all()
    profiles = profile_traces(traces.to_batches())
    domains = [dict(row)["domain"] for row in profiles["attributes"].to_pylist()]
    sentinel = Sentinel(bootstraps=3).fit(profiles, profiles["correct"].to_numpy(), groups=domains)
    return traces, profiles, domains, sentinel


HOUR = 1_795_003_200_000_000  # starts an hour


def _answer(row, name):
    k = row["k"]
    top = np.array(row["top_logprobs"], dtype=np.float64).reshape(-1, k)
    content = [
        {
            "token": token,
            "logprob": chosen,
            "top_logprobs": [{"token": f"t{i}", "logprob": value} for i, value in enumerate(values) if value == value],
        }
        for token, chosen, values in zip(
            row["tokens"] or ["x"] * len(top), row["chosen_logprobs"], top.tolist(), strict=True
        )
    ]
    return {
        "id": name,
        "object": "chat.completion",
        "model": row["model"],
        "choices": [
            {
                "index": 0,
                "message": {"content": row["answer"] or "".join(row["tokens"] or [])},
                "finish_reason": row["finish_reason"],
                "logprobs": {"content": content},
            }
        ],
    }


@pytest.fixture(scope="session")
def frame_of():
    """``frame_of(row, i)``: the frame that a capture would have written of a trace of the corpus."""

    def make(row, i, *, seconds=0, **changes):
        body = json.dumps(_answer(row, f"chatcmpl-{i}")).encode()
        given = {
            "id": f"r{i}",
            "time": HOUR + int(seconds * 1e6),
            "outcome": "served",
            "model": row["model"],
            "k": row["k"],
            "logprobs_mode": row["logprobs_mode"],
            "temperature": row["temperature"],
            "attributes": {"domain": dict(row["attributes"])["domain"]},
            "body": body,
        }
        return Frame(**{**given, **changes})

    return make


@contextlib.contextmanager
def _running(app):
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", lifespan="auto", ws="none", proxy_headers=False)
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def running():
    """``with running(app) as url``: a real server on loopback."""
    return _running
