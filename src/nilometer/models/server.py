"""Any OpenAI-compatible server over HTTP."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.traces import Trace, traces_from_response

from .recording import Sampling

__all__ = ["ServerRunner"]

_TRIES = 5
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
        self, url: str, *, model: str, key: str | None = None, extra: dict[str, Any] | None = None,
        patience: float = 1.0,
    ) -> None:  # fmt: skip
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"`url` must start with http:// or https://, got {url!r}.")
        self.name = model
        self._url = url.rstrip("/") + "/chat/completions"
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._extra, self._patience = extra or {}, patience

    def answer(self, prompts: Sequence[str], sampling: Sampling, *, seed: int) -> list[Trace]:
        """Answer every prompt once; the seed of a request is ``seed`` plus its place."""
        with ThreadPoolExecutor(min(_MOST_THREADS, len(prompts))) as pool:
            ask = partial(self._ask, sampling=sampling)
            return list(pool.map(ask, prompts, range(seed, seed + len(prompts))))

    def _ask(self, prompt: str, seed: int, *, sampling: Sampling) -> Trace:
        body = {
            "model": self.name, "messages": [{"role": "user", "content": prompt}], "logprobs": True,
            "top_logprobs": sampling.k, "temperature": sampling.temperature, "max_tokens": sampling.max_tokens,
            "seed": seed % 2**31, **self._extra,
        }  # fmt: skip
        reply = self._post(msgspec.json.encode(body))
        traces = traces_from_response(reply, trace_id="", k=sampling.k)
        if len(traces) != 1:
            raise TraceFormatError(f"{self._url}: a reply must hold one answer, got {len(traces)}.")
        traces[0].temperature = sampling.temperature
        return traces[0]

    def _post(self, body: bytes) -> bytes:
        request = urllib.request.Request(self._url, body, self._headers)
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                with urllib.request.urlopen(request, timeout=600) as reply:
                    return bytes(reply.read())
            except urllib.error.HTTPError as exc:
                said = exc.read(300).decode(errors="replace")
                if last or not (exc.code == 429 or exc.code >= 500):
                    raise ConfigError(f"{self._url}: the server answered {exc.code} ({said}).") from exc
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as exc:
                if last:
                    raise ConfigError(f"{self._url}: the server does not answer ({exc}).") from exc
            time.sleep(self._patience * 2**attempt)
        raise AssertionError("unreachable: the last try returns or raises")
