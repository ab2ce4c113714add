"""The rules of the entropy-aware sampler: what state a token is in, and what is done about it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta

from nilometer.arrays import AnyFloats
from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.signals import attention_curves, attention_from_batch, ragged_from_batch, token_signals
from nilometer.traces import SavedKind, read_saved_json, write_saved_json

__all__ = [
    "STATES",
    "Policy",
    "SamplerOptions",
    "SamplerThresholds",
    "StepSignals",
    "classify_step",
    "fit_thresholds",
    "policy_of",
    "read_thresholds",
    "write_thresholds",
]

State = Literal["certain", "ordinary", "spread", "forked", "lost"]
STATES: tuple[State, ...] = ("certain", "ordinary", "spread", "forked", "lost")
"""Both entropy and varentropy low; neither low nor high; entropy high; varentropy high; both high."""

_LEAST_TOKENS = 200
_HOTTEST = 1.5


class StepSignals(NamedTuple):
    """What is known when a token is about to be chosen."""

    entropy: float
    """Of the renormalised k best alternatives, nats."""
    varentropy: float
    """Of the same list, nats squared."""
    scatter: float | None = None
    """Attention entropy over log visible keys, mean over layers and heads; None without attention."""
    agreement: float | None = None
    """Of the heads of a layer, mean over layers; None without attention."""


class SamplerThresholds(NamedTuple):
    """Where low ends and high begins, measured on the model's own traces; there are no defaults that fit all models."""

    entropy_low: float
    entropy_high: float
    varentropy_low: float
    varentropy_high: float
    scatter_high: float | None
    agreement_low: float | None
    k: int
    """Alternatives that the signals are computed from, here and while sampling."""
    model: str
    n_tokens: int


class SamplerOptions(NamedTuple):
    """What the sampler does with each state."""

    temperature: float = 0.7
    """Of ordinary tokens; 0 takes the most probable token."""
    min_p: float = 0.05
    """Alternatives below this share of the best one's probability are never taken."""
    branches: int = 3
    """Continuations tried where few alternatives are strong; one more where the heads disagree."""
    candidates: int = 5
    """Continuations tried where everything is open."""
    lookahead: int = 6
    """Tokens of each continuation, its first included; the best continuation is kept whole."""
    scatter_gain: float = 0.5
    """How much scattered attention warms a spread token."""


class Policy(NamedTuple):
    """How the next token is taken."""

    temperature: float
    n_paths: int = 1
    """Continuations to try; 1 draws a single token."""
    drawn: bool = False
    """Whether the first tokens of the paths are drawn without replacement rather than the most probable."""


def classify_step(signals: StepSignals, thresholds: SamplerThresholds) -> State:
    """Name the state of one step; every pair of entropy and varentropy has exactly one.

    Examples
    --------
    >>> limits = SamplerThresholds(0.1, 1.0, 0.1, 1.0, None, None, 20, "m", 500)
    >>> [classify_step(StepSignals(h, v), limits) for h, v in ((0, 0), (2, 0), (0.5, 2), (2, 2), (0.5, 0.5))]
    ['certain', 'spread', 'forked', 'lost', 'ordinary']
    """
    high = signals.entropy >= thresholds.entropy_high
    wide = signals.varentropy >= thresholds.varentropy_high
    if high and wide:
        return "lost"
    if high:
        return "spread"
    if wide:
        return "forked"
    low = signals.entropy < thresholds.entropy_low and signals.varentropy < thresholds.varentropy_low
    return "certain" if low else "ordinary"


def policy_of(state: State, signals: StepSignals, thresholds: SamplerThresholds, *, options: SamplerOptions) -> Policy:
    """Decide how the next token is taken.

    certain: the most probable token. ordinary: drawn at the temperature. spread: drawn, warmer the further the
    attention scatters beyond its threshold, never above 1.5. forked: the strongest alternatives are continued and
    compared. lost: alternatives are drawn, continued and compared.

    Examples
    --------
    >>> limits = SamplerThresholds(0.1, 1.0, 0.1, 1.0, None, None, 20, "m", 500)
    >>> policy_of("forked", StepSignals(0.5, 2.0), limits, options=SamplerOptions())
    Policy(temperature=0.0, n_paths=3, drawn=False)
    """
    if state == "certain":
        return Policy(0.0)
    if state == "forked":
        apart = _beyond(thresholds.agreement_low, signals.agreement) > 0
        return Policy(0.0, options.branches + apart)
    if state == "lost":
        return Policy(max(options.temperature, 0.0), options.candidates, drawn=options.temperature > 0)
    warmer = 1.0
    if state == "spread":
        warmer += options.scatter_gain * max(_beyond(signals.scatter, thresholds.scatter_high), 0.0)
    return Policy(min(options.temperature * warmer, max(_HOTTEST, options.temperature)))


def _beyond(value: float | None, limit: float | None) -> float:
    return 0.0 if value is None or limit is None else value - limit


