"""Attention statistics as they lie in a trace batch, and their features as columns."""

import numpy as np
import pyarrow as pa

from nilometer.arrays import Floats

from .scores import ATTENTION_FEATURE_NAMES, attention_features
from .statistics import ATTENTION_FIELDS, AttentionStatistics

__all__ = ["attention_from_batch", "attention_profile"]

_DISK_MINUS_INFINITY = -6e4
"""Half precision on disk holds -65504 for minus infinity."""


def attention_from_batch(batch: pa.RecordBatch) -> list[AttentionStatistics | None]:
    """Statistics of every response of a batch in ``ATTENTION_SCHEMA``, each field of shape (tokens, layers, heads).

    None for a response without them.

    Raises
    ------
    ValueError
        If a response has a number of values that is not tokens × layers × heads × 8.

    Examples
    --------
    >>> row = {"trace_id": "a", "attention": [0.0] * 32, "attention_layers": 2, "attention_heads": 1}
    >>> attention_from_batch(pa.RecordBatch.from_pylist([row]))[0].entropy.shape
    (2, 2, 1)
    """
    column = batch.column("attention")
    layers, heads = (batch.column(f"attention_{name}").to_pylist() for name in ("layers", "heads"))
    found: list[AttentionStatistics | None] = []
    for row in range(batch.num_rows):
        if not column[row].is_valid:
            found.append(None)
            continue
        values = column[row].values.to_numpy(zero_copy_only=False).astype(np.float64)
        size = (layers[row] or 0) * (heads[row] or 0) * len(ATTENTION_FIELDS)
        if not size or values.size % size:
            raise ValueError(
                f"`attention` must hold tokens * layers * heads * {len(ATTENTION_FIELDS)} values, got {values.size} "
                f"in trace {batch.column('trace_id')[row].as_py()!r}."
            )
        values[values < _DISK_MINUS_INFINITY] = -np.inf
        shaped = values.reshape(-1, layers[row], heads[row], len(ATTENTION_FIELDS))
        found.append(AttentionStatistics(*(shaped[..., i] for i in range(len(ATTENTION_FIELDS)))))
    return found


def attention_profile(batch: pa.RecordBatch) -> dict[str, Floats]:
    """Features of ``ATTENTION_FEATURES`` of every response, each of shape (responses,); NaN without attention.

    Examples
    --------
    >>> row = {"trace_id": "a", "attention": None, "attention_layers": None, "attention_heads": None}
    >>> sorted(attention_profile(pa.RecordBatch.from_pylist([row])))[0]
    'attention_agreement'
    """
    table = np.full((batch.num_rows, len(ATTENTION_FEATURE_NAMES)), np.nan)
    for row, statistics in enumerate(attention_from_batch(batch)):
        if statistics is not None and statistics.entropy.size:
            p = np.exp(batch.column("chosen_logprobs")[row].values.to_numpy(zero_copy_only=False).astype(np.float64))
            table[row] = list(attention_features(p, statistics).values())
    return {name: table[:, i] for i, name in enumerate(ATTENTION_FEATURE_NAMES)}
