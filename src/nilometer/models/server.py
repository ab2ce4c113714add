"""Any OpenAI-compatible server over HTTP."""

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.traces import Trace, traces_from_response

from .http import PATIENT, Endpoint, RefusedError, Retries, clean_text
from .journal import Journal
from .prompts import Conversation
from .recording import Sampling

__all__ = ["ServerRunner", "Usage"]

_SURE_OF_REFUSAL = 3
_UNSUPPORTED = re.compile(
    r"unsupported|not support|not allowed|unrecognized|unknown|invalid|only the default", re.IGNORECASE
)


@dataclass
class Usage:
    """What a run asked for and what came back."""

    n_calls: int = 0
    n_replayed: int = 0
    """Answers that an earlier run had paid for."""
    n_refused: int = 0
    n_prompt_tokens: int = 0
    n_tokens: int = 0
    """Tokens generated, of calls made now."""

    def price(self, per_million: tuple[float, float]) -> float:
        """Cost at prices per million tokens of prompts and of answers."""
        return (self.n_prompt_tokens * per_million[0] + self.n_tokens * per_million[1]) / 1e6


class ServerRunner:
    """Asks ``POST URL/chat/completions`` for answers, some requests at a time.

    Limits (with ``Retry-After``), 5xx and broken connections are waited for. A request that is refused for what it
    asks becomes a trace without an answer, ``finish_reason`` "refused" and the reason under ``attributes["error"]``;
    the first three refused, with no answer yet, are an error. Where a server wants ``max_completion_tokens`` or no
    ``seed``, it gets that.

    Parameters
    ----------
    url
        Base, such as ``http://127.0.0.1:8000/v1``; with a query where the server needs one.
    model
        Name of the model at the server.
    keys
        Sent as bearer tokens, in turn.
    extra
        More fields of the request, None to leave a field out; llama.cpp's server needs ``{"repeat_penalty": 1.0}``.
    retries
        How long to wait for the server.
    concurrency
        Most requests at a time.
    journal
        Where answers are kept as they come; what it holds is not asked again.
    advance
        Called with the usage so far after every answer.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        keys: Sequence[str] = (),
        extra: dict[str, Any] | None = None,
        retries: Retries = PATIENT,
        concurrency: int = 16,
    ) -> None:
        if concurrency < 1:
            raise ConfigError(f"`concurrency` must be >= 1, got {concurrency}.")
        self.name = model
        self.usage = Usage()
        self.journal: Journal | None = None
        self.advance: Callable[[Usage], None] | None = None
        self._server = Endpoint(url, "/chat/completions", keys=keys, retries=retries)
        self._extra, self._concurrency = extra or {}, concurrency
        self.needs_logprobs = True
        """Whether a server that refuses log-probabilities is of no use; else it is asked without them."""
        self._lock, self._leave_out, self._length = threading.Lock(), set[str](), "max_tokens"

    def answer(self, prompts: Sequence[str], sampling: Sampling, *, seed: int) -> list[Trace]:
        """Answer every prompt once; the seed of a request is ``seed`` plus its place."""
        return self.draw(prompts, sampling, seeds=range(seed, seed + len(prompts)))

    def draw(self, prompts: Sequence[str], sampling: Sampling, *, seeds: Sequence[int]) -> list[Trace]:
        """Answer every prompt once, each with its own seed."""
        if not prompts:
            return []
        with ThreadPoolExecutor(min(self._concurrency, len(prompts))) as pool:
            return list(pool.map(partial(self._ask, sampling=sampling), prompts, seeds))

    def _ask(self, prompt: str, seed: int, *, sampling: Sampling) -> Trace:
        body = self._body(prompt, seed, sampling)
        key = hashlib.sha256(msgspec.json.encode([self._server.url, body], order="sorted")).hexdigest()
        kept = None if self.journal is None else self.journal.find(key)
        if kept is None:
            kept = self._fetched(body)
            with self._lock:
                if self.journal is not None:
                    self.journal.add(key, kept)
                self._count(kept)
        else:
            with self._lock:
                self.usage.n_replayed += 1
        if self.advance is not None:
            self.advance(self.usage)
        return self._trace(kept, sampling)

    def _body(self, prompt: str, seed: int, sampling: Sampling) -> dict[str, Any]:
        messages = prompt.messages if isinstance(prompt, Conversation) else [{"role": "user", "content": str(prompt)}]
        logprobs = {"logprobs": True, "top_logprobs": sampling.k} if sampling.k else {}
        return {
            "model": self.name,
            "messages": messages,
            **logprobs,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": seed % 2**31,
            **self._extra,
        }

    def _fetched(self, body: dict[str, Any]) -> dict[str, Any]:
        """Reply of the server, or the reason why it refused, in the form that the journal keeps."""
        for _attempt in range(4):
            sent = {key: value for key, value in body.items() if value is not None and key not in self._leave_out}
            if self._length != "max_tokens" and "max_tokens" in sent:
                sent[self._length] = sent.pop("max_tokens")
            try:
                reply = self._server.post(msgspec.json.encode(sent))
            except RefusedError as exc:
                if self._adapted(str(exc), sent):
                    continue
                self._check_refusals(exc)
                return {"refused": str(exc)}
            try:
                return {"reply": msgspec.json.decode(reply, type=dict[str, Any])}
            except msgspec.DecodeError as exc:
                shown = clean_text(reply[:400].decode(errors="replace"))
                raise TraceFormatError(f"{self._server.shown}: the reply is no JSON object, got {shown!r}.") from exc
        raise ConfigError(f"{self._server.shown}: the server refuses every form of the request.")

    def _adapted(self, said: str, sent: dict[str, Any]) -> bool:
        """Whether a refusal was for a field that can be named otherwise or left out, or by now is."""
        if not _UNSUPPORTED.search(said):
            return False
        with self._lock:
            if self._leave_out & sent.keys() or ("max_tokens" in sent and self._length != "max_tokens"):
                return True  # another thread has learned it since this was sent
            if "max_completion_tokens" in said and self._length == "max_tokens":
                self._length = "max_completion_tokens"
                return True
            optional = {"seed"} | ({"temperature"} if sent.get("temperature") == 1 else set())
            optional |= set() if self.needs_logprobs else {"logprobs", "top_logprobs"}
            named = {field for field in optional - self._leave_out if re.search(rf"\b{field}\b", said)}
            named |= {"logprobs", "top_logprobs"} & optional if named & {"logprobs", "top_logprobs"} else set()
            self._leave_out = self._leave_out | named
            return bool(named)

    def _check_refusals(self, exc: RefusedError) -> None:
        with self._lock:
            self.usage.n_refused += 1
            if self.usage.n_refused >= _SURE_OF_REFUSAL and not self.usage.n_calls + self.usage.n_replayed:
                raise ConfigError(f"{exc} No request has passed; change it with `extra`.") from exc

    def _count(self, kept: dict[str, Any]) -> None:
        if "reply" not in kept:
            return
        self.usage.n_calls += 1
        counts = kept["reply"].get("usage")
        if isinstance(counts, dict):
            self.usage.n_prompt_tokens += int(counts.get("prompt_tokens") or 0)
            self.usage.n_tokens += int(counts.get("completion_tokens") or 0)

    def _trace(self, kept: dict[str, Any], sampling: Sampling) -> Trace:
        if "refused" in kept:
            return Trace(trace_id="", finish_reason="refused", attributes={"error": str(kept["refused"])})
        reply = msgspec.json.encode(kept["reply"])
        traces = traces_from_response(
            reply, trace_id="", k=sampling.k or None, keep=["top_tokens"] if sampling.k else ()
        )
        if len(traces) != 1:
            raise TraceFormatError(f"{self._server.shown}: a reply must hold one answer, got {len(traces)}.")
        traces[0].temperature = sampling.temperature
        return traces[0]
