"""One pass over traces into counts from which the doctor judges; counts of parts can be merged."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..distinct import Distinct
from ..schema import CUT_OFF_REASONS

__all__ = ["TAIL_BINS", "UNKNOWN", "Census", "ModelCensus"]

UNKNOWN = "(unknown)"
"""Stands for a value that a response does not have."""

TAIL_BINS = np.concatenate([[0.0], np.logspace(-6, 0, 241)])
"""Edges of the histogram of tail mass; quantiles are exact to one bin, that is 6 %."""

_WHOLE = 1e-3
_FEW = 1
_SHORT = 0.1
_SEVERAL = 4
_COMPARED = 64
_FEATURES = ("nll_sum", "mean")
"""The features of a profile that are unknown where no chosen, and where no listed log-probabilities were given."""
_PIECES = ("token_id:", "\ufffd", "\u2581", "\u0120", "<0x")
"""Marks of token texts that are no plain text: ids, halves of characters, pieces of a vocabulary."""


@dataclass(slots=True)
class ModelCensus:
    """Counts for one model."""

    n_traces: int = 0
    n_tokens: int = 0
    n_listed: int = 0
    """Tokens with at least one listed alternative."""
    n_whole: int = 0
    """Tokens with 2 or more alternatives whose listed mass is 1 within 0.001."""
    n_greedy: int = 0
    """Tokens of responses at temperature 0 with a known best alternative."""
    n_certain: int = 0
    """Those of them whose best alternative has probability exactly 1."""
    k: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    temperatures: Counter[str] = field(default_factory=Counter)
    fingerprints: Counter[str] = field(default_factory=Counter)
    providers: Counter[str] = field(default_factory=Counter)
    tail: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(TAIL_BINS), dtype=np.int64))

    def merge(self, other: "ModelCensus") -> None:
        """Add the counts of another part."""
        _merge(self, other)


@dataclass(slots=True)
class Census:
    """Counts over all traces; memory grows by 16 bytes a trace, for hashes of ids and contents, and otherwise not."""

    n_traces: int = 0
    n_tokens: int = 0
    n_without: int = 0
    """Responses without any log-probability."""
    n_tokens_without: int = 0
    """Tokens without a listed alternative, in responses that have log-probabilities or not."""
    n_empty: int = 0
    n_one_token: int = 0
    n_truncated: int = 0
    n_inline_labels: int = 0
    n_short: int = 0
    """Responses of which clearly fewer tokens are listed than the provider counted."""
    n_tokens_short: int = 0
    """Tokens that these lack."""
    n_certain: int = 0
    """Responses of several tokens, each of probability exactly 1."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why responses have no log-probabilities."""
    models: dict[str, ModelCensus] = field(default_factory=dict)
    n_compared: int = 0
    """Responses whose listed tokens were compared with the answer: the first few of each batch."""
    n_misspelt: int = 0
    """Those of them whose tokens spell something else."""
    ids: Distinct = field(default_factory=Distinct)
    contents: Distinct = field(default_factory=Distinct)
    """Text and log-probabilities of each response of several tokens."""

    n_profiles: int = 0
    """Responses of which only the profile is there."""

    def add(self, batch: pa.RecordBatch) -> None:
        """Count one batch in ``TRACE_SCHEMA``, or of profiles."""
        is_profile = "chosen_logprobs" not in batch.schema.names
        missing = _unknown_features(batch) if is_profile else _without_logprobs(batch)
        lengths = _lengths(batch)
        self.n_traces += batch.num_rows
        self.n_tokens += int(lengths.sum())
        self.n_without += int(missing.sum())
        self.n_tokens_without += int(lengths[missing].sum())
        self.n_one_token += int((lengths == 1).sum())
        self.n_empty += int(_empty(batch, lengths).sum())
        self.n_truncated += int(np.isin(_texts(batch, "finish_reason"), CUT_OFF_REASONS).sum())
        self.n_inline_labels += batch.num_rows - batch.column("correct").null_count
        self.ids.add(batch.column("trace_id").to_pylist())
        self._count_reasons(batch, missing, lengths)
        self._count_models(batch, lengths)
        if is_profile:
            self._count_profiles(batch, lengths)
            return
        self._count_wrong(batch, lengths)
        self._compare_texts(batch)
        self._count_tokens(batch, lengths)

    def merge(self, other: "Census") -> None:
        """Add the counts of another part, made in the same process."""
        _merge(self, other)

    @property
    def n_duplicates(self) -> int:
        """Responses whose ``trace_id`` came before."""
        return self.ids.n_repeated

    @property
    def n_copies(self) -> int:
        """Responses whose text and log-probabilities came before, all equal."""
        return self.contents.n_repeated

    def _count_wrong(self, batch: pa.RecordBatch, lengths: NDArray[np.int64]) -> None:
        """Count what cannot be right: tokens that are not listed, answers that were certain throughout, copies."""
        column = batch.column("chosen_logprobs")
        listed = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        short = (listed > 0) & (lengths - listed > np.maximum(_FEW, _SHORT * lengths))
        self.n_short += int(short.sum())
        self.n_tokens_short += int((lengths - listed)[short].sum())
        rows = np.flatnonzero(listed >= _SEVERAL)
        sums = np.array([float(np.sum(column[int(row)].values.to_numpy(zero_copy_only=False))) for row in rows])
        self.n_certain += int((sums == 0).sum())
        answers = batch.column("answer").take(pa.array(rows, pa.int64())).to_pylist()
        self.contents.add(zip(answers, sums.tolist(), strict=True))

    def _count_profiles(self, batch: pa.RecordBatch, lengths: NDArray[np.int64]) -> None:
        """Count what profiles still tell: tokens with alternatives, and answers that were certain throughout."""
        self.n_profiles += batch.num_rows
        sums, entropies = (batch.column(name).to_numpy(zero_copy_only=False) for name in _FEATURES)
        self.n_certain += int(((lengths >= _SEVERAL) & (sums == 0)).sum())
        names = _texts(batch, "model")
        for name in np.unique(names):
            listed = (names == name) & ~np.isnan(entropies)
            self.models[str(name)].n_listed += int(lengths[listed].sum())
        self.n_tokens_without += int(lengths[np.isnan(entropies) & ~np.isnan(sums)].sum())

    def _compare_texts(self, batch: pa.RecordBatch) -> None:
        """Count answers that their own tokens do not spell; a server may list the likeliest token for the sampled."""
        few = batch.slice(0, _COMPARED)
        for answer, tokens in zip(few.column("answer").to_pylist(), few.column("tokens").to_pylist(), strict=True):
            if not answer or not tokens or any(mark in token for token in tokens for mark in _PIECES):
                continue
            said, listed = "".join(answer.split()), "".join("".join(tokens).split())
            self.n_compared += 1
            self.n_misspelt += said not in listed and listed not in said

    def _count_reasons(self, batch: pa.RecordBatch, missing: NDArray[np.bool_], lengths: NDArray[np.int64]) -> None:
        finish, models = _texts(batch, "finish_reason"), _texts(batch, "model")
        empty = _empty(batch, lengths)
        for row in np.flatnonzero(missing):
            self.reasons[_reason(finish[row], models[row], is_empty=bool(empty[row]))] += 1

    def _count_models(self, batch: pa.RecordBatch, lengths: NDArray[np.int64]) -> None:
        names = _texts(batch, "model")
        for name in np.unique(names):
            rows = names == name
            model = self.models.setdefault(str(name), ModelCensus())
            model.n_traces += int(rows.sum())
            model.n_tokens += int(lengths[rows].sum())
            for column, counter in (
                ("k", model.k),
                ("logprobs_mode", model.modes),
                ("temperature", model.temperatures),
                ("model_fingerprint", model.fingerprints),
                ("provider", model.providers),
            ):
                counter.update(map(str, _texts(batch, column)[rows]))

    def _count_tokens(self, batch: pa.RecordBatch, lengths: NDArray[np.int64]) -> None:
        """Count listed alternatives, response by response groups of the same model, k and temperature."""
        names = _texts(batch, "model")
        widths = batch.column("k").fill_null(0).to_numpy(zero_copy_only=False)
        temperatures = batch.column("temperature").fill_null(np.nan).to_numpy(zero_copy_only=False)
        keys = np.array([f"{n}\0{w}\0{t == 0}" for n, w, t in zip(names, widths, temperatures, strict=True)])
        top = batch.column("top_logprobs")
        for key in np.unique(keys) if len(keys) else ():
            rows = np.flatnonzero(keys == key)
            name, width, greedy = key.split("\0")
            values = top.take(pa.array(rows)).flatten().to_numpy(zero_copy_only=False)
            if int(width) < 1 or values.size % int(width):
                continue
            listed = values.reshape(-1, int(width)).astype(np.float64)
            absent = _count_alternatives(self.models[name], listed, is_greedy=greedy == "True")
            self.n_tokens_without += absent


