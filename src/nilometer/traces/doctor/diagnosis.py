"""Is this data usable: what a set of traces holds, what is wrong with it, and which serving flag fixes it."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.display import Displayed
from nilometer.errors import ConfigError

from ..slices import slice_names
from ..wire.reader import TraceStream
from .census import TAIL_BINS, Census, ModelCensus
from .rules import Finding, SliceCoverage, coverage_findings, infer_mode, model_findings, response_findings

__all__ = ["Diagnosis", "ModelDiagnosis", "diagnose"]

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
    models: tuple[ModelDiagnosis, ...]
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
    """Judge whether traces can be used, in one pass.

    Memory grows by some 21 bytes a response (for duplicate ids, copies and coverage), 8 more with labels, whatever its
    length.

    Parameters
    ----------
    batches
        Record batches in ``TRACE_SCHEMA``, such as a :class:`TraceStream`, or a table.
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
    census, coverage = Census(), _Coverage((by,) if isinstance(by, str) else tuple(by), has_labels=labels is not None)
    for batch in batches.to_batches() if isinstance(batches, pa.Table) else batches:
        census.add(batch)
        coverage.add(batch)
    slices, n_unmatched = coverage.finish(labels)
    n_labels = sum(item.n_labels for item in slices)
    findings = [
        *response_findings(census, source.report.unread if source is not None else {}),
        *(finding for name, model in census.models.items() for finding in model_findings(name, model)),
        *coverage_findings(slices, n_unmatched, has_labels=labels is not None),
    ]
    order = {"error": 0, "warning": 1, "info": 2}
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
        n_labels=n_labels,
        n_unmatched_labels=n_unmatched,
        models=tuple(_model(name, model) for name, model in sorted(census.models.items())),
        coverage=tuple(slices) if coverage.by else (),
        findings=tuple(sorted(findings, key=lambda finding: order[finding.severity])),
    )


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


@dataclass(slots=True)
class _Coverage:
    """Slice and inline label of every response, 5 bytes each, and the hash of its id where there are labels."""

    by: tuple[str, ...]
    has_labels: bool = False
    ids: list[NDArray[np.int64]] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    codes: list[NDArray[np.int32]] = field(default_factory=list)
    inline: list[NDArray[np.bool_]] = field(default_factory=list)
    refused: ConfigError | None = None
    n_read: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        if self.has_labels:
            self.ids.append(np.fromiter(map(hash, batch.column("trace_id").to_pylist()), np.int64, batch.num_rows))
        self.inline.append(batch.column("correct").is_valid().to_numpy(zero_copy_only=False))
        encoded = self._names(batch).dictionary_encode()
        places = [self.names.setdefault(name, len(self.names)) for name in encoded.dictionary.to_pylist()]
        self.codes.append(np.array(places, dtype=np.int32)[encoded.indices.to_numpy()])

    def _names(self, batch: pa.RecordBatch) -> pa.Array:
        try:
            names = slice_names(batch, self.by)
        except ConfigError as exc:  # a key may be absent from some batches, but not from all
            self.refused = exc
            return pa.array(["(none)"] * batch.num_rows, pa.string())
        self.n_read += 1
        return names

    def finish(self, labels: pa.Table | None) -> tuple[list[SliceCoverage], int]:
        if self.refused is not None and not self.n_read:
            raise self.refused
        if not self.codes:
            return [], 0 if labels is None else labels.num_rows
        labelled, n_unmatched = np.concatenate(self.inline), 0
        if labels is not None:
            ids = np.concatenate(self.ids)
            given = np.unique(np.fromiter(map(hash, labels["trace_id"].to_pylist()), np.int64, labels.num_rows))
            labelled = labelled | np.isin(ids, given)
            n_unmatched = int((~np.isin(given, ids)).sum())
        codes = np.concatenate(self.codes)
        n = np.bincount(codes, minlength=len(self.names))
        with_label = np.bincount(codes[labelled], minlength=len(self.names))
        slices = [SliceCoverage(name, int(n[i]), int(with_label[i])) for name, i in self.names.items()]
        return sorted(slices, key=lambda item: item.slice), n_unmatched
