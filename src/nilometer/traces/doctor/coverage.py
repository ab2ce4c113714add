"""What traffic can be cut by, and how far labels reach: slices, attributes with their values, and time."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nilometer.errors import ConfigError

from ..slices import NO_SLICE, slice_names
from .census import UNKNOWN
from .rules import SliceCoverage

__all__ = ["Coverage", "KeyCoverage"]

MOST_VALUES = 1000
"""Values of an attribute that are counted; one with more, such as the number of a request, is no slice key."""


@dataclass(frozen=True, slots=True)
class KeyCoverage:
    """An attribute that traffic can be cut by."""

    key: str
    n: int
    """Responses that have it."""
    values: tuple[SliceCoverage, ...] | None
    """Its values, those of most responses first; None if they are more than a thousand."""


@dataclass(slots=True)
class _Tally:
    """How often each name occurs, and how often with a label."""

    counts: Counter[str] = field(default_factory=Counter)
    labelled: Counter[str] = field(default_factory=Counter)

    def add(self, names: pa.Array, labelled: NDArray[np.bool_]) -> None:
        encoded = names.dictionary_encode()
        codes, known = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
        for counter, rows in ((self.counts, codes), (self.labelled, codes[labelled])):
            found = np.bincount(rows, minlength=len(known)).tolist()
            counter.update({name: n for name, n in zip(known, found, strict=True) if n})

    def sorted(self) -> tuple[SliceCoverage, ...]:
        return tuple(SliceCoverage(name, n, self.labelled[name]) for name, n in sorted(self.counts.items()))


@dataclass(slots=True)
class _Values:
    n: int = 0
    tally: _Tally | None = field(default_factory=_Tally)

    def add(self, values: pa.Array, labelled: NDArray[np.bool_]) -> None:
        known = values.is_valid().to_numpy(zero_copy_only=False)
        self.n += int(known.sum())
        if self.tally is None:
            return
        self.tally.add(values.drop_null(), labelled[known])
        if len(self.tally.counts) > MOST_VALUES:
            self.tally = None

    def ranked(self) -> tuple[SliceCoverage, ...] | None:
        return None if self.tally is None else tuple(sorted(self.tally.sorted(), key=lambda item: -item.n))


@dataclass(slots=True)
class Coverage:
    """Counts of slices, attributes and labels; memory grows with their values, not with the responses."""

    by: tuple[str, ...]
    labels: pa.Table | None = None
    slices: _Tally = field(default_factory=_Tally)
    keys: dict[str, _Values] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    n_without_time: int = 0
    spans: dict[str, dict[str, tuple[datetime, datetime]]] = field(default_factory=dict)
    """First and last time of every fingerprint of every model."""
    n_prompts: int | None = None
    refused: ConfigError | None = None
    n_read: int = 0
    _given: NDArray[np.int64] = field(init=False)
    _seen: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        """Hash the ids of the labels."""
        ids = [] if self.labels is None else self.labels["trace_id"].to_pylist()
        self._given = np.unique(np.fromiter(map(hash, ids), np.int64, len(ids)))
        self._seen = np.zeros(len(self._given), dtype=bool)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count one batch of traces or profiles."""
        labelled = batch.column("correct").is_valid().to_numpy(zero_copy_only=False) | self._matched(batch)
        self.slices.add(self._names(batch), labelled)
        self._count_attributes(batch, labelled)
        self._count_times(batch)
        if "prompt" in batch.schema.names:
            self.n_prompts = (self.n_prompts or 0) + batch.num_rows - batch.column("prompt").null_count

    @property
    def n_unmatched(self) -> int:
        """Labelled ids that no response has."""
        return int((~self._seen).sum())

    @property
    def n_labels(self) -> int:
        """Responses with a label."""
        return self.slices.labelled.total()

    def by_slice(self) -> tuple[SliceCoverage, ...]:
        """Responses and labels of every slice, by name.

        Raises
        ------
        ConfigError
            If `by` names nothing that any batch has.
        """
        if self.refused is not None and not self.n_read:
            raise self.refused
        return self.slices.sorted()

    def by_key(self) -> tuple[KeyCoverage, ...]:
        """Attributes with their values."""
        return tuple(KeyCoverage(key, values.n, values.ranked()) for key, values in sorted(self.keys.items()))

    def _matched(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        if not len(self._given):
            return np.zeros(batch.num_rows, dtype=bool)
        ids = np.fromiter(map(hash, batch.column("trace_id").to_pylist()), np.int64, batch.num_rows)
        places = np.minimum(np.searchsorted(self._given, ids), len(self._given) - 1)
        matched = self._given[places] == ids
        self._seen[places[matched]] = True
        return np.asarray(matched)

    def _names(self, batch: pa.RecordBatch) -> pa.Array:
        try:
            names = slice_names(batch, self.by)
        except ConfigError as exc:  # a key may be absent from some batches, but not from all
            self.refused = exc
            return pa.array([NO_SLICE] * batch.num_rows, pa.string())
        self.n_read += 1
        return names

    def _count_attributes(self, batch: pa.RecordBatch, labelled: NDArray[np.bool_]) -> None:
        pairs = batch.column("attributes")
        lengths = np.diff(pairs.offsets.to_numpy())
        start, end = pairs.offsets[0].as_py(), pairs.offsets[-1].as_py()
        keys, values = (part.slice(start, end - start) for part in (pairs.keys, pairs.items))
        of = np.repeat(labelled, lengths)
        for key in pc.unique(keys).to_pylist():
            rows = pc.equal(keys, key)
            found = self.keys.setdefault(key, _Values())
            own = values.filter(rows).cast(pa.string())
            found.add(own, of[rows.to_numpy(zero_copy_only=False)])

    def _count_times(self, batch: pa.RecordBatch) -> None:
        self.n_without_time += batch.column("time").null_count
        table = pa.table({name: batch.column(name) for name in ("model", "model_fingerprint", "time")})
        ends = table.group_by(["model", "model_fingerprint"]).aggregate([("time", "min"), ("time", "max")])
        for row in ends.to_pylist():
            if row["time_min"] is None:
                continue
            first, last = row["time_min"], row["time_max"]
            self.first, self.last = min(self.first or first, first), max(self.last or last, last)
            if row["model_fingerprint"] is not None:
                of_model = self.spans.setdefault(row["model"] or UNKNOWN, {})
                before = of_model.get(row["model_fingerprint"], (first, last))
                of_model[row["model_fingerprint"]] = (min(before[0], first), max(before[1], last))