def _count_alternatives(model: ModelCensus, listed: NDArray[np.float64], *, is_greedy: bool) -> int:
    """Count the tokens of responses of one k; return how many have no alternative."""
    given = (~np.isnan(listed)).sum(axis=1)
    mass = np.nansum(np.exp(listed), axis=1)[given > 0]
    model.n_listed += len(mass)
    model.n_whole += int((np.abs(mass[given[given > 0] >= 2] - 1) <= _WHOLE).sum())
    tail = np.clip(1 - mass, 0, 1)
    model.tail += np.bincount(np.searchsorted(TAIL_BINS, tail), minlength=len(TAIL_BINS))[: len(TAIL_BINS)]
    best = listed[:, 0][~np.isnan(listed[:, 0])]
    if is_greedy:
        model.n_greedy += len(best)
        model.n_certain += int((best == 0).sum())
    return int((given == 0).sum())


def _reason(finish: str, model: str, *, is_empty: bool) -> str:
    if finish in {"tool_calls", "function_call"}:
        return "tool call"
    if finish == "content_filter":
        return "content filter"
    name = model.rpartition("/")[2].lower()
    if name.startswith(("o1", "o3", "o4", "gpt-5")):
        return "reasoning model"
    if name.startswith("claude"):
        return "provider without logprobs"
    if is_empty:
        return "empty answer"
    return "not asked for, or lost on the way"


