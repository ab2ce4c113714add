"""Asking servers that are busy, broken, slow or hostile."""

import time

import pytest
from servers import FakeServer, completion

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.models import Conversation, RefusedError, Retries, Sampling, ServerRunner
from nilometer.models.http import Endpoint

QUICK = Retries(tries=3, pause=0.01, longest_wait=5.0, timeout=5.0)
KEY = "sk-verysecretkey123"


def test_a_key_is_not_sent_to_another_address():
    with FakeServer() as other, FakeServer() as server:
        server.reply = lambda body, n: (307, b"", {"Location": other.url + "/chat/completions"})
        with pytest.raises(ConfigError, match=r"redirects to http://127.0.0.1:.*keys are not sent on"):
            Endpoint(server.url, "/chat/completions", keys=[KEY], retries=QUICK).post(b"{}")
        assert other.n_calls == 0


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_a_server_says_is_short_clean_and_without_the_key(status):
    said = f"Incorrect key {KEY}\x1b[31m\n" + "x" * 5000
    with FakeServer(lambda body, n: (status, said.encode(), {})) as server:
        with pytest.raises(ConfigError) as caught:
            Endpoint(server.url, "/chat/completions", keys=[KEY], retries=QUICK).post(b"{}")
        message = str(caught.value)
        assert KEY not in message
        assert "\x1b" not in message
        assert len(message) < 400
        assert server.n_calls == 1


def test_only_refusals_of_the_prompt_are_refusals():
    with FakeServer(lambda body, n: (400, b"content_filter", {})) as server, pytest.raises(RefusedError):
        Endpoint(server.url, "/x", retries=QUICK).post(b"{}")


def test_retry_after_is_kept_to_by_all_threads():
    def reply(body, n):
        return (200, completion("4"), {}) if n > 1 else (429, b"slow down", {"Retry-After": "0.5"})

    with FakeServer(reply) as server:
        runner = ServerRunner(server.url, model="m", retries=QUICK, concurrency=1)
        began = time.monotonic()
        assert runner.answer(["a", "b"], Sampling(), seed=0)[1].answer == "4"
        assert time.monotonic() - began >= 0.5
        assert server.n_calls == 3


def test_a_wait_longer_than_allowed_is_refused_at_once():
    with FakeServer(lambda body, n: (429, b"", {"Retry-After": "3600"})) as server:
        with pytest.raises(ConfigError, match="asks to wait 3,600 s, and 5 s are the most"):
            Endpoint(server.url, "/x", retries=QUICK).post(b"{}")
        assert server.n_calls == 1


def test_server_errors_are_tried_a_bounded_number_of_times():
    with FakeServer(lambda body, n: (500, b"boom", {})) as server:
        with pytest.raises(ConfigError, match=r"the server answered 500 \(boom\)"):
            Endpoint(server.url, "/x", retries=QUICK).post(b"{}")
        assert server.n_calls == 3


def test_bytes_that_come_too_slowly_end_the_try():
    patience = Retries(tries=1, pause=0.01, timeout=0.6)
    with FakeServer(lambda body, n: (200, b" " * 200, {"X-Slow": "0.05"})) as server:
        began = time.monotonic()
        with pytest.raises(ConfigError, match="the server does not answer"):
            Endpoint(server.url, "/x", retries=patience).post(b"{}")
        assert time.monotonic() - began < 5


def test_a_reply_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr("nilometer.models.http._LARGEST_REPLY", 1 << 20)
    with (
        FakeServer(lambda body, n: (200, b" " * (2 << 20), {})) as server,
        pytest.raises(ConfigError, match="must be smaller than 1 MiB"),
    ):
        Endpoint(server.url, "/x", retries=QUICK).post(b"{}")


def test_keys_take_turns_and_a_refused_one_is_left_out():
    def reply(body, n):
        refused = server.headers[n - 1]["Authorization"] == "Bearer bad"
        return (401, b"", {}) if refused else (200, completion("4"), {})

    with FakeServer() as server:
        server.reply = reply
        runner = ServerRunner(server.url, model="m", keys=["bad", "good", "fine"], retries=QUICK, concurrency=1)
        assert [trace.answer for trace in runner.answer(["a"] * 6, Sampling(), seed=0)] == ["4"] * 6
        sent = [headers["Authorization"] for headers in server.headers]
        assert sent.count("Bearer bad") == 1
        assert {"Bearer good", "Bearer fine"} <= set(sent)


