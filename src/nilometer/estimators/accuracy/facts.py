"""What is known of a slice before its interval is made, and how an estimate says it."""

from typing import Any, NamedTuple

from nilometer.arrays import Floats

from .support import Outside

__all__ = ["SliceFacts", "bound_of", "realized_of", "said_of"]


class SliceFacts(NamedTuple):
    """What is known of a slice before its interval is made."""

    name: str
    n: int
    n_labels: int
    n_correct: float
    n_effective: float
    """Responses that would tell as much if all had the same probability of capture; n where they have."""
    n_known: float
    """Those of ``n_effective`` that have every number the rules need."""
    outside: Outside | None
    accuracies: Floats
    """Shape (1 + refits,): accuracy by the slice's own rule, then by the rules fitted on labels drawn again."""
    related: str = ""
    """In what its responses without log-probabilities differ from the others."""
    own: tuple[float, float, int] | None = None
    """Accuracy by the slice's own labels, its standard deviation, and their number, where it has enough of them."""
    sampling: float = 0.0
    """Variance of the accuracies because only some responses have second opinions."""
    note: str = ""
    """What a reader should know of how it was estimated."""

    @property
    def missing(self) -> float:
        """Share of responses without log-probabilities."""
        return 1 - self.n_known / self.n_effective


def bound_of(facts: SliceFacts, low: float, high: float) -> dict[str, Any]:
    """Return what holds of all responses whatever those without log-probabilities are; nothing where there are none."""
    if not facts.missing:
        return {}
    known = 1 - facts.missing
    return {"missing_share": facts.missing, "bound_low": known * low, "bound_high": known * high + facts.missing}


def said_of(facts: SliceFacts, bound: dict[str, Any]) -> str:
    """Say what part has no log-probabilities, and what it can do; nothing where there is none."""
    if not bound:
        return ""
    ends = f"{bound['bound_low']:.2f} to {bound['bound_high']:.2f} whatever they are"
    related = f" and differ in {facts.related}" if facts.related else ""
    return f"{facts.missing:.0%} of the responses have no log-probabilities{related}: {ends}"


def realized_of(facts: SliceFacts) -> dict[str, Any]:
    """Return the labels and the accuracy that they say."""
    return {
        "n_labels": facts.n_labels,
        "realized_accuracy": facts.n_correct / facts.n_labels if facts.n_labels else None,
    }
