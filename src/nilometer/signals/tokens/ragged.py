"""Responses of different lengths laid end to end: the form in which every token signal is computed."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from nilometer.arrays import Bools, Floats32, Ints

__all__ = ["Ragged", "ragged_from_batch"]


class Ragged(NamedTuple):
    """Tokens of many responses, end to end."""

    offsets: Ints
    """Shape (responses + 1,); response i owns the tokens ``offsets[i]:offsets[i + 1]``."""
    chosen: Floats32
    """Shape (tokens,), natural-log probability of the sampled token, NaN where not given."""
    top: Floats32
    """Shape (tokens, k), the alternatives, best first, NaN where not given."""

    @property
    def lengths(self) -> Ints:
        """Tokens of each response, shape (responses,)."""
        return np.diff(self.offsets)

    def keep(self, mask: Bools) -> "Ragged":
        """Leave out the tokens where ``mask`` is False; responses stay, perhaps empty."""
        counts = np.concatenate([[0], np.cumsum(mask)])
        return Ragged(counts[self.offsets], self.chosen[mask], self.top[mask])


def ragged_from_batch(batch: pa.RecordBatch) -> Ragged:
    """Read the two list columns of a trace batch without a loop over responses.

    Rows of a smaller k are padded with NaN to the largest k of the batch. A response without
    log-probabilities has no tokens here.

    Raises
    ------
    ValueError
        If a response has alternatives whose number is not ``tokens * k``.

    Examples
    --------
    >>> row = {"chosen_logprobs": [-0.1, -0.2], "top_logprobs": [-0.1, -2.0, -0.2, -1.0], "trace_id": "a"}
    >>> ragged_from_batch(pa.RecordBatch.from_pylist([row])).top.shape
    (2, 2)
    """
    chosen, lengths = _flat(batch.column("chosen_logprobs"))
    alternatives, counts = _flat(batch.column("top_logprobs"))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    width = np.zeros_like(counts)
    np.floor_divide(counts, lengths, out=width, where=lengths > 0)
    wrong = np.flatnonzero(width * lengths != counts)
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(
            f"`top_logprobs` must hold tokens * k values, got {counts[row]} for {lengths[row]} tokens "
            f"in trace {batch.column('trace_id')[row].as_py()!r}."
        )
    k = int(width.max()) if width.size else 0
    if k == 0 or counts.sum() == lengths.sum() * k:
        return Ragged(offsets, chosen, alternatives.reshape(-1, k) if k else np.empty((chosen.size, 0), np.float32))
    top = np.full((chosen.size, k), np.nan, dtype=np.float32)
    top[np.arange(k) < np.repeat(width, lengths)[:, None]] = alternatives
    return Ragged(offsets, chosen, top)


def _flat(column: pa.ListArray) -> tuple[Floats32, Ints]:
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return values, lengths
