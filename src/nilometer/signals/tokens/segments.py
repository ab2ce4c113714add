"""Statistics of each segment of a flat array, for all segments at once; NaN for an empty segment."""

from collections.abc import Sequence

import numpy as np

from nilometer.arrays import AnyFloats, Float, Floats, Floats32, Ints

__all__ = ["Segments"]


class Segments:
    """Reductions over ``values[offsets[i]:offsets[i + 1]]`` for every i.

    Parameters
    ----------
    offsets
        Shape (segments + 1,), ascending, starting at 0.

    Examples
    --------
    >>> Segments(np.array([0, 2, 2, 3])).mean(np.array([1.0, 3.0, 5.0])).tolist()
    [2.0, nan, 5.0]
    """

    def __init__(self, offsets: Ints) -> None:
        self.offsets = offsets
        self.lengths = np.diff(offsets)
        self.filled = self.lengths > 0
        self._starts = offsets[:-1][self.filled]
        self.owner = np.repeat(np.arange(len(self.lengths)), self.lengths)
        self.position = np.arange(len(self.owner)) - offsets[:-1][self.owner]

    def sum(self, values: Float[AnyFloats, " tokens"]) -> Float[Floats, " segments"]:
        """Sum of each segment."""
        return self._reduce(np.add, values)

    def mean(self, values: Float[AnyFloats, " tokens"]) -> Float[Floats, " segments"]:
        """Mean of each segment."""
        return self.sum(values) / np.where(self.filled, self.lengths, 1)

    def max(self, values: Float[AnyFloats, " tokens"]) -> Float[Floats, " segments"]:
        """Largest value of each segment."""
        return self._reduce(np.maximum, values)

    def min(self, values: Float[AnyFloats, " tokens"]) -> Float[Floats, " segments"]:
        """Smallest value of each segment."""
        return self._reduce(np.minimum, values)

    def sort(self, values: Float[AnyFloats, " tokens"]) -> Float[Floats32, " tokens"]:
        """Sort each segment in ascending order, as float32.

        One radix-like sort of 64-bit keys (segment, value) is several times quicker than a lexsort.
        """
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
        flipped = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
        keys = (self.owner.astype(np.uint64) << np.uint64(32)) | flipped
        keys.sort()
        low = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        return np.where(low >> 31, low & np.uint32(0x7FFFFFFF), ~low).astype(np.uint32).view(np.float32)

    def quantile(self, ordered: Float[Floats32, " tokens"], q: float) -> Float[Floats, " segments"]:
        """Linearly interpolated quantile of each segment, from values that :meth:`sort` ordered."""
        out = np.full(len(self.lengths), np.nan)
        place = q * (self.lengths[self.filled] - 1)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, self.lengths[self.filled] - 1)
        low, high = ordered[self._starts + below], ordered[self._starts + above]
        out[self.filled] = low + (high.astype(np.float64) - low) * (place - below)
        return out

    def windows(
        self, values: Float[AnyFloats, " tokens"], widths: Sequence[int]
    ) -> list[tuple[Float[Floats, " segments"], Float[Floats, " segments"]]]:
        """Per width: lowest mean over that many consecutive values, and the mean of the last ones.

        A shorter segment counts as one window.
        """
        totals = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        ends = np.arange(1, len(values) + 1)
        return [self._windows(totals, ends, width) for width in widths]

    def _windows(self, totals: Floats, ends: Ints, width: int) -> tuple[Floats, Floats]:
        begins = np.maximum(ends - width, self.offsets[:-1][self.owner])
        last = np.full(len(self.lengths), np.nan)
        tail = self.offsets[1:][self.filled]
        last[self.filled] = (totals[tail] - totals[begins[tail - 1]]) / (tail - begins[tail - 1])
        if not self.filled.any() or self.lengths.max() <= width:
            return last, last
        whole = (ends - begins == width) | (ends == self.offsets[1:][self.owner])
        means = (totals[ends] - totals[begins]) / (ends - begins)
        return self.min(np.where(whole, means, np.inf)), last

    def _reduce(self, ufunc: np.ufunc, values: AnyFloats) -> Floats:
        out = np.full(len(self.lengths), np.nan)
        if self._starts.size:
            out[self.filled] = ufunc.reduceat(values.astype(np.float64, copy=False), self._starts)
        return out
