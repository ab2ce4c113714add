"""Other doors to the spool: the client of OpenAI and httpx, LiteLLM's hooks, LangChain's callback, against a server.

The tests of openai, litellm and langchain run where these are installed; `.ci/run` installs them.
"""

import asyncio
import json

import httpx
import pytest

from nilometer.errors import ConfigError
from nilometer.service import Settings, langchain_callback, litellm_logger, wrap
from nilometer.service.store.answers import frame_traces

CHAT = {"model": "m", "messages": [{"role": "user", "content": "7 + 5?"}], "temperature": 0.5}
TEXT = {"model": "m", "prompt": "7 + 5 ="}
REQUESTS = {
    "chat": ("/v1/chat/completions", CHAT),
    "chat stream": ("/v1/chat/completions", {**CHAT, "stream": True}),
    "tools stream": ("/v1/chat/completions", {**CHAT, "stream": True, "tools": [{}]}),
    "two choices": ("/v1/chat/completions", {**CHAT, "n": 2}),
    "text": ("/v1/completions", TEXT),
    "text stream": ("/v1/completions", {**TEXT, "stream": True}),
    "asked": ("/v1/chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 3}),
    "wrong": ("/v1/chat/completions", {"model": "m"}),
    "elsewhere": ("/v1/models", {}),
}


def _bodies(client, url):
    answers = [client.post(url + path, json=body) for path, body in REQUESTS.values()]
    return [(answer.status_code, answer.content) for answer in answers]


async def _bodies_async(client, url):
    async with client:
        answers = [await client.post(url + path, json=body) for path, body in REQUESTS.values()]
    return [(answer.status_code, answer.content) for answer in answers]


def _traces(frames, folder):
    return [trace for frame in frames(folder) if frame.body for trace in frame_traces(frame)]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_program_gets_the_bytes_that_it_would_get_without_capture(asynchronous, fake_vllm, running, frames, tmp_path):
    with running(fake_vllm()) as url:
        with httpx.Client(trust_env=False) as plain:
            wanted = _bodies(plain, url)
        settings = Settings(spool=str(tmp_path), k=4)
        if asynchronous:
            got = asyncio.run(_bodies_async(wrap(httpx.AsyncClient(trust_env=False), settings), url))
        else:
            with wrap(httpx.Client(trust_env=False), settings) as client:
                got = _bodies(client, url)
    assert dict(zip(REQUESTS, got, strict=True)) == dict(zip(REQUESTS, wanted, strict=True))
    found = frames(tmp_path)
    assert len(found) == 7
    assert all(frame.outcome == "served" for frame in found)
    assert [frame.k for frame in found] == [4] * 6 + [3]
    assert all(trace.chosen_logprobs is not None for trace in _traces(frames, tmp_path))


def test_server_that_refuses_gets_the_original_and_is_not_asked_again(fake_vllm, running, frames, tmp_path):
    server = fake_vllm(refuses=True)
    with running(server) as url, wrap(httpx.Client(trust_env=False), Settings(spool=str(tmp_path))) as client:
        for _ in range(2):
            assert client.post(f"{url}/v1/chat/completions", json=CHAT).status_code == 200
    asked = ["logprobs" in json.loads(body) for scope, body in server.requests if scope["type"] == "http"]
    assert asked == [True, False, False]
    assert [frame.k for frame in frames(tmp_path)] == [None, None]


def test_refused_request_is_drawn_and_counted_once(fake_vllm, running, frames, tmp_path):
    settings = Settings(spool=str(tmp_path), max_per_slice=1)
    with running(fake_vllm(refuses=True)) as url, wrap(httpx.Client(trust_env=False), settings) as client:
        client.post(f"{url}/v1/chat/completions", json=CHAT)
    assert [frame.capture_probability for frame in frames(tmp_path)] == [1.0]


def test_stream_that_the_program_leaves_is_an_aborted_one(fake_vllm, running, frames, tmp_path):
    body = {**CHAT, "stream": True}
    with (
        running(fake_vllm()) as url,
        wrap(httpx.Client(trust_env=False), Settings(spool=str(tmp_path))) as client,
        client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer,
    ):
        next(answer.iter_raw())
    (frame,) = frames(tmp_path)
    assert frame.outcome == "aborted"


def test_client_is_wrapped_once(fake_vllm, running, frames, tmp_path):
    settings = Settings(spool=str(tmp_path))
    with running(fake_vllm()) as url, wrap(wrap(httpx.Client(trust_env=False), settings), settings) as client:
        client.post(f"{url}/v1/chat/completions", json=CHAT)
    assert len(frames(tmp_path)) == 1


def test_slices_come_from_headers_and_metadata(fake_vllm, running, frames, tmp_path):
    with running(fake_vllm()) as url, wrap(httpx.Client(trust_env=False), Settings(spool=str(tmp_path))) as client:
        body = {**CHAT, "metadata": {"tenant": "acme"}}
        client.post(f"{url}/v1/chat/completions", json=body, headers={"x-nilometer-route": "faq"})
    (frame,) = frames(tmp_path)
    assert frame.attributes == {"tenant": "acme", "route": "faq"}


def test_something_else_cannot_be_wrapped():
    with pytest.raises(ConfigError, match="`client` must be a client of openai or httpx, got str"):
        wrap("client")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_openai_client_answers_the_same_and_leaves_traces(asynchronous, fake_vllm, running, frames, tmp_path):
    openai = pytest.importorskip("openai")
    settings = Settings(spool=str(tmp_path), k=4)

    def ask(client):
        whole = client.chat.completions.create(**CHAT)
        stream = client.chat.completions.create(**CHAT, stream=True)
        return whole.model_dump(), [chunk.model_dump() for chunk in stream]

    async def ask_async(client):
        async with client:
            whole = await client.chat.completions.create(**CHAT)
            stream = await client.chat.completions.create(**CHAT, stream=True)
            return whole.model_dump(), [chunk.model_dump() async for chunk in stream]

    with running(fake_vllm()) as url:
        given = {"base_url": f"{url}/v1", "api_key": "x"}
        if asynchronous:
            wanted, got = (
                asyncio.run(ask_async(openai.AsyncOpenAI(**given))),
                asyncio.run(ask_async(wrap(openai.AsyncOpenAI(**given), settings))),
            )
        else:
            with openai.OpenAI(**given) as plain, wrap(openai.OpenAI(**given), settings) as client:
                wanted, got = ask(plain), ask(client)
    assert got == wanted
    assert got[0]["choices"][0]["logprobs"] is None
    found = _traces(frames, tmp_path)
    assert [len(trace.chosen_logprobs) for trace in found] == [trace.n_tokens for trace in found]
    assert [trace.k for trace in found] == [4, 4]


@pytest.fixture
def litellm(monkeypatch):
    """LiteLLM with the list of prices that it ships; it asks for a newer one when it is imported."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    return pytest.importorskip("litellm")


def _through_litellm(litellm, logger, url, body):
    """What LiteLLM's proxy does with a request: the hook before, the call, the hook behind."""

    async def run():
        data = {**body, "litellm_call_id": f"call-{id(body)}"}
        data = await logger.async_pre_call_hook(user_api_key_dict=None, cache=None, data=data, call_type="acompletion")
        answer = await litellm.acompletion(**{**data, "model": "openai/m"}, api_base=f"{url}/v1", api_key="x")
        if not body.get("stream"):
            answer = await logger.async_post_call_success_hook(data=data, user_api_key_dict=None, response=answer)
            return answer.model_dump()
        chunks = logger.async_post_call_streaming_iterator_hook(
            user_api_key_dict=None, response=answer, request_data=data
        )
        return [chunk.model_dump() async for chunk in chunks]

    return asyncio.run(run())


def _timeless(value):
    """Without the id and the time that LiteLLM gives every chunk."""
    listed = value if isinstance(value, list) else [value]
    return [{name: one[name] for name in one if name not in {"id", "created"}} for one in listed]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_litellm_answers_the_same_and_leaves_a_trace(
    stream, fake_vllm, running, frames, litellm, tmp_path, monkeypatch
):
    monkeypatch.setattr("nilometer.service.capture.litellm._takes_logprobs", lambda model: True)
    body = {**CHAT, "stream": stream, "metadata": {"tenant": "acme"}}
    with running(fake_vllm()) as url:
        quiet = litellm_logger(Settings(spool=str(tmp_path / "quiet"), rate=1e-12))
        wanted = _through_litellm(litellm, quiet, url, body)
        logger = litellm_logger(Settings(spool=str(tmp_path / "spool"), k=4))
        got = _through_litellm(litellm, logger, url, body)
    assert _timeless(got) == _timeless(wanted)
    assert [frame.outcome for frame in frames(tmp_path / "quiet")] == ["unsampled"]
    (frame,) = frames(tmp_path / "spool")
    assert (frame.k, frame.stream, frame.attributes) == (4, stream, {"tenant": "acme"})
    (trace,) = frame_traces(frame)
    assert len(trace.chosen_logprobs) == 8
    assert trace.answer.startswith("7 + 5 =")


@pytest.mark.filterwarnings("ignore")
def test_litellm_knows_which_models_take_log_probabilities(litellm):
    from nilometer.service.capture.litellm import _takes_logprobs

    assert _takes_logprobs("openai/gpt-4o-mini")
    assert not _takes_logprobs("anthropic/claude-3-haiku-20240307")


@pytest.mark.filterwarnings("ignore")
def test_model_that_refused_in_litellm_is_not_asked_again(litellm, tmp_path, monkeypatch):
    monkeypatch.setattr("nilometer.service.capture.litellm._takes_logprobs", lambda model: True)
    logger = litellm_logger(Settings(spool=str(tmp_path)))
    refused = type("Refused", (Exception,), {"status_code": 400})()

    def ask(call):
        return asyncio.run(
            logger.async_pre_call_hook(None, None, data={**CHAT, "litellm_call_id": call}, call_type="acompletion")
        )

    data = ask("a")
    assert (data["logprobs"], data["top_logprobs"]) == (True, 20)
    asyncio.run(logger.async_post_call_failure_hook(data, refused, None))
    assert "logprobs" not in ask("b")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_langchain_leaves_a_trace(stream, fake_vllm, running, frames, tmp_path):
    langchain_openai = pytest.importorskip("langchain_openai")
    callback = langchain_callback(Settings(spool=str(tmp_path)))
    with running(fake_vllm()) as url:
        model = langchain_openai.ChatOpenAI(
            model="m",
            base_url=f"{url}/v1",
            api_key="x",
            logprobs=True,
            top_logprobs=4,
            streaming=stream,
            callbacks=[callback],
        )
        model.invoke("7 + 5?", config={"metadata": {"tenant": "acme"}})
    (frame,) = frames(tmp_path)
    assert (frame.k, frame.attributes) == (4, {"tenant": "acme"})
    (trace,) = frame_traces(frame)
    assert len(trace.chosen_logprobs) == 8


@pytest.mark.parametrize(("door", "package"), [(litellm_logger, "litellm"), (langchain_callback, "langchain_core")])
def test_package_that_is_missing_is_named(door, package, tmp_path):
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(ConfigError, match=f"needs the package `{package.replace('_', '-')}`"):
            door(Settings(spool=str(tmp_path)))
    else:
        assert door(Settings(spool=str(tmp_path))).spool is not None
