"""The table of wire formats: how each is recognised and read."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..batch import Trace
from .engines import is_llama_cpp, is_ollama, is_sglang, parse_llama_cpp, parse_ollama, parse_sglang
from .line import Context, Line
from .logs import (
    is_inspect_sample,
    is_lm_eval,
    is_openinference,
    is_plain,
    parse_inspect_sample,
    parse_lm_eval,
    parse_openinference,
    parse_plain,
)
from .openai_chat import is_openai_chat, parse_openai_chat
from .openai_completions import is_openai_completions, parse_openai_completions
from .openai_responses import is_openai_responses, parse_openai_responses
from .wide import is_wide, parse_wide

__all__ = ["FORMATS", "Format"]


class Format(NamedTuple):
    """One wire format whose unit is a JSON object."""

    name: str
    matches: Callable[[Line], bool]
    parse: Callable[[Line, Context], Iterator[Trace]]
    about: str


_CHAT = (
    "chat completions of OpenAI, vLLM, SGLang, llama.cpp, LiteLLM and compatible servers, whole or streamed; "
    "also in a batch-output or request/response envelope"
)
_COMPLETIONS = "legacy text completions of OpenAI, vLLM, SGLang and llama-cpp-python, whole or streamed"
_RESPONSES = "the OpenAI Responses API, and its streamed events"
_SPANS = "OpenInference / Phoenix spans, from output.value"

FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format("openai_chat", is_openai_chat, parse_openai_chat, _CHAT),
        Format("openai_completions", is_openai_completions, parse_openai_completions, _COMPLETIONS),
        Format("openai_responses", is_openai_responses, parse_openai_responses, _RESPONSES),
        Format("sglang", is_sglang, parse_sglang, "SGLang /generate"),
        Format("llama_cpp", is_llama_cpp, parse_llama_cpp, "llama.cpp server /completion, new and old"),
        Format("inspect", is_inspect_sample, parse_inspect_sample, "inspect_ai logs, .eval and JSON"),
        Format("lm_eval", is_lm_eval, parse_lm_eval, "lm-evaluation-harness samples (choice sums, no tokens)"),
        Format("openinference", is_openinference, parse_openinference, _SPANS),
        Format("wide", is_wide, parse_wide, "JSONL with one prompt a line and `outputs` by model"),
        Format("plain", is_plain, parse_plain, "JSONL with the column names of the trace schema"),
        Format("ollama", is_ollama, parse_ollama, "Ollama /api/chat and /api/generate, whole or streamed"),
    )
}
"""Tried in this order; the first that matches is taken."""
