"""The table of what servers answer."""

from collections.abc import Iterator

from nilometer.errors import TraceFormatError

from ...batch import Trace
from ..lines.context import Context
from ..lines.format import Format
from ..lines.line import Line
from .llama_cpp import is_llama_cpp, parse_llama_cpp
from .ollama import is_ollama, parse_ollama
from .openai_chat import is_openai_chat, parse_openai_chat
from .openai_completions import is_openai_completions, parse_openai_completions
from .openai_responses import is_openai_responses, parse_openai_responses
from .sglang import is_sglang, parse_sglang

__all__ = ["SERVERS", "parse_response"]

SERVERS: tuple[Format, ...] = (
    Format(
        "openai_chat",
        is_openai_chat,
        parse_openai_chat,
        "chat completions of OpenAI, vLLM, SGLang, llama.cpp, Together, MLX, LiteLLM, DashScope and compatible "
        "servers, whole or streamed",
        "k, tokens, times, ids",
        "`logprobs=true, top_logprobs=20`; vLLM also `--max-logprobs 20`; llama-cpp-python `--logits_all true`",
    ),
    Format(
        "openai_completions",
        is_openai_completions,
        parse_openai_completions,
        "legacy text completions of OpenAI, vLLM, SGLang, llama.cpp, llama-cpp-python and MLX, whole or streamed",
        "k, tokens, times, ids",
        "`logprobs=5`",
    ),
    Format(
        "openai_responses",
        is_openai_responses,
        parse_openai_responses,
        "the OpenAI Responses API, and its streamed events",
        "k, tokens, times, ids",
        '`include=["message.output_text.logprobs"], top_logprobs=20`',
    ),
    Format(
        "sglang",
        is_sglang,
        parse_sglang,
        "SGLang /generate",
        "k, tokens (with `return_text_in_logprobs`), ids",
        "`return_logprob=true, top_logprobs_num=20`",
    ),
    Format(
        "llama_cpp",
        is_llama_cpp,
        parse_llama_cpp,
        "llama.cpp server /completion, new and old",
        "k, tokens",
        "`n_probs=20`, without `post_sampling_probs`",
    ),
    Format(
        "ollama",
        is_ollama,
        parse_ollama,
        "Ollama /api/chat and /api/generate, whole or streamed",
        "k, tokens, times",
        "`logprobs=true, top_logprobs=20` (0.12.11 or newer)",
    ),
)
"""Tried in this order; the first that matches is taken."""


def parse_response(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the traces of a server's answer of any kind, for the logs that keep one whole.

    Raises
    ------
    TraceFormatError
        If it is none.
    """
    entry = next((entry for entry in SERVERS if entry.matches(line)), None)
    if entry is None:
        keys = ", ".join(list(line)[:8]) or "none"
        raise TraceFormatError(f"no server answers with these keys: {keys}.")
    yield from entry.parse(line, context)
