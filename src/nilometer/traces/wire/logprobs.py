"""Log-probabilities of one response, from what a provider listed to clean arrays."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.errors import TraceFormatError

__all__ = ["BELOW_CUTOFF", "ROUNDING", "TokenLogprobs", "clean_logprobs"]

BELOW_CUTOFF = -9999.0
"""Providers write this value or a smaller one for "below the cut-off, unknown"."""

ROUNDING = 1e-3
"""A logprob above zero by less than this is a rounding error of the provider; it becomes 0."""

Value = float | str | None


class TokenLogprobs(NamedTuple):
    """Clean log-probabilities of one response."""

    chosen: NDArray[np.float32]
    """Shape (tokens,), NaN where unknown."""
    top: NDArray[np.float32]
    """Shape (tokens, k), best first, NaN where the provider gave fewer."""


def clean_logprobs(
    chosen: Sequence[Value],
    alternatives: Sequence[Value],
    counts: Sequence[int],
    *,
    k: int | None = None,
    sampled_first: bool = False,
    sampled_added: bool = False,
) -> TokenLogprobs:
    """Turn the listed log-probabilities of one response into arrays of shape (tokens,) and (tokens, k).

    Values at or below -9999, ``null``, ``"-inf"`` and NaN become NaN ("not given"). Rows are sorted best
    first. Where a provider lists k + 1 alternatives because the sampled token is outside the k best, the
    extra one goes; where it lists the sampled token first and drops the k-th best for it (vLLM chat), a first
    entry smaller than all others is not known to be among the k best, so it becomes NaN.

    Parameters
    ----------
    chosen
        Log-probability of each sampled token, nats.
    alternatives
        All listed alternatives, token after token.
    counts
        How many alternatives each token has; sums to ``len(alternatives)``.
    k
        How many alternatives were asked for; None takes the longest list.
    sampled_first
        Whether the provider may list the sampled token first, whatever its rank.
    sampled_added
        Whether the provider adds the sampled token to the k best. With it, lists that all end in the sampled
        token have k + 1 entries, too: at two tokens or more that is likelier than it being the k-th each time.

    Raises
    ------
    TraceFormatError
        If a log-probability is above 0.001, or is not a number.

    Examples
    --------
    >>> clean = clean_logprobs([-0.5, -9999.0], [-2.0, -0.5, -0.1], [2, 1])
    >>> clean.chosen.tolist()
    [-0.5, nan]
    >>> clean.top.round(1).tolist()
    [[-0.5, -2.0], [-0.10000000149011612, nan]]
    """
    picked = _numbers(chosen)
    rows = _padded(_numbers(alternatives), np.asarray(counts, dtype=np.int64))
    if sampled_first and rows.shape[1] > 1:
        _forget_sampled_outside(rows, picked)
    if rows.shape[1] > 1 and not bool(np.all(rows[:, :-1] >= rows[:, 1:])):
        rows = -np.sort(-rows, axis=1)
    width = _width(rows, picked, surely=sampled_added) if k is None else max(k, 0)
    return TokenLogprobs(picked.astype(np.float32), _fit_width(rows, width).astype(np.float32))


def _numbers(values: Sequence[Value]) -> NDArray[np.float64]:
    try:
        numbers: NDArray[np.float64] = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise TraceFormatError(f"a `logprob` must be a number or null ({exc}).") from exc
    if not numbers.size:
        return numbers
    # fmax ignores NaN, and -inf is a value like any other here
    highest = float(np.fmax.reduce(numbers))
    if highest > ROUNDING:
        raise TraceFormatError(f"a `logprob` must be <= 0, got {highest:g}.")
    np.minimum(numbers, 0.0, out=numbers)
    numbers[numbers <= BELOW_CUTOFF] = np.nan
    return numbers


def _padded(flat: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    longest = int(counts.max()) if counts.size else 0
    if counts.size * longest == flat.size:
        return flat.reshape(counts.size, longest)
    rows = np.full((counts.size, longest), np.nan)
    rows[np.arange(longest) < counts[:, None]] = flat
    return rows


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
