"""Any OpenAI-compatible server over HTTP."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from nilometer.errors import TraceFormatError
from nilometer.traces import Trace, traces_from_response

from .http import check_url, json_headers, post
from .recording import Sampling

__all__ = ["ServerRunner"]

_MOST_THREADS = 16


class ServerRunner:
    """Asks ``POST URL/chat/completions`` for log-probabilities, some requests at a time.

    Answers 429 and 5xx and broken connections are tried again, five times in all, waiting longer each time.

    Parameters
    ----------
    url
        Base, such as ``http://127.0.0.1:8000/v1``.
    model
        Name of the model at the server.
    key
        Sent as a bearer token.
    extra
        More fields of the request; llama.cpp's server needs ``{"repeat_penalty": 1.0}`` to leave the logits alone.
    patience
        Seconds before the first second try.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        key: str | None = None,
        extra: dict[str, Any] | None = None,
        patience: float = 1.0,
    ) -> None:
        self.name = model
        self._url = check_url(url) + "/chat/completions"
        self._headers = json_headers(key)
        self._extra, self._patience = extra or {}, patience

    def answer(self, prompts: Sequence[str], sampling: Sampling, *, seed: int) -> list[Trace]:
        """Answer every prompt once; the seed of a request is ``seed`` plus its place."""
        with ThreadPoolExecutor(min(_MOST_THREADS, len(prompts))) as pool:
            ask = partial(self._ask, sampling=sampling)
            return list(pool.map(ask, prompts, range(seed, seed + len(prompts))))

    def _ask(self, prompt: str, seed: int, *, sampling: Sampling) -> Trace:
        body = {
            "model": self.name,
            "messages": [{"role": "user", "content": prompt}],
            "logprobs": True,
            "top_logprobs": sampling.k,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": seed % 2**31,
            **self._extra,
        }
        reply = post(self._url, msgspec.json.encode(body), self._headers, patience=self._patience)
        traces = traces_from_response(reply, trace_id="", k=sampling.k)
        if len(traces) != 1:
            raise TraceFormatError(f"{self._url}: a reply must hold one answer, got {len(traces)}.")
        traces[0].temperature = sampling.temperature
        return traces[0]
