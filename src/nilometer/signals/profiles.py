"""From traces to profiles: one row of features per response."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from nilometer.arrays import Bools, Floats, Floats32
from nilometer.traces import CUT_OFF_REASONS, as_traces, is_table

from .attention.scores import ATTENTION_FEATURE_NAMES
from .attention.table import attention_profile
from .tokens.features import FEATURE_NAMES
from .tokens.ragged import Ragged, ragged_from_batch
from .tokens.segments import Segments
from .tokens.signals import token_signals
from .tokens.spans import boxed_tokens

__all__ = ["PROFILE_COLUMNS", "profile_batch", "profile_features", "profile_traces"]

PROFILE_COLUMNS = (
    "trace_id",
    "prompt_id",
    "time",
    "model",
    "model_fingerprint",
    "k",
    "logprobs_mode",
    "temperature",
    "finish_reason",
    "n_tokens",
    "correct",
    "attributes",
)

_SMALL = 1e-8


def profile_features(tokens: Ragged, *, answer: Bools | None = None) -> dict[str, Floats]:
    """Every feature that comes from token signals, by name, each of shape (responses,).

    ``answer``, shape (tokens,), marks the tokens of the answer proper; a response without a mark has it in its last
    32 tokens. Tokens without a log-probability are left out; with no alternatives (k = 0) the features of
    alternatives are NaN; a response without any token has NaN throughout. See ``FEATURES`` for formulas.

    Examples
    --------
    >>> chosen = np.log(np.float32([0.5, 0.9]))
    >>> tokens = Ragged(np.array([0, 2]), chosen, chosen[:, None])
    >>> profile_features(tokens)["nll_sum"].round(3).tolist()
    [0.799]
    """
    given = ~np.isnan(tokens.chosen)
    chosen, marked = _kept(tokens, answer, given)
    features = _from_chosen(chosen, marked)
    listed = np.asarray(~np.isnan(tokens.top).all(axis=1))
    if not listed.any():
        n = len(tokens.lengths)
        unknown = (name for name in FEATURE_NAMES if name not in features and name not in _RESPONSE_NAMES)
        return features | {name: np.full(n, np.nan) for name in unknown}
    return features | _from_alternatives(*_kept(tokens, answer, listed))


def _kept(tokens: Ragged, answer: Bools | None, mask: Bools) -> tuple[Ragged, Bools | None]:
    if mask.all():
        return tokens, answer
    return tokens.keep(mask), None if answer is None else answer[mask]


def _answer_proper(segments: Segments, answer: Bools | None) -> Bools:
    """Tokens of the answer proper: the marked ones, else the last 32 of the response."""
    near_end = np.asarray(segments.lengths[segments.owner] - segments.position <= 32)
    if answer is None:
        return near_end
    marked = segments.sum(answer * 1.0) > 0
    return np.asarray(np.where(marked[segments.owner], answer, near_end))


def profile_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Profile every response of a trace batch.

    Columns: ``PROFILE_COLUMNS`` as they are in the trace, then the float32 columns ``FEATURE_NAMES``, and
    ``ATTENTION_FEATURE_NAMES`` where the batch carries attention.

    Examples
    --------
    >>> row = {"trace_id": "a", "k": 1, "n_tokens": 1, "chosen_logprobs": [-0.1], "top_logprobs": [-0.1]}
    >>> from nilometer.traces import TRACE_SCHEMA
    >>> profile = profile_batch(pa.RecordBatch.from_pylist([row], schema=TRACE_SCHEMA))
    >>> round(profile["nll_sum"][0].as_py(), 3)
    0.1
    """
    tokens = ragged_from_batch(batch)
    features = profile_features(tokens, answer=boxed_tokens(batch, tokens.offsets)) | _from_response(batch)
    arrays = [batch.column(name) for name in PROFILE_COLUMNS]
    names = FEATURE_NAMES
    if "attention" in batch.schema.names:
        features |= attention_profile(batch)
        names += ATTENTION_FEATURE_NAMES
    arrays += [pa.array(features[name].astype(np.float32)) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=[*PROFILE_COLUMNS, *names])


def profile_traces(traces: Any) -> pa.Table:
    """Profile traces: a stream of record batches, of which only the profiles stay in memory, or a table.

    Parameters
    ----------
    traces
        Record batches of ``read_traces``, or any table (Arrow, polars, pandas) with the columns of ``TRACE_SCHEMA``;
        of columns that it lacks nothing is known.

    Raises
    ------
    ValueError
        If there is no batch at all.
    """
    batches = traces if isinstance(traces, Iterable) and not is_table(traces) else as_traces(traces).to_batches()
    profiles = [profile_batch(batch) for batch in batches]
    if not profiles:
        raise ValueError("`traces` must hold at least one record batch, got none.")
    return pa.Table.from_batches(profiles)


def _from_chosen(tokens: Ragged, answer: Bools | None) -> dict[str, Floats]:
    segments = Segments(tokens.offsets)
    nll = -tokens.chosen.astype(np.float64)
    odd = nll * np.log(nll + _SMALL)
    mean, largest = segments.mean(nll), segments.max(nll)
    near_end = _answer_proper(segments, answer)
    return {
        "nll_avg": mean,
        "nll_max": largest,
        "nll_sum": segments.sum(nll),
        "lntp": segments.sum(odd),
        "mtp": segments.max(odd),
        "ppl": np.exp(np.minimum(mean, 700)),
        "prob_min": np.exp(-largest),
        "answer_prob_min": np.exp(-segments.max(np.where(near_end, nll, 0.0))),
    }


