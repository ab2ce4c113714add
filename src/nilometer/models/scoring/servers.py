"""Scoring by servers: completions that echo the prompt, and vLLM's log-probabilities of a prompt."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nilometer.errors import MissingLogprobsError, TraceFormatError

from ..http import PATIENT, Endpoint, Retries
from ..prompts import Conversation
from .tree import apart, path_logprobs, prefix_tree

__all__ = ["EchoScorer", "PromptScorer"]

Floats = NDArray[np.float64]
_Steps = list[tuple[str, float]]
_SMALLEST = -700.0


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
        choices = _decoded(self._server.post(msgspec.json.encode(body)), self._server.shown).get("choices")
        if not isinstance(choices, list) or len(choices) != len(candidates):
            raise TraceFormatError(f"{self._server.shown}: {len(candidates)} scored texts were asked for.")
        ordered = sorted(choices, key=lambda choice: choice.get("index", 0))
        return _scored([self._steps(one, prompt, text) for one, text in zip(ordered, candidates, strict=True)])

    def _steps(self, choice: dict[str, Any], prompt: str, text: str) -> _Steps:
        """Tokens of a candidate with their log-probabilities, found by where they stand."""
        given = choice.get("logprobs") or {}
        tokens, values = given.get("tokens"), given.get("token_logprobs")
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
                steps.append((token, float(value)))
        return steps


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
        reply = _decoded(self._server.post(msgspec.json.encode(body)), self._server.shown)
        listed = reply.get("prompt_logprobs")
        if not isinstance(listed, list):
            raise MissingLogprobsError(
                f"{self._server.shown}: the reply holds no `prompt_logprobs`; only vLLM returns them. Score with "
                "`openai:URL`, or draw with `--live`."
            )
        return self._last(listed, text)

    def _last(self, listed: list[Any], text: str) -> _Steps:
        """The last tokens of a prompt, whose texts together are the candidate."""
        steps: _Steps = []
        said = ""
        for row in reversed(listed):
            if said == text or not isinstance(row, dict) or not row:
                break
            entry = next(iter(row.values()))
            said = str(entry.get("decoded_token") or "") + said
            steps.append((str(entry.get("decoded_token") or ""), float(entry["logprob"])))
        if said != text:
            raise TraceFormatError(
                f"{self._server.shown}: the last tokens of the prompt are {said!r}, not the candidate {text!r}. Begin "
                "the candidates as the server's template does, with or without a space."
            )
        return steps[::-1]


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


def _decoded(reply: bytes, shown: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(reply, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise TraceFormatError(f"{shown}: the reply is no JSON object ({exc}).") from exc
