"""What the doctor makes of the counts: findings, each with the serving flag or step that fixes it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from .census import TAIL_BINS, UNKNOWN, Census, ModelCensus

__all__ = [
    "Finding",
    "SliceCoverage",
    "change_findings",
    "coverage_findings",
    "infer_mode",
    "model_findings",
    "response_findings",
]

_ASK = (
    "Ask for them: OpenAI `logprobs=true, top_logprobs=20`; vLLM the same, server flag `--max-logprobs 20`;"
    " SGLang `return_logprob=true, top_logprobs_num=20`; llama.cpp `n_probs=20` or chat `top_logprobs=20`"
    " (llama-cpp-python: `--logits_all true`); Ollama 0.12.11 or newer with `logprobs=true`."
)
_RAW = (
    "Serve raw log-probabilities: vLLM `--logprobs-mode raw_logprobs`; SGLang with"
    " `SGLANG_RETURN_ORIGINAL_LOGPROB=1`; llama.cpp without `post_sampling_probs`."
)
_RAW_PROVIDERS = ("llama", "ollama")
_FEW_TOKENS = 50
_NEARLY_ALL = 0.999
_MIN_LABELS = 30
_RARELY = 0.01
_OFTEN = 0.1
_TOLD = 5
_LOST = "Streams lose them when only the last chunk is kept, tool and reasoning parsers swallow them: log every chunk."
_CERTAIN = (
    "Speculative decoding reports accepted draft tokens so, and so does greedy decoding with processed"
    " log-probabilities: switch drafting off, or serve raw ones."
)
_MISSPELT = (
    "Some servers list the most likely token for the sampled one (MLX, inspect_ai's hf provider), so the answer looks"
    " surer than it was: sample at temperature 0, or serve with an engine that lists what it sampled."
)
_COPIES = "Cached or twice logged answers count as new evidence; keep one of each."
_PROFILES = "Give the traces to check the probability outside the list, copies, lost tokens and texts, too."
_PLACE = "Name the place with `--columns answer=PATH,logprobs=PATH`."
_CURES = {
    "tool call": "Tool calls never carry any; leave them out of the slices you measure.",
    "content filter": "Refused by the provider; count them separately.",
    "empty answer": "There is nothing to score; count them as wrong, or look at why they are empty.",
    "reasoning model": "Reasoning models refuse log-probabilities; GPT-5.x gives them only with effort `none`.",
    "provider without logprobs": "This provider gives none; use a model served by an engine that does.",
    "not asked for, or lost on the way": _ASK
    + " If they were asked for, streaming, a tool or reasoning parser or the gateway dropped them:"
    " keep every chunk, or log without streaming.",
}


@dataclass(frozen=True, slots=True)
class SliceCoverage:
    """How many responses of a slice have a label."""

    slice: str
    n: int
    n_labels: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing about the data."""

    severity: Literal["error", "warning", "info"]
    message: str
    cure: str


def response_findings(census: Census, unread: Mapping[str, int]) -> Iterator[Finding]:
    """Judge what concerns all responses together; `unread` says where log-probabilities stand that were not read."""
    if not census.n_traces:
        yield Finding("error", "There is no trace.", "Check the path and the format.")
        return
    yield from _missing(census, unread)
    if census.n_profiles:
        yield Finding("info", "Profiles do not keep what was listed for each token.", _PROFILES)
    yield from _impossible(census)
    for count, limit, text, cure in (
        (census.n_truncated, 0.05, "are cut off (`finish_reason` length)", "Raise `max_tokens`."),
        (census.n_empty, 0.01, "are empty", _CURES["empty answer"]),
        (
            census.n_duplicates,
            0.0,
            "repeat a `trace_id`",
            "Make `trace_id` unique; labels cannot distinguish them.",
        ),
    ):
        if count > limit * census.n_traces:
            yield Finding("warning", f"{_share(count, census.n_traces)} of the responses {text}.", cure)
    if census.n_one_token > census.n_traces / 2:
        yield Finding(
            "info",
            f"{_share(census.n_one_token, census.n_traces)} of the answers are one token long.",
            "Statistics over tokens all coincide there; few features carry the whole signal.",
        )


