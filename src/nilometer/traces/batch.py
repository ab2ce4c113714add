"""Rows of traces and their assembly into Arrow record batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .schema import ATTENTION_SCHEMA, trace_schema

__all__ = ["Trace", "bad_rows", "trace_batch"]

_ROUNDING = 1e-3


@dataclass(slots=True, kw_only=True)
class Trace:
    """One response before it becomes a row of an Arrow batch; the fields are the columns of the schema."""

    trace_id: str
    prompt_id: str | None = None
    time: int | None = None
    """Microseconds since 1970, UTC."""
    model: str | None = None
    model_fingerprint: str | None = None
    provider: str | None = None
    k: int | None = None
    logprobs_mode: str | None = "unknown"
    temperature: float | None = None
    finish_reason: str | None = None
    n_tokens: int | None = None
    chosen_logprobs: NDArray[np.float32] | None = None
    top_logprobs: NDArray[np.float32] | None = None
    """Shape (tokens, k)."""
    tokens: list[str] | None = None
    prompt: str | None = None
    answer: str | None = None
    correct: float | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    attention: NDArray[np.float32] | None = None
    """Shape (tokens, layers, heads, 8)."""
    attention_prompt: int | None = None
    top_tokens: list[str | None] | None = None
    """Texts of the best alternatives, row-major; None where a provider gave fewer."""

    @property
    def attention_layers(self) -> int | None:
        """Layers of the model."""
        return None if self.attention is None else self.attention.shape[1]

    @property
    def attention_heads(self) -> int | None:
        """Heads of a layer."""
        return None if self.attention is None else self.attention.shape[2]

    @property
    def n_values(self) -> int:
        """Numbers held, for deciding when a batch is full."""
        return 0 if self.top_logprobs is None else self.top_logprobs.size


def trace_batch(traces: Sequence[Trace], *, keep: Sequence[str] = ()) -> pa.RecordBatch:
    """Lay traces out as one record batch, in ``ATTENTION_SCHEMA`` where one has attention, else as `keep` asks.

    Examples
    --------
    >>> trace_batch([Trace(trace_id="a", answer="42")]).num_rows
    1
    """
    schema = ATTENTION_SCHEMA if any(trace.attention is not None for trace in traces) else trace_schema(keep)
    columns: list[Any] = []
    for column in schema:
        values = [getattr(trace, column.name) for trace in traces]
        if column.name in {"chosen_logprobs", "top_logprobs", "attention"}:
            columns.append(_float_lists(values))
        elif column.name == "attributes":
            columns.append(pa.array([list(value.items()) for value in values], type=column.type))
        else:
            columns.append(pa.array(values, type=column.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _float_lists(rows: Sequence[NDArray[np.float32] | None]) -> pa.ListArray:
    lengths = [0 if row is None else row.size for row in rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    given = [row.ravel() for row in rows if row is not None]
    values = np.concatenate(given) if given else np.empty(0, dtype=np.float32)
    mask = pa.array([row is None for row in rows], type=pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.astype(np.float32, copy=False)), mask=mask)


def bad_rows(batch: pa.RecordBatch) -> list[tuple[int, str]]:
    """Return the rows of a batch in ``TRACE_SCHEMA`` that cannot be right, each with the reason.

    A row must have a ``trace_id``; its log-probabilities must be <= 0, and ``top_logprobs`` must hold ``k`` for every
    one of ``chosen_logprobs``.

    Examples
    --------
    >>> batch = trace_batch([Trace(trace_id="a", chosen_logprobs=np.float32([7]), k=0)])
    >>> bad_rows(batch)
    [(0, 'a `logprob` must be <= 0, got 7.')]
    """
    found: dict[int, str] = {}
    ids = batch.column("trace_id")
    if ids.null_count:
        found.update(dict.fromkeys(np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False)).tolist(), _NO_ID))
    for name in ("chosen_logprobs", "top_logprobs"):
        found.update(_positive(batch.column(name)))
    found.update(_uneven(batch))
    return sorted(found.items())


_NO_ID = "`trace_id` is missing."


def _positive(column: pa.ListArray) -> Iterator[tuple[int, str]]:
    values = column.flatten().to_numpy(zero_copy_only=False)
    if not values.size or not float(np.fmax.reduce(values)) > _ROUNDING:
        return
    with np.errstate(invalid="ignore"):
        places = np.flatnonzero(values > _ROUNDING)
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)[places]
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        yield row, f"a `logprob` must be <= 0, got {values[place]:g}."


def _uneven(batch: pa.RecordBatch) -> Iterator[tuple[int, str]]:
    lengths = [_lengths(batch.column(name)) for name in ("chosen_logprobs", "top_logprobs")]
    k = batch.column("k").fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    chosen, top = lengths
    wrong = (top > 0) & (top != chosen * k) & ((chosen > 0) | (k < 1) | (top % np.maximum(k, 1) != 0))
    for row in np.flatnonzero(wrong | (k < 0)).tolist():
        yield (
            row,
            f"`top_logprobs` must hold tokens * k values, got {top[row]} for {chosen[row]} tokens and k = {k[row]}.",
        )


def _lengths(column: pa.ListArray) -> NDArray[np.int64]:
    return np.asarray(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
