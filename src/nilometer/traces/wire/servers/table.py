"""The table of what servers answer."""

from collections.abc import Iterator

from nilometer.errors import TraceFormatError

from ...batch import Trace
from ..lines.context import Context
from ..lines.format import Format
from ..lines.line import Line
from .ai21 import is_ai21, parse_ai21
from .cohere import is_cohere, is_cohere_generations, parse_cohere, parse_cohere_generations
from .gemini import is_gemini, parse_gemini
from .llama_cpp import is_llama_cpp, parse_llama_cpp
from .ollama import is_ollama, parse_ollama
from .openai_chat import is_openai_chat, parse_openai_chat
from .openai_completions import is_openai_completions, parse_openai_completions
from .openai_responses import is_openai_responses, parse_openai_responses
from .sglang import is_sglang, parse_sglang
from .tgi import is_tgi, parse_tgi
from .vllm import is_vllm_output, parse_vllm_output
from .watsonx import is_watsonx, parse_watsonx

__all__ = ["SERVERS", "is_response", "parse_response"]

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
        "SGLang /generate, whole or streamed",
        "k, tokens (with `return_text_in_logprobs`), ids",
        "`return_logprob=true, top_logprobs_num=20`",
    ),
    Format(
        "llama_cpp",
        is_llama_cpp,
        parse_llama_cpp,
        "llama.cpp server /completion, new and old, whole or streamed",
        "k, tokens",
        "`n_probs=20`, without `post_sampling_probs`",
    ),
    Format(
        "tgi",
        is_tgi,
        parse_tgi,
        "Text Generation Inference /generate, whole or streamed, Hugging Face endpoints, SageMaker",
        "k, tokens",
        "`details=true, top_n_tokens=5`",
    ),
    Format(
        "gemini",
        is_gemini,
        parse_gemini,
        "Gemini and Vertex AI generateContent in either case, whole or streamed, batch predictions and operations",
        "k, tokens, times, ids",
        "`generationConfig: {responseLogprobs: true, logprobs: 20}`; not every model allows it",
    ),
    Format(
        "vllm",
        is_vllm_output,
        parse_vllm_output,
        "vLLM `RequestOutput` objects written as JSON",
        "k, tokens, ids",
        "`SamplingParams(logprobs=20)`",
    ),
    Format(
        "watsonx",
        is_watsonx,
        parse_watsonx,
        "IBM watsonx.ai text generation, whole or streamed",
        "k, tokens, times",
        "`return_options: {generated_tokens: true, token_logprobs: true, top_n_tokens: 5}`",
    ),
    Format(
        "cohere",
        is_cohere,
        parse_cohere,
        "Cohere chat, version 2, whole or streamed",
        "tokens, ids; no alternatives",
        "`logprobs=true`",
    ),
    Format(
        "cohere_generations",
        is_cohere_generations,
        parse_cohere_generations,
        "Cohere generations, version 1 and on Bedrock",
        "tokens, ids; no alternatives",
        "`return_likelihoods=GENERATION`",
    ),
    Format("ai21", is_ai21, parse_ai21, "AI21 completions on Bedrock", "k, tokens, ids", "`topKReturn=10`"),
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


def is_response(line: Line) -> bool:
    """Return whether the line is an answer of a server."""
    return any(entry.matches(line) for entry in SERVERS)


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
