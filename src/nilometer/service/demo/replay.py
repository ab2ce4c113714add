"""A toy model server: it answers prompts of the shipped corpus as the recorded model did."""

import itertools
import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["ReplayServer"]

Message = MutableMapping[str, Any]


class ReplayServer:
    """Speaks OpenAI's chat protocol, whole and streamed; log-probabilities come where they are asked for.

    A prompt that is not recorded gets the answer to a random one.

    Parameters
    ----------
    rows
        Traces with prompts, tokens and log-probabilities.
    seed
        Of the random answers.
    """

    def __init__(self, rows: pa.Table, *, seed: int = 0) -> None:
        self._rows = rows.to_pylist()
        self._by_prompt = {row["prompt"]: row for row in self._rows}
        self._rng = np.random.default_rng(seed)
        self._numbers = itertools.count(1)

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        status, kind, parts = self._answer(scope["path"], body)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _answer(self, path: str, body: bytes) -> tuple[int, bytes, list[bytes]]:
        if not path.endswith("/chat/completions"):
            return 404, b"application/json", [b'{"error":{"message":"only /v1/chat/completions is here","code":404}}']
        try:
            asked = json.loads(body)
            prompt = asked["messages"][-1]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            return 400, b"application/json", [b'{"error":{"message":"a request must have `messages`","code":400}}']
        row = self._by_prompt.get(prompt) or self._rows[int(self._rng.integers(len(self._rows)))]
        k = int(asked.get("top_logprobs") or 0) if asked.get("logprobs") else None
        if asked.get("stream"):
            return 200, b"text/event-stream", self._stream(row, k)
        return 200, b"application/json", [_dumps(self._whole(row, k))]

    def _head(self, row: dict[str, Any], kind: str) -> dict[str, Any]:
        name = f"chatcmpl-demo-{next(self._numbers)}"
        return {"id": name, "object": kind, "created": int(time.time()), "model": row["model"]}

    def _whole(self, row: dict[str, Any], k: int | None) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": row["answer"]},
            "logprobs": None if k is None else {"content": _content(row, k)},
            "finish_reason": row["finish_reason"],
        }
        return {**self._head(row, "chat.completion"), "choices": [choice]}

    def _stream(self, row: dict[str, Any], k: int | None) -> list[bytes]:
        head = self._head(row, "chat.completion.chunk")
        listed = [None] * len(row["tokens"]) if k is None else _content(row, k)
        chunks = []
        for i, (token, entry) in enumerate(zip(row["tokens"], listed, strict=True)):
            choice = {
                "index": 0,
                "delta": {"content": token},
                "logprobs": None if entry is None else {"content": [entry]},
                "finish_reason": row["finish_reason"] if i == len(listed) - 1 else None,
            }
            chunks.append(b"data: " + _dumps({**head, "choices": [choice]}) + b"\n\n")
        return [*chunks, b"data: [DONE]\n\n"]


def _content(row: dict[str, Any], k: int) -> list[dict[str, Any]]:
    top = np.array(row["top_logprobs"], dtype=np.float64).reshape(len(row["tokens"]), -1)[:, :k]
    return [
        {
            "token": token,
            "logprob": chosen,
            "top_logprobs": [
                {"token": f"#{i}", "logprob": value} for i, value in enumerate(values) if not math.isnan(value)
            ],
        }
        for token, chosen, values in zip(row["tokens"], row["chosen_logprobs"], top.tolist(), strict=True)
    ]


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
