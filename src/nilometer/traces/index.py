"""Which slice each response belongs to, as codes and names: each name is held once, however many responses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["SliceIndex", "index_slices"]


@dataclass(frozen=True, slots=True, eq=False)
class SliceIndex:
    """The slice of each of n responses.

    Examples
    --------
    >>> index = index_slices(["b", "a", "b"])
    >>> index.names, index.codes.tolist(), index.counts.tolist()
    (('a', 'b'), [1, 0, 1], [1, 2])
    """

    codes: NDArray[np.int64]
    """Shape (n,), the place of each response's slice in ``names``."""
    names: tuple[str, ...]
    """Sorted and distinct; every one has a response."""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Responses of every slice, shape (slices,)."""
        return np.bincount(self.codes, minlength=len(self.names))

    def take(self, rows: NDArray[Any]) -> "SliceIndex":
        """Return the selected responses, and the names that occur among them."""
        codes = self.codes[rows]
        found = np.bincount(codes, minlength=len(self.names)) > 0
        if found.all():
            return SliceIndex(codes, self.names)
        place = np.cumsum(found) - 1
        return SliceIndex(place[codes], tuple(np.array(self.names, dtype=object)[found]))

    def rows(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Yield every name with the rows of its responses, in their order."""
        ordered = np.argsort(self.codes, kind="stable")
        parts = np.split(ordered, np.cumsum(self.counts)[:-1]) if self.names else []
        yield from zip(self.names, parts, strict=True)

    def thin(self, most: int) -> NDArray[np.int64]:
        """Return the rows of at most so many responses of every slice, evenly spaced, in their order.

        Examples
        --------
        >>> index_slices(["a", "a", "a", "b", "a"]).thin(2).tolist()
        [1, 3, 4]
        """
        order = np.argsort(self.codes, kind="stable")
        counts = self.counts
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        size = np.repeat(counts, counts)
        kept = np.minimum(size, most)
        return np.sort(order[(rank + 1) * kept // np.maximum(size, 1) > rank * kept // np.maximum(size, 1)])

    def is_in(self, name: str) -> NDArray[np.bool_]:
        """Return which responses belong to one slice, shape (n,)."""
        return np.asarray(self.codes == (self.names.index(name) if name in self.names else -1))

    def to_arrow(self) -> pa.DictionaryArray:
        """Return the names as a dictionary array."""
        return pa.DictionaryArray.from_arrays(pa.array(self.codes, pa.int32()), pa.array(self.names, pa.string()))


def index_slices(values: Any) -> SliceIndex:
    """Index the names of slices, given for each response as text or numbers, in a list or an array of any library.

    Raises
    ------
    ValueError
        If a name is missing.

    Examples
    --------
    >>> index_slices(np.array([2, 10, 2])).names
    ('10', '2')
    """
    if isinstance(values, SliceIndex):
        return values
    encoded = _encoded(values)
    if encoded.null_count:
        raise ValueError(f"slice names must not be missing, got {encoded.null_count:,} without one.")
    found = [str(name) for name in encoded.dictionary.to_pylist()]
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    names = sorted({found[code] for code in np.unique(codes).tolist()})
    place = {name: i for i, name in enumerate(names)}
    return SliceIndex(np.array([place.get(name, -1) for name in found], dtype=np.int64)[codes], tuple(names))


def _encoded(values: Any) -> pa.DictionaryArray:
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        values = pa.array(values.tolist() if isinstance(values, np.ndarray) else list(values))
    if pa.types.is_dictionary(values.type):
        return values.unify_dictionaries().combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    encoded = pc.dictionary_encode(values)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries()
        encoded = encoded.combine_chunks() if encoded.num_chunks else pa.array([], encoded.type)
    return encoded
