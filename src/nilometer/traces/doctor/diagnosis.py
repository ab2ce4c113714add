"""Is this data usable: what a set of traces holds, what is wrong with it, and which serving flag fixes it."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.display import Displayed

from ..wire.reader import TraceStream
from .census import TAIL_BINS, Census, ModelCensus
from .coverage import Coverage, KeyCoverage
from .rules import (
    Finding,
    SliceCoverage,
    change_findings,
    coverage_findings,
    infer_mode,
    model_findings,
    response_findings,
)

__all__ = ["Diagnosis", "ModelDiagnosis", "diagnose"]

_ORDER = {"error": 0, "warning": 1, "info": 2}
_QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDiagnosis:
    """What the traces of one model hold; every mapping counts responses by value."""

    model: str
    n_traces: int
    n_tokens: int
    k: Mapping[str, int]
    temperatures: Mapping[str, int]
    fingerprints: Mapping[str, int]
    providers: Mapping[str, int]
    logprobs_mode: str
    """``raw``, ``processed``, ``mixed`` or ``unknown``."""
    mode_evidence: str
    """How the mode was inferred, in words."""
    tail_mass: Mapping[str, float]
    """Quantiles over tokens of the probability outside the listed alternatives, each exact to 6 %."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Diagnosis(Displayed):
    """What a set of traces holds and what is wrong with it."""

    n_traces: int
    n_tokens: int
    n_without_logprobs: int
    """Responses without any log-probability."""
    n_tokens_without_logprobs: int
    """Tokens without a listed alternative."""
    reasons: Mapping[str, int]
    """Why responses have none, with counts."""
    n_truncated: int
    n_empty: int
    n_one_token: int
    n_duplicates: int
    n_short: int
    """Responses of which clearly fewer tokens are listed than the provider counted."""
    n_certain: int
    """Responses of several tokens, each of probability exactly 1."""
    n_copies: int
    """Responses that repeat both text and log-probabilities of another one."""
    n_labels: int
    """Responses with a label, from inside the traces or from the labels given."""
    n_unmatched_labels: int
    n_prompts: int | None
    """Responses that come with their prompt; None for profiles, which do not keep it."""
    first_time: str | None
    last_time: str | None
    """When the first and the last response came, ISO 8601 in UTC; None without any time."""
    n_without_time: int
    models: tuple[ModelDiagnosis, ...]
    keys: tuple[KeyCoverage, ...]
    """Attributes that the traffic can be cut by, with their values and labels."""
    coverage: tuple[SliceCoverage, ...]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"usable": self.usable, **dataclasses.asdict(self)}


def diagnose(
    batches: Iterable[pa.RecordBatch] | pa.Table,
    *,
    labels: pa.Table | None = None,
    by: str | Sequence[str] = (),
    stream: TraceStream | None = None,
) -> Diagnosis:
    """Judge whether traces, or profiles of them, can be used, in one pass.

    Memory grows by some 16 bytes a response (for duplicate ids and copies), whatever its length. Profiles do not keep
    what was listed for each token: tail mass, copies and lost tokens cannot be checked on them.

    Parameters
    ----------
    batches
        Record batches in ``TRACE_SCHEMA``, such as a :class:`TraceStream`, or a table; or profiles.
    labels
        Labels in ``LABEL_SCHEMA``, to count the coverage.
    by
        Slices for which the coverage is counted, as in :func:`slice_names`.
    stream
        Where the batches come from, if they are not the stream itself: it knows what could not be read.

    Raises
    ------
    ConfigError
        If `by` names nothing that any batch has.

    Examples
    --------
    >>> from nilometer.traces import TRACE_SCHEMA
    >>> rows = [{"trace_id": "a", "model": "m", "n_tokens": 2, "answer": "4"}]
    >>> diagnosis = diagnose(pa.Table.from_pylist(rows, schema=TRACE_SCHEMA))
    >>> diagnosis.usable, diagnosis.findings[0].message
    (False, 'No response carries log-probabilities.')
    """
    source = batches if isinstance(batches, TraceStream) else stream
    census, coverage = Census(), Coverage((by,) if isinstance(by, str) else tuple(by), labels)
    for batch in batches.to_batches() if isinstance(batches, pa.Table) else batches:
        census.add(batch)
        coverage.add(batch)
    unread = source.report.unread if source is not None else {}
    slices = coverage.by_slice()
    return Diagnosis(
        n_traces=census.n_traces,
        n_tokens=census.n_tokens,
        n_without_logprobs=census.n_without,
        n_tokens_without_logprobs=census.n_tokens_without,
        reasons=dict(census.reasons.most_common()),
        n_truncated=census.n_truncated,
        n_empty=census.n_empty,
        n_one_token=census.n_one_token,
        n_duplicates=census.n_duplicates,
        n_short=census.n_short,
        n_certain=census.n_certain,
        n_copies=census.n_copies,
        n_labels=coverage.n_labels,
        n_unmatched_labels=coverage.n_unmatched,
        n_prompts=coverage.n_prompts,
        first_time=_moment(coverage.first),
        last_time=_moment(coverage.last),
        n_without_time=coverage.n_without_time,
        models=tuple(_model(name, model) for name, model in sorted(census.models.items())),
        keys=coverage.by_key(),
        coverage=slices if coverage.by else (),
        findings=_findings(census, coverage, slices, unread=unread),
    )


def _findings(
    census: Census, coverage: Coverage, slices: Sequence[SliceCoverage], *, unread: Mapping[str, int]
) -> tuple[Finding, ...]:
    """What to know about the data, errors first."""
    has_labels = coverage.labels is not None
    found = [
        *response_findings(census, unread),
        *(finding for name, model in census.models.items() for finding in model_findings(name, model)),
        *change_findings(coverage.spans),
        *coverage_findings(slices, coverage.n_unmatched, has_labels=has_labels),
    ]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def _moment(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")


def _model(name: str, model: ModelCensus) -> ModelDiagnosis:
    mode, evidence = infer_mode(model)
    return ModelDiagnosis(
        model=name,
        n_traces=model.n_traces,
        n_tokens=model.n_tokens,
        k=dict(model.k.most_common()),
        temperatures=dict(model.temperatures.most_common()),
        fingerprints=dict(model.fingerprints.most_common()),
        providers=dict(model.providers.most_common()),
        logprobs_mode=mode,
        mode_evidence=evidence,
        tail_mass=_quantiles(model.tail),
    )


def _quantiles(counts: NDArray[np.int64]) -> dict[str, float]:
    if not counts.sum():
        return {}
    below = np.cumsum(counts) / counts.sum()
    return {f"q{int(q * 100)}": float(TAIL_BINS[np.searchsorted(below, q)]) for q in _QUANTILES}