def _without_logprobs(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Rows whose chosen and top log-probabilities are both null or hold no number."""
    with_any = np.zeros(batch.num_rows, dtype=bool)
    for name in ("chosen_logprobs", "top_logprobs"):
        column = batch.column(name)
        numbers = pc.fill_null(pc.is_finite(column.flatten()), fill_value=False).to_numpy(zero_copy_only=False)
        parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        with_any[parents[numbers]] = True
    return ~with_any


def _unknown_features(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    sums, entropies = (batch.column(name).to_numpy(zero_copy_only=False) for name in _FEATURES)
    return np.asarray(np.isnan(sums) & np.isnan(entropies))


def _lengths(batch: pa.RecordBatch) -> NDArray[np.int64]:
    given = [batch.column("n_tokens")]
    if "chosen_logprobs" in batch.schema.names:
        given.append(batch.column("chosen_logprobs").value_lengths())
    lengths = pc.coalesce(*given, pa.scalar(0, pa.int32()))
    return np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.int64)


def _empty(batch: pa.RecordBatch, lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    if "answer" not in batch.schema.names:
        return np.asarray(lengths == 0)
    answer = batch.column("answer")
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(answer), ""), fill_value=False).to_numpy(zero_copy_only=False)
    unknown = answer.is_null().to_numpy(zero_copy_only=False)
    return np.asarray(blank | (unknown & (lengths == 0)))


def _texts(batch: pa.RecordBatch, name: str) -> NDArray[np.str_]:
    if name not in batch.schema.names:
        return np.full(batch.num_rows, UNKNOWN)
    column = batch.column(name).cast(pa.string()).fill_null(UNKNOWN)
    return np.array(column.to_pylist(), dtype=np.str_)


def _merge(mine: Census | ModelCensus, other: Census | ModelCensus) -> None:
    for name in type(mine).__dataclass_fields__:
        left, right = getattr(mine, name), getattr(other, name)
        if isinstance(left, Counter | Distinct):
            left.update(right)
        elif isinstance(left, dict):
            for model, part in right.items():
                left.setdefault(model, ModelCensus()).merge(part)
        else:
            setattr(mine, name, left + right)