def _impossible(census: Census) -> Iterator[Finding]:
    """Point at numbers that cannot be right."""
    if census.n_short > _RARELY * census.n_traces:
        share = _share(census.n_short, census.n_traces)
        lost = f"{census.n_tokens_short:,} tokens have no log-probability"
        yield Finding("warning", f"{share} of the responses list fewer tokens than were counted: {lost}.", _LOST)
    if census.n_certain > _RARELY * census.n_traces:
        share = _share(census.n_certain, census.n_traces)
        yield Finding("warning", f"{share} of the responses give every token probability 1.", _CERTAIN)
    if census.n_misspelt > _OFTEN * census.n_compared:
        share = _share(census.n_misspelt, census.n_compared)
        yield Finding("warning", f"The tokens of {share} of the responses compared do not spell the answer.", _MISSPELT)
    if census.n_copies > _OFTEN * census.n_traces:
        share = _share(census.n_copies, census.n_traces)
        yield Finding("warning", f"{share} of the responses repeat text and log-probabilities of another.", _COPIES)


def _missing(census: Census, unread: Mapping[str, int]) -> Iterator[Finding]:
    share = census.n_without / census.n_traces
    if unread:
        places = "; ".join(list(unread)[:3])
        message = f"Numbers that look like log-probabilities could not be read; they stand at {places}."
        yield Finding("error" if share > 0.5 else "warning", message, _PLACE)
        if share == 1:
            return
    if share == 1:
        cures = [_CURES[reason] for reason, _ in census.reasons.most_common()]
        yield Finding("error", "No response carries log-probabilities.", " ".join(cures))
        return
    for reason, count in census.reasons.most_common():
        message = f"{_share(count, census.n_traces)} of the responses have no log-probabilities: {reason}."
        yield Finding("error" if share > 0.5 else "warning", message, _CURES[reason])
    if not any(model.n_listed for model in census.models.values()):
        message = "Only the chosen tokens have log-probabilities, so no entropy can be computed."
        yield Finding("warning", message, _ASK)


def model_findings(name: str, model: ModelCensus) -> Iterator[Finding]:
    """Judge the responses of one model."""
    widths = {key: n for key, n in model.k.items() if key not in {UNKNOWN, "0"}}
    for what, counts, cure in (
        ("k", widths, "Ask for the same `top_logprobs` everywhere, or slice by `k`."),
        ("temperatures", _known(model.temperatures), "Slice by `temperature`, or measure each separately."),
        ("logprobs modes", _known(model.modes), _RAW),
        (
            "fingerprints",
            _known(model.fingerprints),
            "The model behind the name changed: slice by `model_fingerprint`.",
        ),
    ):
        if len(counts) > 1:
            values = ", ".join(f"{value} ({n:,})" for value, n in Counter(counts).most_common(5))
            yield Finding("warning", f"{name}: mixed {what}: {values}.", cure)
    if widths and max(map(int, widths)) < 5:
        yield Finding("warning", f"{name}: only k = {max(map(int, widths))} alternatives per token.", _ASK)
    yield from _mode_findings(name, model)
    tail = _median_tail(model)
    if tail > 0.2:
        message = f"{name}: half of the tokens have more than {tail:.0%} of their probability outside the list."
        yield Finding("warning", message, "Ask for more alternatives (`top_logprobs=20`).")


def _mode_findings(name: str, model: ModelCensus) -> Iterator[Finding]:
    if not model.n_listed:
        return
    mode, evidence = infer_mode(model)
    sampled = set(_known(model.temperatures)) - {"1"}
    if mode == "processed" and (sampled or not _known(model.temperatures)):
        yield Finding("warning", f"{name}: log-probabilities are processed: {evidence}.", _RAW)
    elif mode == "unknown":
        cure = f"Record `temperature` and `logprobs_mode` with each trace. {_RAW}"
        yield Finding("info", f"{name}: raw or processed log-probabilities is unknown: {evidence}.", cure)


