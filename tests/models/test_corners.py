"""Servers whose answers are of another form or never come, and embedders that are not installed."""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from servers import FakeServer, completion

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.models import (
    Conversation,
    EchoScorer,
    MiniLMEmbedder,
    Retries,
    Sampling,
    ServerRunner,
    SuiteOptions,
    make_embedder,
    make_suite,
)
from nilometer.models.embedders import _package_folder
from nilometer.models.http import Endpoint

QUICK = Retries(tries=2, pause=0.01, longest_wait=0.2, timeout=0.3)


def test_every_key_that_is_limited_for_long_ends_the_run():
    with FakeServer(lambda body, n: (429, b"", {"Retry-After": "0.15"})) as server:
        endpoint = Endpoint(server.url, "/x", keys=["sk-aaaaaaaa"], retries=Retries(tries=9, longest_wait=0.2))
        with pytest.raises(ConfigError, match=r"every key is limited for|asks to wait"):
            endpoint.post(b"{}")


def test_keys_that_are_refused_at_once_in_two_threads_leave_the_reason():
    barrier = threading.Barrier(2, timeout=5)

    def reply(body, n):
        if n <= 2:
            barrier.wait()
        return 401, b"unknown key", {}

    with FakeServer(reply) as server:
        endpoint = Endpoint(server.url, "/x", keys=["sk-aaaaaaaa", "sk-bbbbbbbb"], retries=QUICK)
        with ThreadPoolExecutor(2) as pool:
            errors = [one.exception() for one in [pool.submit(endpoint.post, b"{}") for _ in range(2)]]
    assert any("the server answered 401 (unknown key)" in str(error) for error in errors)
    assert all(isinstance(error, ConfigError) for error in errors)


def test_a_request_that_waits_ends_when_another_fails_for_good():
    with FakeServer(lambda body, n: (500, b"", {})) as server:
        endpoint = Endpoint(server.url, "/x", retries=QUICK)
        with pytest.raises(ConfigError, match="the server answered 500"):
            endpoint.post(b"{}")
        with pytest.raises(ConfigError, match="stopped, since another request failed for good"):
            endpoint.post(b"{}")


def test_a_key_of_azure_is_sent_under_its_own_name():
    endpoint = Endpoint("https://own.openai.azure.com/v1", "/x", keys=["sk-aaaaaaaa"], retries=QUICK)
    assert endpoint._is_azure


def test_a_server_that_refuses_every_form_of_the_request_is_named():
    # the other thread has learned to leave each field out, and the server goes on refusing one of them
    def reply(body, n):
        return 400, b'{"error": {"message": "unsupported parameter: seed"}}', {}

    with FakeServer(reply) as server:
        runner = ServerRunner(server.url, model="m", retries=QUICK, concurrency=1)
        (trace,) = runner.answer(["a"], Sampling(), seed=0)
        assert (trace.finish_reason, "seed" in server.bodies[-1]) == ("refused", False)
    with FakeServer(reply) as server:
        runner = ServerRunner(server.url, model="m", retries=QUICK, concurrency=1)
        runner._adapted = lambda said, sent: True
        with pytest.raises(ConfigError, match="the server refuses every form of the request"):
            runner.answer(["a"], Sampling(), seed=0)
        assert server.n_calls == 4


def test_a_reply_with_two_answers_is_refused():
    whole = completion("4")
    whole["choices"] += [{**whole["choices"][0], "index": 1}]
    with FakeServer(lambda body, n: (200, whole, {})) as server:
        runner = ServerRunner(server.url, model="m", retries=QUICK, concurrency=1)
        with pytest.raises(TraceFormatError, match="a reply must hold one answer, got 2"):
            runner.answer(["a"], Sampling(), seed=0)


@pytest.mark.parametrize("choices", [None, [], [{"index": 0}]])
def test_as_many_scores_as_candidates_must_come_back(choices):
    with FakeServer(lambda body, n: (200, {"choices": choices}, {})) as server:
        scorer = EchoScorer(server.url, model="m", retries=QUICK)
        with pytest.raises(TraceFormatError, match="2 scored texts were asked for"):
            scorer.score(["a"], [["1", "2"]])


def test_embedders_that_are_not_installed_name_their_package(monkeypatch):
    with pytest.raises(ConfigError, match=r"needs the package no-such-module\. pip install --no-deps no-such-module"):
        _package_folder("no_such_module")
    assert (_package_folder("json") / "decoder.py").is_file()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match="minilm needs torch and transformers"):
        MiniLMEmbedder()
    with pytest.raises(ConfigError, match="`--embedder-model` must name the model"):
        make_embedder("openai:http://127.0.0.1:9/v1")


def test_an_embedder_at_a_server_is_named_by_its_address_and_model():
    def reply(body, n):
        return 200, {"data": [{"index": i, "embedding": [1.0, i]} for i in range(len(body["input"]))][::-1]}, {}

    with FakeServer(reply) as server:
        embedder = make_embedder(f"openai:{server.url}", model="e", keys=["sk-aaaaaaaa"])
        np.testing.assert_array_equal(embedder.embed(["a", "b"]), [[1, 0], [1, 1]])
    assert embedder.name.endswith("/embeddings e")
    assert server.headers[0]["Authorization"] == "Bearer sk-aaaaaaaa"


def test_suites_of_reasoning_gym_name_their_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ConfigError, match="the suites rg:… need reasoning-gym"):
        make_suite("rg:basic_arithmetic", SuiteOptions())


def test_prompts_of_a_suite_may_be_chats(tmp_path):
    chat = [{"role": "user", "content": "2 + 2?"}]
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps({"messages": chat}) + "\n" + json.dumps({"prompt": chat}) + "\n")
    questions = [one for part in make_suite(str(path), SuiteOptions()).values() for one in part]
    assert [one.prompt.messages for one in questions] == [chat, chat]
    assert all(isinstance(one.prompt, Conversation) for one in questions)
