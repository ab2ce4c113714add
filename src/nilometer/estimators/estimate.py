"""What is believed about one slice: an estimate with its interval, or that there is not enough data."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import pyarrow as pa

from nilometer.display import Displayed

__all__ = ["Estimate", "NotEnoughData", "SliceEstimates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The accuracy of one slice.

    ``low`` and ``high`` hold the accuracy of the slice's responses with probability ``confidence_level``,
    if the slice is exchangeable with the labelled ones. All numbers lie in [0, 1].
    """

    slice: str
    n: int
    accuracy: float
    low: float
    high: float
    confidence_level: float
    method: str
    n_labels: int = 0
    realized_accuracy: float | None = None
    in_support: bool = True
    note: str = ""
    conformal_low: float | None = None
    """Ends of the distribution-free interval, where enough families are labelled for the level."""
    conformal_high: float | None = None
    spread: float | None = None
    """Scale of the Student t that the interval was made from, before it was cut to [0, 1]."""
    degrees: float | None = None
    """Its degrees of freedom; infinite for a normal distribution."""
    missing_share: float = 0.0
    """Share of the responses without log-probabilities; the estimate is made from the others."""
    bound_low: float | None = None
    """Ends of the interval if all of those are wrong, or all are correct; None where there are none."""
    bound_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEnoughData:
    """A slice whose accuracy cannot be known: why, and what would change that."""

    slice: str
    n: int
    reason: str
    needed: str
    n_labels: int = 0
    realized_accuracy: float | None = None


class SliceEstimates(Displayed, Sequence[Estimate | NotEnoughData]):
    """The estimates of several slices.

    Examples
    --------
    >>> few = NotEnoughData(slice="a", n=1, reason="one response", needed="more")
    >>> SliceEstimates([few]).to_dicts()[0]["accuracy"] is None
    True
    """

    def __init__(self, rows: Iterable[Estimate | NotEnoughData]) -> None:
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> Estimate | NotEnoughData: ...
    @overload
    def __getitem__(self, index: slice) -> "SliceEstimates": ...
    def __getitem__(self, index: int | slice) -> "Estimate | NotEnoughData | SliceEstimates":
        return SliceEstimates(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Estimate | NotEnoughData]:
        return iter(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SliceEstimates) and self._rows == other._rows

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        unknown = sum(isinstance(row, NotEnoughData) for row in self._rows)
        return f"SliceEstimates({len(self):,} slices, {unknown:,} unknown)"

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary per slice with the same keys for both kinds; what is not known is None."""
        empty = dict.fromkeys([*_FIELDS[Estimate], "reason", "needed"])
        return [empty | {name: getattr(row, name) for name in _FIELDS[type(row)]} for row in self._rows]

    def to_arrow(self) -> pa.Table:
        """One row per slice; what is not known is null."""
        return pa.Table.from_pylist(self.to_dicts(), schema=_SCHEMA)

    def to_pandas(self) -> Any:
        """Return the same table as a pandas data frame."""
        return self.to_arrow().to_pandas()


_FIELDS = {kind: tuple(kind.__dataclass_fields__) for kind in (Estimate, NotEnoughData)}
_SCHEMA = pa.schema(
    {
        "slice": pa.string(),
        "n": pa.int64(),
        **dict.fromkeys(("accuracy", "low", "high", "confidence_level"), pa.float64()),
        "method": pa.string(),
        "n_labels": pa.int64(),
        "realized_accuracy": pa.float64(),
        "in_support": pa.bool_(),
        "note": pa.string(),
        **dict.fromkeys(("conformal_low", "conformal_high", "spread", "degrees"), pa.float64()),
        **dict.fromkeys(("missing_share", "bound_low", "bound_high"), pa.float64()),
        **dict.fromkeys(("reason", "needed"), pa.string()),
    }
)
