"""Scores of servers whose probabilities are known."""

import math

import numpy as np
import pytest
from servers import FakeServer

from nilometer.errors import MissingLogprobsError, TraceFormatError
from nilometer.models import Conversation, EchoScorer, PromptScorer

NEXT = {"": {"1": 0.5, "2": 0.3, "x": 0.2}, "1": {"0": 0.4, ".": 0.6}}


def step(said, char):
    return math.log(NEXT.get(said, {}).get(char, 0.01))


def echo(body, n):
    """Tokens are single characters; those of the prompt are certain."""
    choices = []
    for index, text in enumerate(body["prompt"]):
        tail = text.removeprefix("Score:\n")
        tokens = [*"Score:\n", *tail, "!"]
        values = [None, *[0.0] * 6, *(step(tail[:i], char) for i, char in enumerate(tail)), -0.1]
        logprobs = {"tokens": tokens, "token_logprobs": values, "text_offset": []}
        choices.append({"index": index, "text": text + "!", "logprobs": logprobs})
    return 200, {"choices": choices[::-1]}, {}


def template(body, n):
    """What vLLM 0.32 returns: a dictionary per token of the prompt, the first null."""
    said = body["messages"][-1]["content"]
    rows = [None, {"1": {"logprob": 0.0, "rank": 1, "decoded_token": "<|im_start|>"}}]
    rows += [{"7": {"logprob": step(said[:i], char), "decoded_token": char}} for i, char in enumerate(said)]
    return 200, {"choices": [], "prompt_logprobs": rows}, {}


def test_echoed_completions_score_candidates_apart_from_longer_ones():
    with FakeServer(echo) as server:
        (found,) = EchoScorer(server.url, model="m").score(["Score:\n"], [["1", "10", "2"]])
    assert np.exp(found) == pytest.approx([0.3, 0.2, 0.3])
    assert server.paths == ["/v1/completions"]
    assert {key: server.bodies[0][key] for key in ("echo", "logprobs", "max_tokens")} == {
        "echo": True,
        "logprobs": 1,
        "max_tokens": 1,
    }


def test_prompt_logprobs_of_a_chat_score_candidates():
    prompts = [Conversation.of([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "?"}]), "?"]
    with FakeServer(template) as server:
        found = PromptScorer(server.url, model="m").score(prompts, [["1", "10", "2"], ["2"]])
    assert np.exp(found[0]) == pytest.approx([0.3, 0.2, 0.3])
    assert np.exp(found[1]) == pytest.approx([0.3])
    body = next(body for body in server.bodies if len(body["messages"]) == 3)
    assert body["messages"][-1]["role"] == "assistant"
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_server_that_cannot_score_is_named_with_another_way():
    with FakeServer(lambda body, n: (200, {"choices": [{"index": 0, "text": "a1", "logprobs": None}]}, {})) as server:
        with pytest.raises(MissingLogprobsError, match="echoes no log-probabilities"):
            EchoScorer(server.url, model="m").score(["a"], [["1"]])
        with pytest.raises(MissingLogprobsError, match="holds no `prompt_logprobs`"):
            PromptScorer(server.url, model="m").score(["a"], [["1"]])


def test_token_across_the_end_of_the_prompt_is_refused():
    joined = {"tokens": ["a1", "2"], "token_logprobs": [None, -1.0]}
    reply = {"choices": [{"index": 0, "logprobs": joined}]}
    said = "the token 'a1' lies across the end of the prompt"
    with FakeServer(lambda body, n: (200, reply, {})) as server, pytest.raises(TraceFormatError, match=said):
        EchoScorer(server.url, model="m").score(["a"], [["12"]])


def test_candidate_that_the_template_changes_is_refused():
    rows = [None, {"1": {"logprob": -1.0, "decoded_token": " 4"}}]
    reply, said = {"prompt_logprobs": rows}, "are ' 4', not the candidate '4'"
    with FakeServer(lambda body, n: (200, reply, {})) as server, pytest.raises(TraceFormatError, match=said):
        PromptScorer(server.url, model="m").score(["a"], [["4"]])


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": ["x"]},
        {"choices": [{"logprobs": {"tokens": [1], "token_logprobs": [0.0]}}]},
        {"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": ["x"]}}]},
        {"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": [0.0]}}]},
    ],
    ids=["choice", "token", "number", "short"],
)
def test_echo_of_another_form_is_refused_by_name(reply):
    with FakeServer(lambda body, n: (200, reply, {})) as server:
        scorer = EchoScorer(server.url, model="m")
        with pytest.raises(TraceFormatError, match=r"not of the form|scored no token"):
            scorer.score(["Score:\n"], [["1"]])


@pytest.mark.parametrize("row", [{"1": {"decoded_token": "1"}}, {"1": {"logprob": None, "decoded_token": "1"}}, "x"])
def test_prompt_logprobs_of_another_form_are_refused_by_name(row):
    with FakeServer(lambda body, n: (200, {"prompt_logprobs": [None, row]}, {})) as server:
        scorer = PromptScorer(server.url, model="m")
        with pytest.raises(TraceFormatError, match="not of the form"):
            scorer.score(["Score?"], [["1"]])
