"""One address before several models, as its clients see it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from nilometer.service import make_token, open_database

DOWN = {"status": 503}
BODY = {"model": "a", "messages": [{"role": "user", "content": "7 + 5?"}]}


def text(response):
    return response.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("captures", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_named_model_answers_with_the_bytes_of_its_server(stream, captures, gateway, fakes, chat):
    fakes.replies = {"a": "12", "b": "13"}
    with gateway("ab", captures=captures) as client:
        seen = chat(client, "a", stream=stream)
        bare = httpx.post(f"{client.gateway.models['a'].config.url}/chat/completions", json={**BODY, "stream": stream})
    assert (seen.status_code, seen.content) == (200, bare.content)
    assert seen.headers["content-type"] == bare.headers["content-type"]
    assert seen.headers["x-nilometer-model"] == "a"
    assert fakes.calls == {"a": 2}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (DOWN, "a: status 503"),
        ({"status": 500}, "a: status 500"),
        ({"status": 401}, "a: status 401"),
        ({"status": 429, "headers": {"retry-after": "75"}}, "a: status 429"),
        ({"breaks": 0, "text": "12"}, "a: the answer broke off (RemoteProtocolError)"),
        ({"hang": 30}, "a: nothing came for 0.3 s"),
    ],
)
def test_next_model_answers_when_one_fails(fault, said, stream, gateway, fakes, chat):
    fakes.replies = {"a": fault, "b": "12"}
    with gateway("ab", models={"a": {"fallback": ["b"]}}, timeout=0.3) as client:
        seen = chat(client, "a", stream=stream)
    assert seen.status_code == 200
    assert seen.headers["x-nilometer-model"] == "b"
    assert seen.headers["x-nilometer-tried"] == said
    assert seen.headers["x-nilometer-calls"] == "2"
    assert fakes.calls == {"a": 1, "b": 1}


def test_server_that_cannot_be_reached_is_replaced(gateway, fakes, chat):
    fakes.replies = {"b": "12"}
    with gateway("ab", models={"a": {"url": "http://127.0.0.1:9/v1", "fallback": ["b"]}}) as client:
        seen = chat(client, "a")
    assert (text(seen), seen.headers["x-nilometer-tried"]) == ("12", "a: status 502")


def test_limited_model_is_not_asked_before_its_time(gateway, fakes, chat):
    fakes.replies = {"a": {"status": 429, "headers": {"retry-after": "75"}}, "b": "12"}
    with gateway("ab", models={"a": {"fallback": ["b"]}}) as client:
        chat(client, "a")
        again = chat(client, "a")
        state = client.get("/api/gateway").json()
    assert again.headers["x-nilometer-tried"].startswith("a: limited for 7")
    assert fakes.calls == {"a": 1, "b": 2}
    assert (state["models"]["a"]["calls"], state["models"]["a"]["failures"]) == (1, 1)


def test_client_is_told_to_wait_when_every_model_is_limited(gateway, fakes, chat):
    limited = {"status": 429, "headers": {"retry-after": "40"}}
    fakes.replies = {"a": limited, "b": {**limited, "headers": {"retry-after": "9"}}}
    with gateway("ab", models={"a": {"fallback": ["b"]}}) as client:
        seen = [chat(client, "a") for _ in range(2)]
    assert [one.status_code for one in seen] == [429, 429]
    assert [one.headers["retry-after"] for one in seen] == ["9", "9"]
    assert fakes.calls == {"a": 1, "b": 1}


def test_failed_model_rests_and_is_the_last_resort(gateway, fakes, chat):
    fakes.replies = {"a": DOWN, "b": "12"}
    with gateway("ab", models={"a": {"fallback": ["b"]}}) as client:
        chat(client, "a")
        second = chat(client, "a")
        fakes.replies = {"a": "13", "b": DOWN}
        third = chat(client, "a")
    assert second.headers["x-nilometer-calls"] == "1"
    assert (text(third), third.headers["x-nilometer-tried"]) == ("13", "b: status 503")


def test_no_model_left_is_an_error_that_names_them_all(gateway, fakes, chat):
    fakes.replies = {"a": DOWN, "b": {"status": 500}}
    with gateway("ab", models={"a": {"fallback": ["b"]}}) as client:
        seen = chat(client, "a")
    assert seen.status_code == 502
    assert seen.json()["error"]["message"] == "no model answered (a: status 503; b: status 500)."


def test_refusal_of_the_request_goes_to_the_client_and_no_other_model_is_asked(gateway, fakes, chat):
    fakes.replies = {"a": {"status": 400}, "b": "12"}
    with gateway("ab", models={"a": {"fallback": ["b"]}}) as client:
        seen = chat(client, "a")
    assert (seen.status_code, seen.json()["error"]["message"]) == (400, "a says no")
    assert fakes.calls == {"a": 1}


def test_stream_that_breaks_off_is_never_taken_for_a_whole_one(gateway, fakes):
    fakes.replies = {"a": {"text": "a long answer", "breaks": 4}, "b": "12"}
    got = b""

    def read(client):
        nonlocal got
        with client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as answer:
            for part in answer.iter_raw():
                got += part

    with gateway("ab", models={"a": {"fallback": ["b"]}}) as client, pytest.raises(httpx.RemoteProtocolError):
        read(client)
    assert got.count(b'"delta"') == 4
    assert b'"type":"broken_off"' in got
    assert b"[DONE]" not in got
    assert fakes.calls == {"a": 1}


def test_client_that_leaves_ends_the_call(gateway, fakes, frames, tmp_path):
    fakes.replies = {"a": {"text": "a long answer", "stalls": 4}}
    with gateway("a", captures=True) as client:
        with client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as answer:
            next(answer.iter_raw())
        assert fakes.left.wait(20)
    assert [frame.outcome for frame in frames(tmp_path / "spool")] == ["aborted"]


def test_answers_are_captured_under_the_model_that_gave_them(gateway, fakes, chat, frames, tmp_path):
    fakes.replies = {"a": DOWN, "b": "12"}
    with gateway("ab", captures=True, models={"a": {"fallback": ["b"]}, "b": {"model": "large"}}) as client:
        chat(client, "a", headers={"x-nilometer-tenant": "acme"})
    (frame,) = frames(tmp_path / "spool")
    assert (frame.model, frame.attributes) == ("large", {"tenant": "acme", "policy": "model"})
    assert fakes.bodies["b"][0]["top_logprobs"] == 5


def test_calls_of_one_request_have_traces_of_their_own(gateway, fakes, chat, frames, tmp_path):
    fakes.replies = {"a": "12", "b": "13", "c": "14"}
    cascade = {"cascade": {"first": ["a", "b"], "last": "c"}, "compare": "number"}
    with gateway("abc", captures=True, **cascade) as client:
        reply = chat(client, "nilometer/cascade", headers={"x-request-id": "ours"})
        named = chat(client, "a", headers={"x-request-id": "other"})
    assert reply.headers["x-nilometer-trace"] == "ours.3"
    assert named.headers["x-nilometer-trace"] == "other"
    assert {frame.id: frame.model for frame in frames(tmp_path / "spool")} == {
        **{"ours": "a", "ours.2": "b", "ours.3": "c"},
        "other": "a",
    }


def test_keys_of_servers_are_used_and_those_of_clients_are_not_passed_on(gateway, fakes, chat, monkeypatch):
    monkeypatch.setenv("SERVER_KEY", "server-secret")
    fakes.replies = {"a": "12", "b": "12"}
    with gateway("ab", models={"a": {"key_env": "SERVER_KEY"}}) as client:
        chat(client, "a", headers={"authorization": "Bearer client-secret"})
        chat(client, "b", headers={"authorization": "Bearer client-secret"})
    assert fakes.headers["a"][0]["authorization"] == "Bearer server-secret"
    assert "authorization" not in fakes.headers["b"][0]


def test_tokens_decide_who_may_ask_and_what_it_may_cost(gateway, fakes, chat, tmp_path):
    database = open_database(tmp_path / "tokens.db")
    tokens = {name: make_token(database, role=role, name=name) for name, role in [("ann", "ask"), ("bob", "read")]}
    fakes.replies = {"a": "12"}
    price = {"a": {"price": [0.0, 1e6]}}  # one a token, five tokens an answer
    with gateway("a", tokens=database, models=price, budgets={"default": 12.0}, max_tokens=6) as client:
        bare = chat(client, "a")
        wrong = chat(client, "a", headers={"authorization": f"Bearer {tokens['bob']}"})
        seen = [chat(client, "a", headers={"authorization": f"Bearer {tokens['ann']}"}) for _ in range(3)]
    assert (bare.status_code, wrong.status_code) == (401, 403)
    assert [one.status_code for one in seen] == [200, 200, 429]
    assert seen[0].headers["x-nilometer-cost"] == "5"
    assert seen[2].json()["error"]["type"] == "budget_exceeded"
    assert 0 < int(seen[2].headers["retry-after"]) <= 86_400
    assert fakes.calls == {"a": 2}


def test_calls_at_once_do_not_pass_a_budget_together(gateway, fakes, chat):
    fakes.replies = {"a": {"text": "12", "hang": 0.2}}
    with gateway("a", models={"a": {"price": [0.0, 1e6]}}, budgets={"local": 20.0}, max_tokens=6) as client:
        with ThreadPoolExecutor(10) as pool:
            seen = list(pool.map(lambda _: chat(client, "a").status_code, range(10)))
        assert client.gateway.budgets.spent("local") == 15.0
    assert sorted(seen) == [200] * 3 + [429] * 7


def test_budget_moves_a_request_to_a_model_that_it_can_pay(gateway, fakes, chat):
    fakes.replies = {"a": "12", "b": "13"}
    models = {"a": {"price": [0.0, 1e6], "fallback": ["b"]}}
    with gateway("ab", models=models, budgets={"default": 3.0}, max_tokens=6) as client:
        seen = chat(client, "a")
    assert (text(seen), seen.headers["x-nilometer-tried"]) == ("13", "a: over the budget")


def test_stream_is_charged_by_its_usage_or_its_events(gateway, fakes, chat):
    fakes.replies = {"a": "abcd"}
    with gateway("a", models={"a": {"price": [0.0, 1e6]}}) as client:
        chat(client, "a", stream=True)
        counted = client.gateway.budgets.spent("local")
        chat(client, "a", stream=True, stream_options={"include_usage": True})
        assert (counted, client.gateway.budgets.spent("local") - counted) == (5.0, 5.0)
        fakes.replies = {"a": "abcdefgh"}
        chat(client, "a", stream=True)
        assert client.gateway.budgets.spent("local") == 19.0


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "the body must be a JSON object with `model` and `messages`"),
        (b'{"model": "a"}', 400, "missing required field `messages`"),
        (b'{"model": "x", "messages": []}', 404, "the model 'x' does not exist; there are a."),
        (b'{"model": "nilometer/route", "messages": []}', 404, "does not exist"),
        (b'{"model": "nilometer/decide:mae", "messages": []}', 404, "does not exist"),
    ],
)
def test_wrong_requests_are_refused_with_the_reason(body, status, said, gateway, fakes):
    with gateway("a") as client:
        seen = client.post("/v1/chat/completions", content=body)
    assert seen.status_code == status
    assert said in seen.json()["error"]["message"]


def test_models_and_health_are_shown(gateway, fakes, chat):
    fakes.replies = {"a": DOWN, "b": "12"}
    with gateway("ab", vote={"models": ["a", "b"]}, compare="number") as client:
        names = [one["id"] for one in client.get("/v1/models").json()["data"]]
        well = client.get("/healthz").status_code
        chat(client, "a")
        still = client.get("/healthz").status_code
        fakes.replies = {"a": DOWN, "b": DOWN}
        chat(client, "b")
        ill = client.get("/healthz")
    assert names == ["a", "b", "nilometer/vote"]
    assert (well, still, ill.status_code) == (200, 200, 503)
    assert ill.json() == {"status": "degraded"}


@pytest.mark.slow
def test_fifty_clients_lose_no_call_and_double_none(gateway, fakes, chat):
    """Every fault of the fake server at once: each request is answered, by one call that counts."""
    faults = [DOWN, {"status": 429, "headers": {"retry-after": "0"}}, {"breaks": 0, "text": "x"}, {"status": 500}]
    lock, good = threading.Lock(), []

    def flaky(body, n):
        if n % 3 == 0:
            return faults[n // 3 % len(faults)]
        with lock:
            good.append(body["messages"][0]["content"])
        return body["messages"][0]["content"]

    def steady(body, n):
        with lock:
            good.append(body["messages"][0]["content"])
        return body["messages"][0]["content"]

    fakes.replies = {"a": flaky, "b": flaky, "c": steady}
    models = {"a": {"fallback": ["b", "c"]}, "b": {"fallback": ["a", "c"]}}

    def one(i):
        stream = i % 2 == 1
        seen = chat(client, "ab"[i % 2 if i % 3 else 0], prompt=f"q{i}", stream=stream)
        if not stream:
            return text(seen)
        events = [json.loads(line[6:]) for line in seen.text.split("\n\n")[:-2] if line.startswith("data: {")]
        return "".join(event["choices"][0]["delta"].get("content", "") for event in events)

    with gateway("abc", models=models, timeout=60.0) as client, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(one, range(300)))
    assert answers == [f"q{i}" for i in range(300)]
    assert sorted(good) == sorted(answers)


def test_time_between_parts_is_what_is_limited(gateway, fakes, chat):
    fakes.replies = {"a": {"text": "abc", "stalls": 2}}
    with gateway("a", timeout=0.3) as client, pytest.raises(httpx.RemoteProtocolError):
        chat(client, "a", stream=True)
