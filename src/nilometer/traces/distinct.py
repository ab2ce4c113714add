"""Counting different values of any number at eight bytes each."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Distinct"]

_LARGEST_RUN = 1 << 22
"""Longer runs are not merged any more, so that merging never takes much room."""


class Distinct:
    r"""The hashes of the values seen so far, as sorted runs of 64 bits each.

    Two different values are taken for one with probability of at most :math:`n^2 / 2^{65}` among n: 3e-8 for a million.

    Examples
    --------
    >>> seen = Distinct()
    >>> seen.add(["a", "b", "a"]), seen.add(["b", "c"])
    (1, 1)
    >>> seen.n_values, seen.n_repeated
    (5, 2)
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []
        self.n_values = 0
        """Values given."""
        self.n_repeated = 0
        """Those of them that came before."""

    def add(self, values: Iterable[object]) -> int:
        """Take values and return how many of them came before."""
        return self._add(np.fromiter(map(hash, values), np.int64))

    def update(self, other: "Distinct") -> None:
        """Take the values that another one has seen."""
        missing = other.n_repeated
        for run in other._runs:
            self._add(run)
        self.n_values += missing
        self.n_repeated += missing

    def _add(self, hashes: NDArray[np.int64]) -> int:
        fresh = np.unique(hashes)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, fresh), len(run) - 1)
            fresh = fresh[run[places] != fresh]
        n_repeated = len(hashes) - len(fresh)
        self.n_values += len(hashes)
        self.n_repeated += n_repeated
        if len(fresh):
            self._runs.append(fresh)
            self._merge()
        return n_repeated

    def _merge(self) -> None:
        """Merge the last runs until each is at least twice as long as the next."""
        runs = self._runs
        while len(runs) > 1 and len(runs[-2]) < 2 * len(runs[-1]) and len(runs[-2]) <= _LARGEST_RUN:
            merged = np.concatenate(runs[-2:])
            merged.sort()
            runs[-2:] = [merged]
