"""What was decided, what it risks, and how firmly it stands."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, overload

import pyarrow as pa

from nilometer.display import Displayed, visible_text
from nilometer.estimators import NotEnoughData

__all__ = ["Decision", "Decisions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer to one prompt that is best in expectation."""

    value: Any
    """The answer; None if abstaining is cheaper."""
    risk: float | None
    """Expected loss of the answer, smaller is better; the cost of abstaining if abstained. None for a metric of a
    whole batch, which does not split over answers."""
    runner_up: Any
    """The best other answer among those of the posterior; None if there is none."""
    regret: float | None
    """Risk of the runner-up less that of the answer, >= 0."""
    stability: float | NotEnoughData
    """Probability, in [0, 1], that unlimited samples would lead to the same answer."""
    n_effective: float | None
    """Effective number of samples; None for log-probabilities."""
    missing_mass: float
    """Probability that the model gave to anything else, in [0, 1)."""
    n_failures: int
    """Answers that could not be read and are not in the posterior."""
    rule: str
    abstained: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them: sets as sorted lists, an unknown stability as None with a reason."""
        fields = {key: _plain(value) for key, value in asdict(self).items() if key != "stability"}
        known = not isinstance(self.stability, NotEnoughData)
        reason = None if known else f"{self.stability.reason} {self.stability.needed}"  # type: ignore[union-attr]
        return {**fields, "stability": self.stability if known else None, "stability_reason": reason}


def _plain(value: Any) -> Any:
    """Turn sets and bags into lists, numpy numbers into Python's."""
    if isinstance(value, frozenset):
        return sorted(value, key=str)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


class Decisions(Displayed, Sequence[Decision]):
    """The decisions for a batch.

    ``expected`` is the metric expected of the whole batch under the posteriors: the mean risk, or the batch metric.
    """

    def __init__(self, rows: Iterable[Decision], *, rule: str, expected: float) -> None:
        self._rows = tuple(rows)
        self.rule = rule
        self.expected = expected

    @overload
    def __getitem__(self, index: int) -> Decision: ...
    @overload
    def __getitem__(self, index: slice) -> "Decisions": ...
    def __getitem__(self, index: int | slice) -> "Decision | Decisions":
        if isinstance(index, slice):
            return Decisions(self._rows[index], rule=self.rule, expected=self.expected)
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._rows)

    def __repr__(self) -> str:
        return f"Decisions({len(self)} by {visible_text(self.rule)}, expected {self.expected:.4g})"

    @property
    def values(self) -> list[Any]:
        """The answers in order."""
        return [row.value for row in self._rows]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary per decision."""
        return [row.to_dict() for row in self._rows]

    def to_arrow(self) -> pa.Table:
        """One row per decision; answers of mixed kinds become text."""
        rows = self.to_dicts()
        try:
            return pa.Table.from_pylist(rows)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return pa.Table.from_pylist(
                [{**row, "value": str(row["value"]), "runner_up": str(row["runner_up"])} for row in rows]
            )
