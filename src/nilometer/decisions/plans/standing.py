"""What is known of a slice when a plan of labels is made, as a row of the plan."""

from dataclasses import dataclass
from typing import Any

from nilometer.estimators import Estimate, NotEnoughData

__all__ = ["Standing", "standing_of"]

_ENDS = ("accuracy", "low", "high", "method", "spread", "degrees")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The number of a slice before the plan's labels; None where it is not known."""

    slice: str
    n: int
    n_labels: int
    realized_accuracy: float | None
    confidence_level: float | None
    accuracy: float | None
    low: float | None
    high: float | None
    method: str | None
    spread: float | None
    """Scale that the interval was made from, see ``Estimate``."""
    degrees: float | None

    @property
    def half_width(self) -> float:
        """Half of the length of the interval now; 0.5 where nothing is known."""
        return 0.5 if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def estimate(self) -> Estimate | NotEnoughData:
        """The number of the slice."""
        if self.accuracy is None:
            needed = "Label at least 2 of its responses."
            return NotEnoughData(
                slice=self.slice,
                n=self.n,
                reason="Nothing is known of it yet.",
                needed=needed,
                n_labels=self.n_labels,
                realized_accuracy=self.realized_accuracy,
            )
        return Estimate(
            **{name: getattr(self, name) for name in (*_ENDS, "slice", "n", "confidence_level")},
            n_labels=self.n_labels,
            realized_accuracy=self.realized_accuracy,
        )

    @property
    def n_correct(self) -> float:
        """Sum of its labels."""
        return self.n_labels * (self.realized_accuracy or 0.0)


def standing_of(row: Estimate | NotEnoughData) -> Standing:
    """Make the row of a slice from its number."""
    known = row if isinstance(row, Estimate) else None
    ends: dict[str, Any] = {name: getattr(known, name, None) for name in (*_ENDS, "confidence_level")}
    return Standing(slice=row.slice, n=row.n, n_labels=row.n_labels, realized_accuracy=row.realized_accuracy, **ends)
