"""From what a provider listed to clean arrays of log-probabilities."""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.errors import TraceFormatError

__all__ = ["BELOW_CUTOFF", "ROUNDING", "Listed", "TokenLogprobs", "clean_logprobs"]

BELOW_CUTOFF = -9999.0
"""Providers write this value or a smaller one for "below the cut-off, unknown"."""

ROUNDING = 1e-3
"""A logprob above zero by less than this is a rounding error of the provider; it becomes 0."""

_MOST_PADDED = 256
"""A list is filled up to the number that was asked for only as far as any provider goes."""

Value = float | str | None


class Listed(NamedTuple):
    """What a provider listed for one response, token after token, not yet checked."""

    chosen: Sequence[Value]
    """Log-probability of each sampled token, nats."""
    alternatives: Sequence[Value] = ()
    """All alternatives, token after token."""
    counts: Sequence[int] = ()
    """How many alternatives each token has; empty where no token has any."""
    tokens: Sequence[Any] = ()
    """Text of each sampled token, or its number; empty where unknown."""
    names: Sequence[Any] = ()
    """Texts of the alternatives, in their order; empty where unknown or not asked for."""
    sampled_first: bool = False
    """Whether the provider may list the sampled token first, whatever its rank."""
    sampled_added: bool = False
    """Whether the provider adds the sampled token to the k best. With it, lists that all end in the sampled
    token have k + 1 entries, too: at two tokens or more that is likelier than it being the k-th each time."""
    mode: str | None = None
    """``processed`` or ``raw`` where the shape itself tells."""

    def last(self, n: int) -> "Listed":
        """Return the last `n` tokens alone."""
        start = len(self.chosen) - n
        skipped = sum(self.counts[:start])
        return self._replace(
            chosen=self.chosen[start:],
            alternatives=self.alternatives[skipped:],
            counts=self.counts[start:],
            tokens=self.tokens[start:],
            names=self.names[skipped:],
        )


class TokenLogprobs(NamedTuple):
    """Clean log-probabilities of one response."""

    chosen: NDArray[np.float32]
    """Shape (tokens,), NaN where unknown."""
    top: NDArray[np.float32]
    """Shape (tokens, k), best first, NaN where the provider gave fewer."""
    tokens: list[Any] | None = None
    """Texts of the sampled tokens."""
    top_tokens: list[Any] | None = None
    """Texts of the alternatives in the order of ``top``, row-major, None where ``top`` is NaN."""


def clean_logprobs(listed: Listed, *, k: int | None = None) -> TokenLogprobs:
    """Turn the listed log-probabilities of one response into arrays of shape (tokens,) and (tokens, k).

    Values at or below -9999, ``null``, ``"-inf"`` and NaN become NaN ("not given"). Rows are sorted best
    first. Where a provider lists k + 1 alternatives because the sampled token is outside the k best, the
    extra one goes; where it lists the sampled token first and drops the k-th best for it (vLLM chat), a first
    entry smaller than all others is not known to be among the k best, so it becomes NaN.

    Parameters
    ----------
    listed
        What the provider gave.
    k
        How many alternatives were asked for; None takes the longest list.

    Raises
    ------
    TraceFormatError
        If a log-probability is above 0.001, or is not a number, or there are fewer lists or texts than tokens.

    Examples
    --------
    >>> clean = clean_logprobs(Listed([-0.5, -9999.0], [-2.0, -0.5, -0.1], [2, 1]))
    >>> clean.chosen.tolist()
    [-0.5, nan]
    >>> clean.top.round(1).tolist()
    [[-0.5, -2.0], [-0.10000000149011612, nan]]
    """
    _check_lengths(listed)
    counts = np.asarray(listed.counts if len(listed.counts) else np.zeros(len(listed.chosen)), dtype=np.int64)
    picked = _numbers(listed.chosen)
    rows = _padded(_numbers(listed.alternatives), counts)
    names = _padded_names(listed.names, counts) if len(listed.names) else None
    if rows.shape[1] > 1 and not (rows[:, :-1] >= rows[:, 1:]).all():  # NaN is neither, so such rows are looked at, too
        if listed.sampled_first:
            _forget_sampled_outside(rows, picked)
        rows, names = _best_first(rows, names)
    asked = k if k is not None and (k <= _MOST_PADDED or k <= rows.shape[1]) else None
    width = _width(rows, picked, surely=listed.sampled_added) if asked is None else max(asked, 0)
    top = _fit_width(rows, width).astype(np.float32)
    return TokenLogprobs(
        picked.astype(np.float32), top, list(listed.tokens) or None, None if names is None else _named(names, top)
    )


