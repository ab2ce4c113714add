"""The table of logs and exports."""

from ..lines.format import Format
from .inspect_ai import is_inspect_sample, parse_inspect_sample
from .lm_eval import is_lm_eval, parse_lm_eval
from .openinference import is_openinference, parse_openinference
from .plain import is_plain, parse_plain
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
        "lm-evaluation-harness samples (choice sums, no tokens)",
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
