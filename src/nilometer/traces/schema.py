"""The Arrow schema of traces and labels: the contract between every reader and every signal."""

from collections.abc import Sequence

import pyarrow as pa

from nilometer.errors import ConfigError

__all__ = [
    "ATTENTION_COLUMNS",
    "ATTENTION_SCHEMA",
    "CUT_OFF_REASONS",
    "FORMAT_VERSION",
    "LABEL_SCHEMA",
    "TRACE_SCHEMA",
    "trace_schema",
]

FORMAT_VERSION = 1

CUT_OFF_REASONS = ("length", "max_tokens", "max_output_tokens", "model_length")
"""Values of ``finish_reason`` that say that an answer ends where its room did."""

TRACE_SCHEMA = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("prompt_id", pa.string()),
        pa.field("time", pa.timestamp("us", tz="UTC")),
        pa.field("model", pa.string()),
        pa.field("model_fingerprint", pa.string()),
        pa.field("provider", pa.string()),
        pa.field("k", pa.int32()),
        pa.field("logprobs_mode", pa.string()),
        pa.field("temperature", pa.float32()),
        pa.field("finish_reason", pa.string()),
        pa.field("n_tokens", pa.int32()),
        pa.field("chosen_logprobs", pa.list_(pa.float32())),
        pa.field("top_logprobs", pa.list_(pa.float32())),
        pa.field("tokens", pa.list_(pa.string())),
        pa.field("prompt", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("correct", pa.float32()),
        pa.field("attributes", pa.map_(pa.string(), pa.string())),
    ],
    metadata={"nilometer.format_version": str(FORMAT_VERSION)},
)
"""One row per response.

``k`` is the number of alternatives per token, and ``top_logprobs`` is row-major tokens × k, best first,
NaN where the provider gave fewer. ``chosen_logprobs`` is null where a response has no logprobs at all and
holds NaN where a single token lacks one. ``logprobs_mode`` is ``raw`` (before temperature), ``processed`` or
``unknown``. ``correct`` is a label that came inside the trace, null otherwise.
"""

_TOP_TOKENS = pa.field("top_tokens", pa.list_(pa.string()))

ATTENTION_COLUMNS = ("attention", "attention_layers", "attention_heads", "attention_prompt")
ATTENTION_SCHEMA = pa.schema(
    [
        *TRACE_SCHEMA,
        pa.field("attention", pa.list_(pa.float32())),
        pa.field("attention_layers", pa.int32()),
        pa.field("attention_heads", pa.int32()),
        pa.field("attention_prompt", pa.int32()),
        _TOP_TOKENS,
    ],
    metadata=TRACE_SCHEMA.metadata,
)
"""A trace with attention statistics, which only models run in process give.

``attention`` is row-major tokens × layers × heads × 8, the eight in the order of ``ATTENTION_FIELDS``; NaN in layers
without softmax attention. ``attention_prompt`` counts the tokens of the prompt.
``top_tokens`` holds the texts of the best alternatives, row-major tokens × at most 5. Half precision on disk.
"""

_KEPT = {
    (): TRACE_SCHEMA,
    ("top_tokens",): pa.schema([*TRACE_SCHEMA, _TOP_TOKENS], metadata=TRACE_SCHEMA.metadata),
    ("attention",): ATTENTION_SCHEMA,
    ("attention", "top_tokens"): ATTENTION_SCHEMA,
}


def trace_schema(keep: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of traces with the heavy columns that are kept only where they are asked for.

    ``top_tokens`` holds the texts of the alternatives in the order of ``top_logprobs``, row-major tokens × width with
    width = len(top_tokens) / tokens <= k, null where the provider gave fewer; ``attention`` the columns of
    ``ATTENTION_SCHEMA``.

    Raises
    ------
    ConfigError
        If `keep` names anything else.

    Examples
    --------
    >>> trace_schema(["top_tokens"]).names[-2:]
    ['attributes', 'top_tokens']
    """
    wanted = tuple(sorted(set(keep)))
    if wanted not in _KEPT:
        raise ConfigError(f"`keep` must hold 'attention' or 'top_tokens', got {list(keep)}.")
    return _KEPT[wanted]


LABEL_SCHEMA = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("correct", pa.float32(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("time", pa.timestamp("us", tz="UTC")),
    ]
)
"""One row per label; ``correct`` lies in [0, 1]."""
