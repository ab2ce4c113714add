"""The canary: a few fixed prompts whose first token is asked again and again, kept in a small JSON file."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from nilometer.arrays import Floats
from nilometer.errors import ConfigError, MissingLogprobsError, TraceFormatError
from nilometer.traces import SavedKind, read_saved_json, write_saved_json

from .journal import locked
from .recording import Runner, Sampling

__all__ = ["CANARY_PROMPTS", "Canary", "add_to_canary", "ask_canary", "read_canary", "write_canary"]

CANARY_PROMPTS = (
    "x",
    "Say one word.",
    "Name a colour.",
    "Pick a number between 1 and 100.",
    "Name an animal that is not a pet.",
    "Finish the sentence: The old door",
    "Answer yes or no.",
    "Write a word that begins with q.",
)
"""Short, so that they cost little, and open, so that the first token is not certain."""

_VERSION = 2
_Logprob = Annotated[float, Meta(le=1e-3)]
"""A server may round a probability of 1 to a little above."""


class Canary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers to the prompts of a canary, asked at one or more times."""

    model: str
    k: Annotated[int, Meta(ge=1, le=10_000)]
    logprobs_mode: str
    asked: list[Annotated[str, Meta(max_length=40)]]
    """When, UTC."""
    logprobs: dict[str, Annotated[list[list[_Logprob | None]], Meta(min_length=1)]]
    """By prompt, one list per answer: log-probabilities of the k best first tokens, best first."""
    format_version: Annotated[int, Meta(ge=1)] = _VERSION
    digest: str | None = None
    """Of the other fields, in the file."""

    def arrays(self) -> dict[str, Floats]:
        """Shape (answers, k) by prompt, NaN where not given."""
        return {name: np.array(rows, dtype=np.float64) for name, rows in self.logprobs.items()}

    def merged(self, other: "Canary") -> "Canary":
        """Put the answers of another time to these."""
        logprobs = {name: [*rows, *other.logprobs.get(name, [])] for name, rows in self.logprobs.items()}
        return msgspec.structs.replace(self, asked=[*self.asked, *other.asked], logprobs=logprobs)


_KIND = SavedKind(
    "canary", Canary, _VERSION, 2, "`nilometer canary record`", TraceFormatError, version_field="format_version"
)


def ask_canary(
    runner: Runner, *, prompts: Sequence[str] = CANARY_PROMPTS, repeats: int = 10, k: int = 20, seed: int = 0
) -> Canary:
    """Ask every prompt ``repeats`` times for one token, in random order.

    Raises
    ------
    MissingLogprobsError
        If an answer comes without log-probabilities.
    """
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(prompts)), repeats))
    logprobs: dict[str, list[list[float | None]]] = {prompt: [] for prompt in prompts}
    modes: set[str] = set()
    for start in range(0, len(order), 8):
        asked = [prompts[i] for i in order[start : start + 8]]
        sampling = Sampling(temperature=0.0, max_tokens=1, k=k, batch=8, seed=seed)
        for prompt, trace in zip(asked, runner.answer(asked, sampling, seed=seed + start), strict=True):
            if trace.top_logprobs is None or not len(trace.top_logprobs):
                raise MissingLogprobsError(
                    f"the answer to {prompt!r} has no log-probabilities. Ask the server for `top_logprobs`; "
                    "`nilometer doctor` says how."
                )
            first = np.full(k, np.nan)
            given = np.asarray(trace.top_logprobs[0], dtype=np.float64)[:k]
            first[: len(given)] = given
            logprobs[prompt].append([None if np.isnan(value) else float(value) for value in first])
            modes.add(trace.logprobs_mode or "unknown")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Canary(runner.name, k, "/".join(sorted(modes)), [now], logprobs)


def write_canary(path: Path, canary: Canary) -> None:
    """Write a canary as JSON; the old file stays until the new one is whole."""
    write_saved_json(path, _KIND, msgspec.structs.replace(canary, format_version=_VERSION))


def add_to_canary(path: Path, canary: Canary) -> Canary:
    """Add answers to the record in a file, whatever others added meanwhile, and return the whole.

    Raises
    ------
    ConfigError
        If the record is of other prompts, another `k` or another kind of log-probabilities; it stays as it was.
    """
    with locked(path.with_name(f".{path.name}.lock")):
        if path.exists():
            before = read_canary(path)
            _check_same(before, canary, path)
            canary = before.merged(canary)
        write_canary(path, canary)
    return canary


def _check_same(before: Canary, canary: Canary, path: Path) -> None:
    for name in ("k", "logprobs_mode"):
        was, now = getattr(before, name), getattr(canary, name)
        if was != now:
            raise ConfigError(f"`{name}` must be {was} as in the record, got {now}. Record again.")
    if set(before.logprobs) != set(canary.logprobs):
        raise ConfigError(f"{path}: the record is of other prompts. Give another file.")


def read_canary(path: Path) -> Canary:
    """Read a canary.

    Raises
    ------
    TraceFormatError
        If the file is not one, is of a newer format, or was changed.
    """
    found = read_saved_json(path, _KIND)
    lengths = {len(row) for rows in found.logprobs.values() for row in rows}
    if lengths != {found.k}:
        raise TraceFormatError(f"{path}: every answer must have k = {found.k} values, got {sorted(lengths)[:9]}.")
    return found