def _check_lengths(listed: Listed) -> None:
    n = len(listed.chosen)
    for name, given in (("top_logprobs", listed.counts), ("tokens", listed.tokens)):
        if len(given) not in (0, n):
            raise TraceFormatError(f"`{name}` must have one entry per token, got {len(given)} for {n} tokens.")


def _numbers(values: Sequence[Value]) -> NDArray[np.float64]:
    try:
        numbers: NDArray[np.float64] = _array(values)
    except (TypeError, ValueError, OverflowError) as exc:
        raise TraceFormatError(f"a `logprob` must be a number or null ({exc}).") from exc
    if not numbers.size:
        return numbers.ravel()
    if numbers.ndim > 1:
        raise TraceFormatError("a `logprob` must be a number or null, got a list.")
    # fmax and fmin ignore NaN, and -inf is a value like any other here
    highest = float(np.fmax.reduce(numbers))
    if highest > ROUNDING:
        raise TraceFormatError(f"a `logprob` must be <= 0, got {highest:g}.")
    if highest > 0:
        np.minimum(numbers, 0.0, out=numbers)
    if float(np.fmin.reduce(numbers)) <= BELOW_CUTOFF:
        numbers[numbers <= BELOW_CUTOFF] = np.nan
    return numbers


def _array(values: Sequence[Value]) -> NDArray[np.float64]:
    """Return numbers as an array of their own, the quick way where each is one."""
    packed = bytearray(8 * len(values))
    try:
        struct.pack_into(f"{len(values)}d", packed, 0, *values)
        return np.frombuffer(packed, dtype=np.float64)
    except (struct.error, OverflowError):
        return np.array(values, dtype=np.float64)


def _padded(flat: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    longest = int(counts.max()) if counts.size else 0
    if counts.size * longest == flat.size:
        return flat.reshape(counts.size, longest)
    rows = np.full((counts.size, longest), np.nan)
    rows[np.arange(longest) < counts[:, None]] = flat
    return rows


def _padded_names(flat: Sequence[Any], counts: NDArray[np.int64]) -> NDArray[np.object_]:
    longest = int(counts.max()) if counts.size else 0
    rows: NDArray[np.object_] = np.full((counts.size, longest), None, dtype=object)
    texts: NDArray[np.object_] = np.empty(len(flat), dtype=object)
    texts[:] = list(flat)
    rows[np.arange(longest) < counts[:, None]] = texts
    return rows


def _best_first(
    rows: NDArray[np.float64], names: NDArray[np.object_] | None
) -> tuple[NDArray[np.float64], NDArray[np.object_] | None]:
    """Sort each row, unknown values last, and the names with it."""
    if names is None:
        return -np.sort(-rows, axis=1), None
    order = np.argsort(-rows, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(names, order, axis=1)


def _named(names: NDArray[np.object_], top: NDArray[np.float32]) -> list[Any]:
    kept: NDArray[np.object_] = np.full(top.shape, None, dtype=object)
    width = min(names.shape[1], top.shape[1])
    kept[:, :width] = names[:, :width]
    kept[np.isnan(top)] = None
    texts: list[Any] = kept.ravel().tolist()
    return texts


def _forget_sampled_outside(rows: NDArray[np.float64], chosen: NDArray[np.float64]) -> None:
    best_rest = np.fmin.reduce(rows[:, 1:], axis=1)
    first = rows[:, 0]
    outside = (first < best_rest) & (np.abs(first - chosen) <= ROUNDING)
    rows[outside, 0] = np.nan


def _width(rows: NDArray[np.float64], chosen: NDArray[np.float64], *, surely: bool) -> int:
    """Longest list, less one if every list of that length ends in the sampled token (k + 1 entries)."""
    width: int = rows.shape[1]
    if width < 2 or not rows.shape[0]:
        return width
    full = ~np.isnan(rows[:, -1])
    extra = bool(full.any()) and (not bool(full.all()) or (surely and len(rows) > 1))
    if extra and bool(np.all(np.abs(rows[full, -1] - chosen[full]) <= ROUNDING)):
        return width - 1
    return width


def _fit_width(rows: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    if rows.shape[1] >= width:
        return rows[:, :width]
    missing = np.full((rows.shape[0], width - rows.shape[1]), np.nan)
    return np.concatenate([rows, missing], axis=1)