def fit_thresholds(batches: Iterable[pa.RecordBatch], *, low: float = 0.5, high: float = 0.9) -> SamplerThresholds:
    """Take the limits from the model's own tokens: quantiles of each signal over all tokens of its traces.

    Parameters
    ----------
    batches
        Traces of one model and one k, with ``logprobs_mode`` raw; in ``ATTENTION_SCHEMA`` for the attention limits.
    low, high
        Quantiles that end low and begin high; 0 <= low <= high <= 1.

    Raises
    ------
    NotEnoughDataError
        With fewer than 200 tokens.
    ConfigError
        If the traces mix models or k, or are processed log-probabilities.
    ValueError
        If the quantiles are out of order.

    Examples
    --------
    >>> from nilometer.traces import corpus_path, read_traces
    >>> limits = fit_thresholds(read_traces(corpus_path("specialist")))
    >>> limits.model, limits.k, limits.entropy_low < limits.entropy_high
    ('specialist', 20, True)
    """
    if not 0 <= low <= high <= 1:
        raise ValueError(f"`low` and `high` must satisfy 0 <= low <= high <= 1, got {low} and {high}.")
    kept: dict[str, list[AnyFloats]] = {name: [] for name in ("entropy", "varentropy", "scatter", "agreement")}
    seen: dict[str, set[object]] = {"model": set(), "k": set(), "logprobs_mode": set()}
    for batch in batches:
        for name, values in seen.items():
            values.update(batch.column(name).to_pylist())
        tokens = ragged_from_batch(batch)
        signals = token_signals(tokens.chosen, tokens.top)
        kept["entropy"].append(signals.renormalized_entropy)
        kept["varentropy"].append(signals.varentropy)
        for one in attention_from_batch(batch) if "attention" in batch.schema.names else ():
            if one is not None:
                curves = attention_curves(one)
                kept["scatter"].append(curves.entropy)
                kept["agreement"].append(curves.agreement)
    _check_seen(seen)
    n_tokens = sum(int(np.isfinite(part).sum()) for part in kept["entropy"])
    if n_tokens < _LEAST_TOKENS:
        raise NotEnoughDataError(
            f"{n_tokens} tokens with alternatives are not enough to place thresholds.",
            f"Record at least {_LEAST_TOKENS} tokens with `top_logprobs`.",
        )
    (k,), (model,) = seen["k"], seen["model"]
    return SamplerThresholds(
        _quantile(kept["entropy"], low),
        _quantile(kept["entropy"], high),
        _quantile(kept["varentropy"], low),
        _quantile(kept["varentropy"], high),
        _quantile(kept["scatter"], high) if kept["scatter"] else None,
        _quantile(kept["agreement"], 1 - high) if kept["agreement"] else None,
        int(str(k)),
        str(model),
        n_tokens,
    )


def _check_seen(seen: dict[str, set[object]]) -> None:
    for name, values in seen.items():
        if len(values) > 1:
            raise ConfigError(f"traces must share one `{name}`, got {', '.join(sorted(map(str, values)))}.")
    if not seen["k"]:
        raise NotEnoughDataError("there is no trace.", "Record some with `nilometer record`.")
    if seen["logprobs_mode"] == {"processed"}:
        raise ConfigError("`logprobs_mode` must be raw: processed log-probabilities depend on the temperature.")


def _quantile(parts: Sequence[AnyFloats], q: float) -> float:
    values = np.concatenate(parts)
    return float(np.quantile(values[np.isfinite(values)].astype(np.float64), q))


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    entropy_low: float
    entropy_high: float
    varentropy_low: float
    varentropy_high: float
    scatter_high: float | None
    agreement_low: float | None
    k: Annotated[int, Meta(ge=1, le=10_000)]
    model: str
    n_tokens: Annotated[int, Meta(ge=0)]
    file_version: Annotated[int, Meta(ge=1)] = 1
    digest: str | None = None


_FILE_VERSION = 2
_KIND = SavedKind("file of sampler thresholds", _Head, _FILE_VERSION, 2, "`nilometer sampler`", ConfigError)


def write_thresholds(path: str | Path, thresholds: SamplerThresholds) -> None:
    """Write thresholds as JSON."""
    write_saved_json(path, _KIND, _Head(**thresholds._asdict(), file_version=_FILE_VERSION))


def read_thresholds(path: str | Path) -> SamplerThresholds:
    """Read what :func:`write_thresholds` wrote.

    Raises
    ------
    ConfigError
        If the file is not such a file, or was changed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> limits = SamplerThresholds(0.1, 1.0, 0.1, 1.0, None, None, 20, "m", 500)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_thresholds(pathlib.Path(folder) / "t.json", limits)
    ...     read_thresholds(pathlib.Path(folder) / "t.json") == limits
    True
    """
    head = read_saved_json(path, _KIND)
    for low, high in ((head.entropy_low, head.entropy_high), (head.varentropy_low, head.varentropy_high)):
        if low > high:
            raise ConfigError(f"{path}: a low threshold must be <= the high one, got {low} and {high}.")
    return SamplerThresholds(*(getattr(head, name) for name in SamplerThresholds._fields))