def test_the_query_of_an_address_stays_behind_the_path():
    with FakeServer() as server:
        ServerRunner(f"{server.url}/deployments/d?api-version=1", model="m").answer(["a"], Sampling(), seed=0)
        assert server.paths == ["/v1/deployments/d/chat/completions?api-version=1"]


def test_addresses_with_passwords_are_refused():
    with pytest.raises(ConfigError, match="must hold no user or password"):
        Endpoint("http://user:secret@127.0.0.1/v1", "/x")


def test_models_that_refuse_fields_get_what_they_want():
    def reply(body, n):
        if "max_tokens" in body:
            return 400, b"Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", {}
        if "seed" in body:
            return 400, b"Unrecognized request argument: seed", {}
        return 200, completion("4"), {}

    with FakeServer(reply) as server:
        runner = ServerRunner(server.url, model="m", concurrency=1, extra={"logprobs": None, "top_logprobs": None})
        assert [trace.answer for trace in runner.answer(["a", "b"], Sampling(max_tokens=7), seed=0)] == ["4", "4"]
        assert server.bodies[-1]["max_completion_tokens"] == 7
        assert "logprobs" not in server.bodies[-1]
        assert server.n_calls == 4


def test_a_refused_prompt_ends_alone_and_refusing_all_is_an_error():
    def reply(body, n):
        bad = "BAD" in body["messages"][-1]["content"]
        return (400, b"content_filter", {}) if bad else (200, completion("4"), {})

    with FakeServer(reply) as server:
        runner = ServerRunner(server.url, model="m", concurrency=1)
        good, bad = runner.answer(["good", "BAD"], Sampling(), seed=0)
        assert (good.answer, bad.answer, bad.finish_reason) == ("4", None, "refused")
        assert "content_filter" in bad.attributes["error"]
        with pytest.raises(ConfigError, match="No request has passed"):
            ServerRunner(server.url, model="m", concurrency=1).answer(["BAD"] * 5, Sampling(), seed=0)


def test_a_chat_is_sent_as_messages():
    chat = Conversation.of([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}])
    with FakeServer() as server:
        ServerRunner(server.url, model="m").answer([chat], Sampling(), seed=0)
        assert [one["role"] for one in server.bodies[0]["messages"]] == ["system", "user"]


def test_a_page_instead_of_json_names_the_address():
    with (
        FakeServer(lambda body, n: (200, b"<html>gateway</html>", {})) as server,
        pytest.raises(TraceFormatError, match=r"/v1/chat/completions: the reply is no JSON object, got '<html>"),
    ):
        ServerRunner(server.url, model="m").answer(["a"], Sampling(), seed=0)


def test_every_key_that_is_refused_is_dropped_until_none_is_left():
    with FakeServer(lambda body, n: (401, b"no", {})) as server:
        with pytest.raises(ConfigError, match=r"the server answered 401"):
            Endpoint(server.url, "/x", keys=["sk-one-aaaaaaaa", "sk-two-bbbbbbbb"], retries=QUICK).post(b"{}")
        assert server.n_calls == 2
        assert len({header["Authorization"] for header in server.headers}) == 2


def test_a_date_to_retry_after_is_waited_for():
    date = "Fri, 31 Dec 1999 23:59:59 GMT"
    with FakeServer(lambda body, n: (200, b"{}", {}) if n > 1 else (503, b"", {"Retry-After": date})) as server:
        assert Endpoint(server.url, "/x", retries=QUICK).post(b"{}") == b"{}"
    with FakeServer(lambda body, n: (200, b"{}", {}) if n > 1 else (503, b"", {"Retry-After": "soon"})) as server:
        assert Endpoint(server.url, "/x", retries=QUICK).post(b"{}") == b"{}"


def test_nothing_is_asked_of_a_server_without_prompts_or_threads():
    with FakeServer() as server:
        assert ServerRunner(server.url, model="m", retries=QUICK).answer([], Sampling(), seed=0) == []
        assert server.n_calls == 0
        with pytest.raises(ConfigError, match="`concurrency` must be >= 1, got 0"):
            ServerRunner(server.url, model="m", retries=QUICK, concurrency=0)
