"""The served bytes are those of the server without capture, and the spool holds every log-probability."""

import asyncio
import json
import subprocess
import sys

import pytest

from nilometer.capture import Capture
from nilometer.service.capture import Settings
from nilometer.traces import traces_from_response

CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "7 + 5?"}]}
TEXT = {"model": "smollm2", "prompt": "7 + 5 ="}
STREAM = {"stream": True}
KINDS = {
    "chat": CHAT,
    "chat, false asked": {**CHAT, "logprobs": False},
    "chat stream": {**CHAT, **STREAM},
    "chat stream with usage": {**CHAT, **STREAM, "stream_options": {"include_usage": True}},
    "two choices": {**CHAT, "n": 2},
    "two choices, stream": {**CHAT, **STREAM, "n": 2},
    "client asks for 2": {**CHAT, "logprobs": True, "top_logprobs": 2},
    "client asks for 2, stream": {**CHAT, **STREAM, "logprobs": True, "top_logprobs": 2},
    "client asks for 0": {**CHAT, "logprobs": True, "top_logprobs": 0},
    "tools, stream": {**CHAT, **STREAM, "tools": [{"type": "function"}]},
    "tools": {**CHAT, "tools": [{"type": "function"}]},
    "completions": TEXT,
    "completions, client asks": {**TEXT, "logprobs": 2},
    "completions stream": {**TEXT, **STREAM},
    "two prompts": {**TEXT, "prompt": ["a", "b"]},
    "a body without messages": {"model": "smollm2"},
    "a body that is no JSON": b"{",
    "a body that is no object": b"[1]",
    "another path": CHAT,
}


def _capture(app, folder, **changes):
    return Capture(app, Settings(spool=str(folder / "spool"), k=5, **changes))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", KINDS)
def test_answer_is_that_of_the_server_without_capture(kind, newline, fake_vllm, ask, tmp_path):
    path = "/v1/completions" if "completions" in kind or kind == "two prompts" else "/v1/chat/completions"
    path = "/v2/chat/completions" if kind == "another path" else path
    bare = ask(fake_vllm(newline=newline), KINDS[kind], path=path)
    seen = ask(_capture(fake_vllm(newline=newline), tmp_path), KINDS[kind], path=path)
    assert (seen.status, seen.headers, seen.body) == (bare.status, bare.headers, bare.body)


@pytest.mark.parametrize("kind", ["chat", "chat stream", "two choices", "two choices, stream", "tools, stream"])
def test_spool_holds_the_log_probabilities_that_were_stripped(kind, fake_vllm, ask, frames, tmp_path):
    server = fake_vllm()
    ask(_capture(server, tmp_path), KINDS[kind])
    (frame,) = frames(tmp_path / "spool")
    assert (frame.outcome, frame.k, frame.asked_by_client) == ("served", 5, False)
    assert frame.body.count(b'"token":') > 8
    assert json.loads(server.requests[0][1])["top_logprobs"] == 5


def test_whole_answer_in_the_spool_is_a_trace(fake_vllm, ask, frames, tmp_path):
    ask(_capture(fake_vllm(), tmp_path), CHAT)
    (frame,) = frames(tmp_path / "spool")
    (trace,) = traces_from_response(frame.body, trace_id="")
    assert trace.top_logprobs.shape == (8, 5)


def test_client_that_asks_gets_its_own_request_through(fake_vllm, ask, frames, tmp_path):
    server = fake_vllm()
    body = json.dumps(KINDS["client asks for 2"]).encode()
    ask(_capture(server, tmp_path), body)
    (frame,) = frames(tmp_path / "spool")
    assert server.requests[0][1] == body
    assert (frame.k, frame.asked_by_client) == (2, True)


def test_chunks_without_capture_of_swallowed_tokens_do_not_appear(fake_vllm, ask, tmp_path):
    seen = ask(_capture(fake_vllm(), tmp_path), KINDS["tools, stream"])
    assert b'"delta":{}' not in seen.body


