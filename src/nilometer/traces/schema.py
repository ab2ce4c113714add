"""The Arrow schema of traces and labels: the contract between every reader and every signal."""

import pyarrow as pa

__all__ = ["ATTENTION_COLUMNS", "ATTENTION_SCHEMA", "FORMAT_VERSION", "LABEL_SCHEMA", "TRACE_SCHEMA"]

FORMAT_VERSION = 1

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

ATTENTION_COLUMNS = ("attention", "attention_layers", "attention_heads", "attention_prompt")
ATTENTION_SCHEMA = pa.schema(
    [
        *TRACE_SCHEMA,
        pa.field("attention", pa.list_(pa.float32())),
        pa.field("attention_layers", pa.int32()),
        pa.field("attention_heads", pa.int32()),
        pa.field("attention_prompt", pa.int32()),
        pa.field("top_tokens", pa.list_(pa.string())),
    ],
    metadata=TRACE_SCHEMA.metadata,
)
"""A trace with attention statistics, which only models run in process give.

``attention`` is row-major tokens × layers × heads × 8, the eight in the order of ``ATTENTION_FIELDS``; NaN in layers
without softmax attention. ``attention_prompt`` counts the tokens of the prompt.
``top_tokens`` holds the texts of the best alternatives, row-major tokens × at most 5. Half precision on disk.
"""

LABEL_SCHEMA = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("correct", pa.float32(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("time", pa.timestamp("us", tz="UTC")),
    ]
)
"""One row per label; ``correct`` lies in [0, 1]."""