def infer_mode(model: ModelCensus) -> tuple[str, str]:
    """Say whether log-probabilities are ``raw``, ``processed``, ``mixed`` or ``unknown``, and why.

    Evidence in the numbers goes before convention: a best alternative of probability exactly 1 at temperature 0,
    or listed alternatives that always sum to 1, show that they were taken after sampling.
    """
    declared = _known(model.modes)
    declared.pop("unknown", None)
    if len(declared) > 1:
        return "mixed", "the traces declare both"
    if model.n_greedy >= _FEW_TOKENS and model.n_certain >= _NEARLY_ALL * model.n_greedy:
        return "processed", "at temperature 0 the best alternative always has probability exactly 1"
    if model.n_listed >= _FEW_TOKENS and model.n_whole >= _NEARLY_ALL * model.n_listed:
        return (
            "processed",
            "the listed alternatives sum to 1 at nearly every token, so they were renormalised",
        )
    if declared:
        return next(iter(declared)), "the traces declare it"
    return _by_convention(model)


def _by_convention(model: ModelCensus) -> tuple[str, str]:
    providers = [provider.lower() for provider in _known(model.providers)]
    temperatures = set(_known(model.temperatures))
    if providers and all(any(raw in name for raw in _RAW_PROVIDERS) for name in providers):
        return "raw", f"{providers[0]} gives them before the sampler by default"
    if providers and all("sglang" in name for name in providers):
        if temperatures == {"0"}:
            return "raw", "sglang leaves them as they are where all requests are greedy"
        return "processed", "sglang gives them after temperature by default"
    if temperatures == {"1"}:
        return "unknown", "undeclared, and at temperature 1 temperature itself makes no difference"
    if providers and all("vllm" in name for name in providers):
        return "raw", "vllm gives them before the sampler by default; old servers do not"
    return "unknown", "neither declared nor shown by the numbers"


def coverage_findings(slices: Sequence[SliceCoverage], n_unmatched: int, *, has_labels: bool) -> Iterator[Finding]:
    """Judge how far labels reach."""
    n, n_labels = sum(item.n for item in slices), sum(item.n_labels for item in slices)
    if has_labels and n and not n_labels:
        message = f"None of the labels matches a trace ({n_unmatched:,} unmatched)."
        yield Finding("error", message, "Compare the ids, or name the id column with `--label-key`.")
        return
    if n_unmatched:
        message = f"{n_unmatched:,} labelled ids match no trace."
        yield Finding("warning", message, "Compare the ids; give the traces of the same period.")
    if n and not n_labels:
        yield Finding("info", "There are no labels.", "Label some hundred responses, or use a saved sentinel.")
    elif n_labels:
        poor = sum(item.n_labels < _MIN_LABELS for item in slices)
        message = f"{_share(n_labels, n)} of the responses have a label"
        detail = f"; {poor} of {len(slices)} slices have fewer than {_MIN_LABELS}" if len(slices) > 1 else ""
        yield Finding("info", f"{message}{detail}.", "Label where the slice that matters has few." if poor else "")


def change_findings(spans: Mapping[str, Mapping[str, tuple[datetime, datetime]]]) -> Iterator[Finding]:
    """Say when each fingerprint of a model answered, if there are several."""
    for model, own in spans.items():
        if len(own) > 1:
            told = sorted(own.items(), key=lambda item: item[1])
            days = [f"{name} {first.date()} to {last.date()}" for name, (first, last) in told]
            more = f"; and {len(days) - _TOLD} more" if len(days) > _TOLD else ""
            yield Finding("info", f"{model}: {'; '.join(days[:_TOLD])}{more}.", "")


def _known(counts: Counter[str]) -> dict[str, int]:
    return {value: n for value, n in counts.items() if value != UNKNOWN}


def _median_tail(model: ModelCensus) -> float:
    if not model.tail.sum():
        return 0.0
    return float(TAIL_BINS[np.searchsorted(np.cumsum(model.tail), model.tail.sum() / 2)])


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%} ({part:,})"
