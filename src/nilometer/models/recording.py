"""Recording a model on a suite: part by part, so that a killed run continues without loss or repetition."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import pyarrow.parquet as pq

from nilometer.errors import ConfigError
from nilometer.traces import Trace, trace_batch, write_traces

from .suites import Question

__all__ = ["Recording", "Runner", "Sampling", "record"]

_SETTINGS = ".nilometer-record.json"


class Sampling(NamedTuple):
    """How answers are drawn."""

    temperature: float = 0.0
    """0 is greedy."""
    n_samples: int = 1
    max_tokens: int = 64
    k: int = 20
    batch: int = 32
    """Answers made at once."""
    seed: int = 0


class Runner(Protocol):
    """A model that can be asked."""

    name: str

    def answer(self, prompts: Sequence[str], sampling: Sampling, *, seed: int) -> list[Trace]:
        """Answer every prompt once; the traces lack ids and labels."""


class Recording(NamedTuple):
    """What a run left behind."""

    n_traces: int
    n_tokens: int
    n_new_parts: int


def record(
    runner: Runner,
    suite: dict[str, list[Question]],
    out: Path,
    *,
    sampling: Sampling,
    settings: dict[str, Any],
    advance: Callable[[int, int], None] | None = None,
) -> Recording:
    """Ask a model every question of a suite and keep the traces as Parquet, one file per part.

    A part is written under another name and renamed when it is whole; parts that exist are not asked again.

    Parameters
    ----------
    runner
        The model.
    suite
        From ``make_suite``.
    out
        Folder for the parts.
    sampling
        How answers are drawn.
    settings
        What must not change between runs into one folder; kept beside the parts.
    advance
        Called with the responses and tokens of each batch.

    Raises
    ------
    ConfigError
        If the folder holds a recording made with other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    _check_settings(out / _SETTINGS, {**settings, **sampling._asdict()})
    n_new = 0
    for number, (name, questions) in enumerate(suite.items()):
        path = out / f"{name}.parquet"
        if not path.exists():
            asked = sampling._replace(seed=sampling.seed + 1_000_003 * number)
            write_traces(path, [trace_batch(_part(runner, questions, asked, advance=advance))])
            n_new += 1
        elif advance:
            advance(len(questions) * sampling.n_samples, 0)
    return _count(out, suite, n_new)


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    encoded = msgspec.json.encode(settings)
    if not path.exists():
        path.write_bytes(encoded)
        return
    before, now = msgspec.json.decode(path.read_bytes()), msgspec.json.decode(encoded)
    keys = dict.fromkeys((*now, *before))
    changed = [f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in keys if before.get(key) != now.get(key)]
    if changed:
        raise ConfigError(
            f"{path.parent}: the folder holds a recording with other settings ({'; '.join(changed)}). "
            "Give another --out, or the same settings to go on."
        )


def _part(
    runner: Runner, questions: Sequence[Question], sampling: Sampling, *, advance: Callable[[int, int], None] | None
) -> list[Trace]:
    jobs = [(question, sample) for question in questions for sample in range(sampling.n_samples)]
    traces: list[Trace] = []
    for start in range(0, len(jobs), sampling.batch):
        asked = jobs[start : start + sampling.batch]
        found = runner.answer([question.prompt for question, _ in asked], sampling, seed=sampling.seed + start)
        for (question, sample), trace in zip(asked, found, strict=True):
            identity = f"{runner.name}/{question.prompt_id}" + (f"/s{sample}" if sampling.n_samples > 1 else "")
            traces.append(_complete(trace, question, trace_id=identity, model=runner.name))
        if advance:
            advance(len(found), sum(trace.n_tokens or 0 for trace in found))
    return traces


def _complete(trace: Trace, question: Question, *, trace_id: str, model: str) -> Trace:
    trace.trace_id, trace.prompt_id, trace.model, trace.prompt = trace_id, question.prompt_id, model, question.prompt
    trace.correct = question.judge(trace.answer or "") if question.judge else None
    decoding = {"decoding": "sampled" if trace.temperature else "greedy"}
    trace.attributes = {**question.attributes, **decoding, **trace.attributes}
    return trace


def _count(out: Path, suite: dict[str, list[Question]], n_new: int) -> Recording:
    n_traces = n_tokens = 0
    for name in suite:
        tokens = pq.read_table(out / f"{name}.parquet", columns=["n_tokens"])["n_tokens"]
        n_traces += len(tokens)
        n_tokens += sum(n or 0 for n in tokens.to_pylist())
    return Recording(n_traces, n_tokens, n_new)