def test_refused_request_goes_out_as_it_came_and_the_model_is_not_asked_again(fake_vllm, ask, frames, tmp_path):
    server = fake_vllm(refuses=True)
    capture = _capture(server, tmp_path)
    bare = ask(fake_vllm(), CHAT)
    assert [ask(capture, CHAT).body for _ in range(2)] == [bare.body] * 2
    assert [b"logprobs" in body for _, body in server.requests] == [True, False, False]
    assert [frame.k for frame in frames(tmp_path / "spool")] == [None, None]


def test_mistake_of_the_client_does_not_stop_the_asking(fake_vllm, ask, tmp_path):
    server = fake_vllm()
    capture = _capture(server, tmp_path)
    ask(capture, {"model": "smollm2"})
    ask(capture, CHAT)
    assert b"logprobs" in server.requests[-1][1]


def test_error_of_the_server_leaves_no_frame(fake_vllm, ask, frames, tmp_path):
    ask(_capture(fake_vllm(), tmp_path), {"model": "smollm2"})
    assert frames(tmp_path / "spool") == []


def test_server_that_omits_the_key_is_matched_once_a_stream_has_shown_it(fake_vllm, ask, tmp_path):
    def mangle(text):
        return text.replace('"logprobs":null,', "")

    capture = _capture(fake_vllm(mangle=mangle), tmp_path)
    for kind in ("chat stream", "chat"):
        assert ask(capture, KINDS[kind]).body == ask(fake_vllm(mangle=mangle), KINDS[kind]).body


def test_request_for_gzip_is_served_plain_and_whole(fake_vllm, ask, tmp_path):
    packed = [(b"accept-encoding", b"gzip"), (b"content-length", b"7")]
    seen = ask(_capture(fake_vllm(), tmp_path), CHAT, headers=packed)
    assert seen.body == ask(fake_vllm(), CHAT).body


def test_server_that_packs_unasked_is_unpacked(fake_vllm, ask, frames, tmp_path):
    inner = fake_vllm()

    async def packs(scope, receive, send):
        await inner({**scope, "headers": [(b"accept-encoding", b"gzip")]}, receive, send)

    seen = ask(_capture(packs, tmp_path), CHAT)
    assert seen.body == ask(fake_vllm(), CHAT).body
    assert frames(tmp_path / "spool")[0].body.startswith(b"{")


def test_packed_request_passes_untouched(fake_vllm, ask, frames, tmp_path):
    server = fake_vllm()
    ask(_capture(server, tmp_path), CHAT, headers=[(b"content-encoding", b"gzip")])
    assert b"logprobs" not in server.requests[0][1]
    assert frames(tmp_path / "spool") == []


def test_long_request_passes_untouched_in_its_parts(fake_vllm, ask, frames, tmp_path):
    server = fake_vllm()
    body = json.dumps(CHAT).encode()
    seen = ask(_capture(server, tmp_path, request_limit=20), body, parts=[body[:15], body[15:30], body[30:]])
    assert server.requests[0][1] == body
    assert seen.body == ask(fake_vllm(), CHAT).body
    assert frames(tmp_path / "spool") == []


@pytest.mark.parametrize("kind", ["chat", "chat stream", "client asks for 2, stream"])
def test_long_answer_is_stripped_but_not_spooled(kind, fake_vllm, ask, frames, tmp_path):
    capture = _capture(fake_vllm(), tmp_path, record_limit=100)
    assert ask(capture, KINDS[kind]).body == ask(fake_vllm(), KINDS[kind]).body
    assert frames(tmp_path / "spool")[0].body == b""
    assert capture.spool.counts["dropped_too_large"] == 1


def test_client_that_leaves_is_seen_by_the_server_and_spooled_as_aborted(fake_vllm, ask, frames, tmp_path):
    server = fake_vllm()

    async def leave(i, receive):
        if i == 3:
            server.disconnected.append((await receive())["type"])
            raise asyncio.CancelledError

    server.after_event = leave
    with pytest.raises(asyncio.CancelledError):
        ask(_capture(server, tmp_path), KINDS["chat stream"])
    (frame,) = frames(tmp_path / "spool")
    assert server.disconnected == ["http.disconnect"]
    assert frame.outcome == "aborted"
    assert frame.body.count(b"data: ") == 2


