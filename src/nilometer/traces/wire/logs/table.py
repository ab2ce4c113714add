"""The table of logs and exports."""

from ..lines.format import Format
from .dspy import is_dspy, parse_dspy
from .helm import is_helm, parse_helm
from .inspect_ai import is_inspect_sample, parse_inspect_sample
from .langchain import is_langchain, parse_langchain
from .langfuse import is_langfuse, parse_langfuse
from .langgraph import is_langgraph, parse_langgraph
from .langsmith import is_langsmith, parse_langsmith
from .litellm import is_litellm, parse_litellm
from .lm_eval import is_lm_eval, parse_lm_eval
from .openinference import is_openinference, parse_openinference
from .plain import is_plain, parse_plain
from .promptfoo import is_promptfoo, parse_promptfoo
from .uqlm import is_uqlm, parse_uqlm
from .wide import is_wide, parse_wide

__all__ = ["COLUMNS", "LOGS"]

LOGS: tuple[Format, ...] = (
    Format(
        "inspect",
        is_inspect_sample,
        parse_inspect_sample,
        "inspect_ai logs, .eval and JSON",
        "k, tokens, times, ids, labels",
        "`GenerateConfig(logprobs=True, top_logprobs=20)`",
    ),
    Format(
        "lm_eval",
        is_lm_eval,
        parse_lm_eval,
        "lm-evaluation-harness samples (choice sums, no tokens; a response per text drawn)",
        "choices as one token, ids, labels",
        "`--log_samples`; there is nothing else to switch on",
    ),
    Format(
        "openinference",
        is_openinference,
        parse_openinference,
        "OpenInference / Phoenix spans of chat, completions and Responses, from output.value",
        "what the response in the span gives",
        "as for the server that is traced",
    ),
    Format(
        "litellm",
        is_litellm,
        parse_litellm,
        "LiteLLM's standard logging payload",
        "what the response gives; times, ids",
        "as for OpenAI; log without streaming, which drops them",
    ),
    Format(
        "langsmith",
        is_langsmith,
        parse_langsmith,
        "runs exported from LangSmith",
        "k, tokens, times, ids",
        "`ChatOpenAI(logprobs=True, top_logprobs=20)`; `wrap_openai` keeps what the call asks for",
    ),
    Format(
        "langfuse",
        is_langfuse,
        parse_langfuse,
        "observations exported from Langfuse",
        "times, ids; k and tokens where the output or metadata hold the response",
        "give the generation the whole response as `output`, or its `logprobs` as metadata",
    ),
    Format(
        "langchain",
        is_langchain,
        parse_langchain,
        "messages, their chunks, and results of LangChain, dumped as JSON",
        "k, tokens, ids",
        "`ChatOpenAI(logprobs=True, top_logprobs=20)`",
    ),
    Format(
        "langgraph",
        is_langgraph,
        parse_langgraph,
        "states and updates of LangGraph, their messages dumped as JSON",
        "k, tokens, ids",
        "`ChatOpenAI(logprobs=True, top_logprobs=20)`",
    ),
    Format(
        "helm",
        is_helm,
        parse_helm,
        "HELM scenario_state.json",
        "k, tokens, times, ids",
        "`top_k_per_token` of the adapter",
    ),
    Format(
        "promptfoo",
        is_promptfoo,
        parse_promptfoo,
        "results of promptfoo, JSON and JSONL",
        "ids, labels; chosen tokens, or all that a raw response gives",
        "`config: {passthrough: {logprobs: true, top_logprobs: 20}}`",
    ),
    Format(
        "dspy",
        is_dspy,
        parse_dspy,
        "the history of a DSPy language model, as JSON",
        "k, tokens, times, ids",
        "`dspy.LM(..., logprobs=True, top_logprobs=20)`",
    ),
    Format(
        "uqlm",
        is_uqlm,
        parse_uqlm,
        "results of UQLM",
        "k, tokens; samples of a prompt",
        "`WhiteBoxUQ(top_k_logprobs=15)`",
    ),
)
"""Logs with marks of their own, tried in this order."""

COLUMNS: tuple[Format, ...] = (
    Format(
        "wide",
        is_wide,
        parse_wide,
        "JSONL with one prompt a line and `outputs` by model",
        "answers, ids, labels",
        "write the columns of the next row instead",
    ),
    Format(
        "plain",
        is_plain,
        parse_plain,
        "JSONL with the column names of the trace schema",
        "all columns",
        "write `chosen_logprobs` and `top_logprobs`",
    ),
)
"""Shapes that users write themselves, tried after the logs."""
