"""Native answers of SGLang (/generate), llama.cpp (/completion) and Ollama (/api/chat, /api/generate)."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from ..batch import Trace
from .line import Context, Line, microseconds
from .logprobs import TokenLogprobs, clean_logprobs
from .openai_chat import ChatLogprobs, chat_logprobs

__all__ = [
    "is_llama_cpp",
    "is_ollama",
    "is_sglang",
    "parse_llama_cpp",
    "parse_ollama",
    "parse_sglang",
]


def is_sglang(line: Line) -> bool:
    """Tell whether the line is an answer of SGLang's /generate."""
    return "meta_info" in line


def parse_sglang(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of one /generate answer; its log-probabilities are after temperature unless greedy."""
    meta = line.get("meta_info")
    temperature = context.temperature
    chosen = meta.get("output_token_logprobs") or []
    listed = meta.get("output_top_logprobs") or [[] for _ in chosen]
    clean, texts = _pairs(chosen, listed, context.k)
    reason = meta.get("finish_reason")
    identity = str(context.trace_id or meta.get("id") or context.fallback_id)
    yield Trace(
        trace_id=identity,
        prompt_id=identity,
        model=line.get("model"),
        provider="sglang",
        logprobs_mode="unknown" if temperature is None else "raw" if temperature == 0 else "processed",
        finish_reason=reason.get("type") if isinstance(reason, dict) else reason,
        n_tokens=len(chosen) or meta.get("completion_tokens"),
        k=clean.top.shape[1] if clean else context.k,
        chosen_logprobs=clean.chosen if clean else None,
        top_logprobs=clean.top if clean else None,
        tokens=texts,
        answer=line.get("text"),
    )


def is_llama_cpp(line: Line) -> bool:
    """Tell whether the line is an answer of llama.cpp's /completion."""
    return "completion_probabilities" in line or ("tokens_predicted" in line and "content" in line)


def parse_llama_cpp(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of one /completion answer.

    Linear probabilities (``post_sampling_probs``, and the builds that know only ``probs``) become logarithms.
    """
    listed = [_llama_token(token) for token in line.get("completion_probabilities") or []]
    settings = line.get("generation_settings") or {}
    flat = [value for _, values, _ in listed for value in values]
    counts = [len(values) for _, values, _ in listed]
    clean = (
        clean_logprobs([chosen for chosen, _, _ in listed], flat, counts, k=settings.get("n_probs") or context.k)
        if listed
        else None
    )
    identity = str(context.trace_id or context.fallback_id)
    yield Trace(
        trace_id=identity,
        prompt_id=identity,
        model=line.get("model"),
        provider="llama.cpp",
        logprobs_mode="processed" if settings.get("post_sampling_probs") else "raw",
        temperature=settings.get("temperature"),
        finish_reason="length" if line.get("stop_type") == "limit" or line.get("stopped_limit") else "stop",
        n_tokens=len(listed) or line.get("tokens_predicted"),
        k=clean.top.shape[1] if clean else None,
        chosen_logprobs=clean.chosen if clean else None,
        top_logprobs=clean.top if clean else None,
        tokens=[text for _, _, text in listed] or None,
        prompt=line.get("prompt") if isinstance(line.get("prompt"), str) else None,
        answer=line.get("content"),
    )


def is_ollama(line: Line) -> bool:
    """Tell whether the line is an answer of Ollama's own API."""
    return "done" in line and ("message" in line or "response" in line)


def parse_ollama(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of one whole answer; the parts of a streamed one are joined before.

    Builds that copy a linear probability into ``logprob`` give positive values, which are refused.
    """
    message = line.get("message") or {}
    parsed = chat_logprobs(msgspec.convert({"content": line.get("logprobs")}, ChatLogprobs), context.k)
    identity = str(context.trace_id or context.fallback_id)
    yield Trace(
        trace_id=identity,
        prompt_id=identity,
        time=microseconds(line.get("created_at")),
        model=line.get("model"),
        provider="ollama",
        finish_reason=line.get("done_reason"),
        n_tokens=len(parsed[1]) if parsed else line.get("eval_count"),
        k=parsed[0].top.shape[1] if parsed else context.k,
        chosen_logprobs=parsed[0].chosen if parsed else None,
        top_logprobs=parsed[0].top if parsed else None,
        tokens=parsed[1] if parsed else None,
        answer=message.get("content") if message else line.get("response"),
    )


def _pairs(chosen: list[Any], listed: list[Any], k: int | None) -> tuple[TokenLogprobs | None, list[str] | None]:
    if not chosen:
        return None, None
    rows = [[item[0] for item in row or []] for row in listed]
    flat = [value for row in rows for value in row]
    clean = clean_logprobs([item[0] for item in chosen], flat, [len(row) for row in rows], k=k)
    texts = [item[2] for item in chosen if len(item) > 2]
    return clean, texts if len(texts) == len(chosen) and all(isinstance(text, str) for text in texts) else None


def _llama_token(token: dict[str, Any]) -> tuple[float | None, list[float | None], str]:
    if "logprob" in token:
        return (
            token["logprob"],
            [other.get("logprob") for other in token.get("top_logprobs") or []],
            token.get("token", ""),
        )
    listed = token.get("top_probs") or token.get("probs") or []
    names = [other.get("token", other.get("tok_str", "")) for other in listed]
    values = [_log(other.get("prob")) for other in listed]
    text = token.get("token", token.get("content", ""))
    if "prob" in token:
        return _log(token["prob"]), values, text
    return (values[names.index(text)] if text in names else None), values, text


def _log(probability: float | None) -> float | None:
    return math.log(probability) if probability else None