def test_frame_is_on_disk_before_the_last_chunk_leaves(fake_vllm, frames, tmp_path):
    seen = []

    async def run():
        async def receive():
            return {"type": "http.request", "body": json.dumps(KINDS["chat stream"]).encode()}

        async def send(message):
            seen.append((message.get("body", b""), len(frames(tmp_path / "spool"))))

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
        await _capture(fake_vllm(), tmp_path)(scope, receive, send)

    asyncio.run(run())
    assert [n for body, n in seen if b"[DONE]" in body] == [1]
    assert [n for body, n in seen if b'"content":"2"' in body] == [0]


def test_unsampled_request_is_counted_and_not_changed(fake_vllm, ask, frames, tmp_path):
    server = fake_vllm()
    capture = _capture(server, tmp_path, rate=1e-9)
    ask(capture, {**CHAT, "metadata": {"tenant": "a"}})
    (frame,) = frames(tmp_path / "spool")
    assert (frame.outcome, frame.body, frame.attributes, frame.capture_probability) == (
        "unsampled",
        b"",
        {"tenant": "a"},
        1e-9,
    )
    assert b"logprobs" not in server.requests[0][1]


def test_prompts_are_spooled_only_when_asked_for(fake_vllm, ask, frames, tmp_path):
    for texts in (False, True):
        ask(_capture(fake_vllm(), tmp_path / str(texts), texts=texts), CHAT)
    assert frames(tmp_path / "False" / "spool")[0].request == b""
    assert b"7 + 5?" in frames(tmp_path / "True" / "spool")[0].request


def test_failing_spool_is_counted_and_the_answer_goes_on(fake_vllm, ask, tmp_path):
    (tmp_path / "spool").write_text("a file where the folder should be")
    capture = _capture(fake_vllm(), tmp_path)
    assert ask(capture, KINDS["chat stream"]).body == ask(fake_vllm(), KINDS["chat stream"]).body
    assert capture.spool.counts["dropped_disk"] == 1


@pytest.mark.parametrize("kind", ["chat", "chat stream"])
def test_failure_inside_the_capture_passes_everything_on(kind, fake_vllm, ask, tmp_path, monkeypatch):
    capture = _capture(fake_vllm(), tmp_path)

    def fails(frame):
        raise RuntimeError

    monkeypatch.setattr(capture.spool, "write", fails)
    seen = ask(capture, KINDS[kind])
    assert capture.spool.counts["errors"] >= 1
    assert seen.body.endswith(b"[DONE]\n\n" if kind == "chat stream" else b"}")
    assert seen.messages[-1]["more_body"] is False


@pytest.mark.parametrize(
    "body",
    [
        {**TEXT, "echo": True},
        {**TEXT, "best_of": 3},
        {**CHAT, "use_beam_search": True},
        {**CHAT, "top_logprobs": 3},
    ],
)
def test_requests_that_asking_would_change_are_left_alone(body, fake_vllm, ask, tmp_path):
    server = fake_vllm()
    ask(_capture(server, tmp_path), body, path="/v1/completions" if "prompt" in body else "/v1/chat/completions")
    assert json.loads(server.requests[0][1]) == body


def test_flags_of_vllm_bound_k_and_name_the_mode(fake_vllm, frames, tmp_path):
    from types import SimpleNamespace

    server = fake_vllm()

    async def run():
        async def receive():
            return {"type": "http.request", "body": json.dumps(CHAT).encode()}

        async def send(message):
            pass

        flags = SimpleNamespace(max_logprobs=3, logprobs_mode="processed_logprobs")
        app = SimpleNamespace(state=SimpleNamespace(args=flags))
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "app": app}
        await _capture(server, tmp_path)(scope, receive, send)

    asyncio.run(run())
    (frame,) = frames(tmp_path / "spool")
    assert (frame.k, frame.logprobs_mode) == (3, "processed")
    assert json.loads(server.requests[0][1])["top_logprobs"] == 3


def test_import_of_the_middleware_needs_only_msgspec():
    heavy = ["numpy", "pyarrow", "scipy", "sklearn", "duckdb", "starlette", "typer", "rich"]
    code = f"import sys, nilometer.capture; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