def _from_alternatives(tokens: Ragged, answer: Bools | None) -> dict[str, Floats]:
    segments = Segments(tokens.offsets)
    signals = token_signals(tokens.chosen, tokens.top)
    entropy = signals.entropy.astype(np.float64)
    near_end = _answer_proper(segments, answer)
    ordered_margin = segments.sort(signals.margin)
    rank = signals.rank
    features = _moments(segments, entropy) | _positions(segments, entropy) | _confidence(segments, signals.confidence)
    features |= {f"share_above_{name}": segments.mean((entropy > cut) * 1.0) for name, cut in _CUTS}
    return features | {
        "count_above_1": segments.sum((entropy > 1) * 1.0),
        "margin_min": segments.quantile(ordered_margin, 0.0),
        "margin_q05": segments.quantile(ordered_margin, 0.05),
        "margin_mean": segments.mean(signals.margin),
        "varentropy_mean": segments.mean(signals.varentropy),
        "varentropy_max": segments.max(signals.varentropy),
        "share_not_best": segments.mean(np.where(np.isnan(rank), 0.0, rank > 1)),
        "answer_margin_mean": segments.sum(signals.margin * near_end) / np.maximum(segments.sum(near_end * 1.0), 1),
        "answer_entropy_max": segments.max(np.where(near_end, entropy, 0.0)),
        "tail_mass_mean": segments.mean(signals.tail_mass),
        "tail_mass_max": segments.max(signals.tail_mass),
    }


_CUTS = (("0_5", 0.5), ("1", 1.0), ("2", 2.0))


def _moments(segments: Segments, entropy: Floats) -> dict[str, Floats]:
    mean = segments.mean(entropy)
    centred = entropy - mean[segments.owner]
    squares = centred**2
    variance = segments.sum(squares) / np.maximum(segments.lengths - 1, 1)
    std = np.sqrt(variance)
    ordered = segments.sort(entropy)
    quantiles = {f"q{round(100 * q)}": segments.quantile(ordered, q) for q in (0.1, 0.25, 0.5, 0.75, 0.9)}
    return {
        "mean": mean,
        "std": std,
        "max": segments.max(entropy),
        "skewness": segments.mean(squares * centred) / (std**3 + _SMALL),
        "kurtosis": segments.mean(squares**2) / (variance**2 + _SMALL),
        "se_sum": segments.sum(entropy),
        **quantiles,
    }


def _positions(segments: Segments, entropy: Floats) -> dict[str, Floats]:
    length = segments.lengths[segments.owner]
    decile = segments.position * 10 // length
    place = segments.position / np.maximum(length - 1, 1)
    n = len(segments.lengths)
    cell = segments.owner * 10 + decile
    counts = np.bincount(cell, minlength=10 * n).reshape(n, 10)
    sums = np.bincount(cell, weights=entropy, minlength=10 * n).reshape(n, 10)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    means = _fill_forward(means)
    centred = place - segments.mean(place)[segments.owner]
    deviation = entropy - segments.mean(entropy)[segments.owner]
    sxx, sxy, syy = (segments.sum(v) for v in (centred**2, centred * deviation, deviation**2))
    slope = np.divide(sxy, sxx, out=np.where(np.isnan(sxx), np.nan, 0.0), where=sxx > 0)
    fit = np.divide(sxy**2, sxx * syy, out=np.where(np.isnan(sxx), np.nan, 0.0), where=sxx * syy > 1e-20)
    peak = np.where(entropy == segments.max(entropy)[segments.owner], place, np.inf)
    third = length // 3
    ends = (segments.position >= length - third) * 1.0 - (segments.position < third) * 1.0
    features = {f"decile_{i}": means[:, i] for i in range(10)}
    return features | {
        "slope": slope,
        "linearity": np.minimum(fit, 1.0),
        "argmax_position": segments.min(peak),
        "last_minus_first": segments.sum(ends * entropy) / np.maximum(segments.lengths // 3, 1),
    }


def _fill_forward(means: Floats) -> Floats:
    """Give an empty decile of a short answer the value of the decile before it."""
    for i in range(1, means.shape[1]):
        empty = np.isnan(means[:, i])
        means[empty, i] = means[empty, i - 1]
    return means


def _confidence(segments: Segments, confidence: Floats32) -> dict[str, Floats]:
    ordered = segments.sort(confidence)
    tenth = np.maximum(segments.lengths // 10, 1)[segments.owner]
    lowest = segments.sum(np.where(segments.position < tenth, ordered, 0.0)) / np.maximum(segments.lengths // 10, 1)
    (low_32, _), (low_128, tail_128), (low_512, _) = segments.windows(confidence, (32, 128, 512))
    return {
        "confidence_mean": segments.mean(confidence),
        "confidence_low_32": low_32,
        "confidence_low_128": low_128,
        "confidence_low_512": low_512,
        "confidence_bottom_10": lowest,
        "confidence_tail_128": tail_128,
    }


def _from_response(batch: pa.RecordBatch) -> dict[str, Floats]:
    n_tokens = batch.column("n_tokens").fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
    reasons = batch.column("finish_reason").to_pylist()
    answers = batch.column("answer").to_pylist()
    unknown = batch.column("n_tokens").is_null().to_numpy(zero_copy_only=False)
    blank = np.array([answer is not None and not answer.strip() for answer in answers], dtype=bool)
    silent = np.array([answer is None for answer in answers], dtype=bool)
    return {
        "log_length": np.log1p(n_tokens),
        "truncated": np.array([reason in CUT_OFF_REASONS for reason in reasons], dtype=np.float64),
        "no_answer": np.asarray(blank | ((n_tokens == 0) & (silent | ~unknown)), dtype=np.float64),
    }


_RESPONSE_NAMES = {"log_length", "truncated", "no_answer"}
