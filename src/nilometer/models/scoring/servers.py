"""Scoring by servers: completions that echo the prompt, and vLLM's log-probabilities of a prompt."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
import numpy as np

from nilometer.arrays import Floats
from nilometer.errors import MissingLogprobsError, TraceFormatError

from ..http import PATIENT, Endpoint, Retries
from ..prompts import Conversation
from .tree import apart, path_logprobs, prefix_tree

__all__ = ["EchoScorer", "PromptScorer"]

_Steps = list[tuple[str, float]]
_SMALLEST = -700.0


class _EchoLogprobs(msgspec.Struct):
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None


class _EchoChoice(msgspec.Struct):
    index: int = 0
    logprobs: _EchoLogprobs | None = None


class _EchoReply(msgspec.Struct):
    choices: list[_EchoChoice] | None = None


class _PromptToken(msgspec.Struct):
    logprob: float
    decoded_token: str | None = None


class _PromptReply(msgspec.Struct):
    prompt_logprobs: list[dict[str, _PromptToken] | None] | None = None


_ECHO, _PROMPT = msgspec.json.Decoder(_EchoReply), msgspec.json.Decoder(_PromptReply)
_Reply = TypeVar("_Reply", _EchoReply, _PromptReply)


class EchoScorer:
    """Scores by ``POST URL/completions`` with ``echo`` and ``logprobs`` (vLLM, SGLang, llama-cpp-python and others).

    The prompt is sent as it is, without a chat template. A candidate's probability is that an answer begins with
    it and with no longer candidate.

    Parameters
    ----------
    url, model, keys, retries
        As in ``ServerRunner``.
    concurrency
        Most requests at a time.
    """

    def __init__(
        self, url: str, *, model: str, keys: Sequence[str] = (), retries: Retries = PATIENT, concurrency: int = 16
    ) -> None:
        self._server = Endpoint(url, "/completions", keys=keys, retries=retries)
        self._model, self._concurrency = model, concurrency

    def score(self, prompts: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Floats]:
        """Return, for each prompt, the natural-log probability of each of its candidates.

        Raises
        ------
        MissingLogprobsError
            If the server echoes no log-probabilities.
        TraceFormatError
            If a token lies across the end of a prompt, so that its candidate cannot be told apart.
        """
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(self._of_prompt, prompts, candidates))

    def _of_prompt(self, prompt: str, candidates: Sequence[str]) -> Floats:
        body = {
            "model": self._model,
            "prompt": [prompt + text for text in candidates],
            "echo": True,
            "logprobs": 1,
            "max_tokens": 1,
            "temperature": 0,
        }
        choices = _decoded(self._server.post(msgspec.json.encode(body)), self._server.shown, _ECHO).choices
        if choices is None or len(choices) != len(candidates):
            raise TraceFormatError(f"{self._server.shown}: {len(candidates)} scored texts were asked for.")
        ordered = sorted(choices, key=lambda choice: choice.index)
        return _scored([self._steps(one, prompt, text) for one, text in zip(ordered, candidates, strict=True)])

    def _steps(self, choice: _EchoChoice, prompt: str, text: str) -> _Steps:
        """Tokens of a candidate with their log-probabilities, found by where they stand."""
        given = choice.logprobs or _EchoLogprobs()
        tokens, values = given.tokens, given.token_logprobs
        if not tokens or not values:
            raise MissingLogprobsError(
                f"{self._server.shown}: the server echoes no log-probabilities of the prompt. Score with another "
                "server (`vllm:URL`), or draw with `--live`."
            )
        start, end, steps = len(prompt), len(prompt) + len(text), []
        for place, token, value in zip(_places(tokens), tokens, values, strict=False):
            if place < start < place + len(token):
                raise TraceFormatError(
                    f"{self._server.shown}: the token {token!r} lies across the end of the prompt. End the prompt with "
                    "a line break, or begin the candidates with a space in its place."
                )
            if start <= place < end and value is not None:
                steps.append((token, value))
        return _not_empty(steps, text, self._server.shown)


class PromptScorer:
    """Scores by vLLM's ``prompt_logprobs``: the candidate is the beginning of the assistant's message.

    The chat template of the server is used. A candidate's probability is that an answer begins with it and with no
    longer candidate.

    Parameters
    ----------
    url, model, keys, retries, concurrency
        As in ``EchoScorer``; the address is that of ``/chat/completions``.
    """

    def __init__(
        self, url: str, *, model: str, keys: Sequence[str] = (), retries: Retries = PATIENT, concurrency: int = 16
    ) -> None:
        self._server = Endpoint(url, "/chat/completions", keys=keys, retries=retries)
        self._model, self._concurrency = model, concurrency

    def score(self, prompts: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Floats]:
        """Return, for each prompt, the natural-log probability of each of its candidates.

        Raises
        ------
        MissingLogprobsError
            If the server returns no log-probabilities of the prompt.
        TraceFormatError
            If a candidate's tokens cannot be told from those before them.
        """
        pairs = [(prompt, text) for prompt, texts in zip(prompts, candidates, strict=True) for text in texts]
        with ThreadPoolExecutor(self._concurrency) as pool:
            steps = iter(list(pool.map(self._of_candidate, *zip(*pairs, strict=True))) if pairs else [])
        return [_scored([next(steps) for _ in texts]) for texts in candidates]

    def _of_candidate(self, prompt: str, text: str) -> _Steps:
        turns = prompt.messages if isinstance(prompt, Conversation) else [{"role": "user", "content": str(prompt)}]
        body = {
            "model": self._model,
            "messages": [*turns, {"role": "assistant", "content": text}],
            "add_generation_prompt": False,
            "continue_final_message": True,
            "prompt_logprobs": 0,
            "max_tokens": 1,
            "temperature": 0,
        }
        listed = _decoded(self._server.post(msgspec.json.encode(body)), self._server.shown, _PROMPT).prompt_logprobs
        if listed is None:
            raise MissingLogprobsError(
                f"{self._server.shown}: the reply holds no `prompt_logprobs`; only vLLM returns them. Score with "
                "`openai:URL`, or draw with `--live`."
            )
        return self._last(listed, text)

    def _last(self, listed: list[dict[str, _PromptToken] | None], text: str) -> _Steps:
        """The last tokens of a prompt, whose texts together are the candidate."""
        steps: _Steps = []
        said = ""
        for row in reversed(listed):
            if said == text or not row:
                break
            entry = next(iter(row.values()))
            said = (entry.decoded_token or "") + said
            steps.append((entry.decoded_token or "", entry.logprob))
        if said != text:
            raise TraceFormatError(
                f"{self._server.shown}: the last tokens of the prompt are {said!r}, not the candidate {text!r}. Begin "
                "the candidates as the server's template does, with or without a space."
            )
        return _not_empty(steps[::-1], text, self._server.shown)


def _scored(sequences: Sequence[_Steps]) -> Floats:
    """Log-probability of each candidate, apart from the longer ones, from its own tokens and steps."""
    tree = prefix_tree([[token for token, _ in steps] for steps in sequences])
    values = np.zeros(len(tree.tokens))
    for steps, node in zip(sequences, tree.last.tolist(), strict=True):
        for _, value in reversed(steps):
            values[node] = max(value, _SMALLEST)
            node = int(tree.parents[node])
    return apart(tree, path_logprobs(tree, values))


def _places(tokens: Sequence[str]) -> Iterator[int]:
    """Where each token begins in the joined text."""
    place = 0
    for token in tokens:
        yield place
        place += len(token)


def _not_empty(steps: _Steps, text: str, shown: str) -> _Steps:
    if not steps:
        raise TraceFormatError(f"{shown}: the server scored no token of the candidate {text!r}. A candidate needs one.")
    return steps


def _decoded(reply: bytes, shown: str, decoder: "msgspec.json.Decoder[_Reply]") -> _Reply:
    try:
        return decoder.decode(reply)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise TraceFormatError(f"{shown}: the reply is not of the form that was asked for ({exc}).") from exc
