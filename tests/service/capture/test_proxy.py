"""The pass-through against a real server on loopback."""

import json
import threading

import httpx
import pytest

from nilometer.errors import ConfigError
from nilometer.service.capture import PassThrough, Settings, proxy_app

CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "7 + 5?"}]}


@pytest.mark.parametrize("stream", [False, True])
def test_proxy_serves_what_the_server_serves_and_spools(stream, fake_vllm, frames, tmp_path, running):
    body = {**CHAT, "stream": stream}
    with running(fake_vllm()) as upstream, running(proxy_app(upstream, Settings(spool=str(tmp_path), k=5))) as url:
        bare = httpx.post(f"{upstream}/v1/chat/completions", json=body)
        seen = httpx.post(f"{url}/v1/chat/completions", json=body, headers={"x-nilometer-tenant": "a"})
    assert (seen.status_code, seen.content) == (bare.status_code, bare.content)
    (frame,) = frames(tmp_path)
    assert frame.body.count(b'"token":') > 8
    assert frame.attributes == {"tenant": "a"}


def test_other_paths_and_queries_pass(fake_vllm, tmp_path, running):
    async def echo(scope, receive, send):
        body = json.dumps([scope["method"], scope["path"], scope["query_string"].decode()]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": body})

    with running(echo) as upstream, running(PassThrough(upstream)) as url:
        seen = httpx.get(f"{url}/v1/models?a=b")
    assert seen.json() == ["GET", "/v1/models", "a=b"]
    assert seen.headers["x-own"] == "1"


def test_server_that_is_down_gives_502_with_the_reason(tmp_path, running):
    with running(proxy_app("http://127.0.0.1:9", Settings(spool=str(tmp_path)))) as url:
        seen = httpx.post(f"{url}/v1/chat/completions", json=CHAT)
    assert seen.status_code == 502
    assert "http://127.0.0.1:9 does not answer" in seen.json()["error"]["message"]


def test_client_that_leaves_ends_the_request_upstream(fake_vllm, frames, tmp_path, running):
    import asyncio

    server, left = fake_vllm(), threading.Event()

    async def slow(i, receive):
        if i == 3:
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()
            raise asyncio.CancelledError

    server.after_event = slow
    with running(server) as upstream, running(proxy_app(upstream, Settings(spool=str(tmp_path), k=5))) as url:
        with httpx.stream("POST", f"{url}/v1/chat/completions", json={**CHAT, "stream": True}, timeout=20) as answer:
            next(answer.iter_raw())
        assert left.wait(20)
    assert [frame.outcome for frame in frames(tmp_path)] == ["aborted"]


def test_address_without_a_scheme_is_refused():
    with pytest.raises(ConfigError, match="`upstream` must start with http://"):
        PassThrough("127.0.0.1:8080")
