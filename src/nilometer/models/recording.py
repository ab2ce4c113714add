"""Recording a model on a suite: part by part, so that a killed run continues without loss or repetition."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import pyarrow.parquet as pq

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.traces import Trace, read_traces, trace_batch, whole_file, write_traces

from .journal import Journal, alone_in
from .suites import Question

__all__ = ["Recording", "Runner", "Sampling", "record"]

_SETTINGS, _ANSWERS = ".nilometer-record.json", ".nilometer-answers.jsonl"
_SECRET_NAMES = re.compile(
    r"(?:api|access|secret|private)[-_ ]?key|authorization|password|secret|credential|^key$", re.I
)
_NEWER = ("runner", "prompts_sha256")
"""Settings that older recordings do not hold."""


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
    n_refused: int = 0
    """Prompts that a server refused."""
    set_aside: tuple[str, ...] = ()
    """Damaged parts, each with its fault and its new name; they were recorded again."""


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

    A part is written under another name and renamed when it is whole; parts that exist are not asked again, unless
    they are damaged: such a part is set aside. What a server answers to an unfinished part is kept answer by answer,
    and is not asked again either. Only one run at a time may record into a folder.

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
        If the folder holds a recording made with other settings, by another model or of other prompts, or another run
        records into it.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = {"runner": runner.name, "prompts_sha256": _digest(suite)}
    with alone_in(out):
        _check_settings(out / _SETTINGS, _public({**settings, **sampling._asdict(), **known}))
        with _answers_kept(runner, out / _ANSWERS):
            found = _record_missing(runner, suite, out, sampling=sampling, advance=advance)
        (out / _ANSWERS).unlink(missing_ok=True)  # every answer is in a part now
    return found


def _record_missing(
    runner: Runner,
    suite: dict[str, list[Question]],
    out: Path,
    *,
    sampling: Sampling,
    advance: Callable[[int, int], None] | None,
) -> Recording:
    n_new, set_aside = 0, []
    for number, (name, questions) in enumerate(suite.items()):
        path = out / f"{name}.parquet"
        if (damage := _damage(path)) is not None:
            set_aside.append(_set_aside(path, damage))
        if not path.exists():
            asked = sampling._replace(seed=sampling.seed + 1_000_003 * number)
            write_traces(path, [trace_batch(_part(runner, questions, asked, advance=advance))])
            n_new += 1
        elif advance:
            advance(len(questions) * sampling.n_samples, 0)
    return _count(out, suite, n_new)._replace(set_aside=tuple(set_aside))


def _damage(path: Path) -> str | None:
    """What is wrong with a part that is there."""
    try:
        for _ in read_traces(path, strict=True) if path.exists() else ():
            pass
    except TraceFormatError as exc:
        return str(exc)
    return None


def _set_aside(path: Path, damage: str) -> str:
    """Give a damaged part another name, under which nothing reads it, and say why."""
    numbers = (f".damaged{number or ''}" for number in count())
    aside = next(name for name in map(path.with_suffix, numbers) if not name.exists())
    path.replace(aside)
    return f"{damage} It is kept as {aside.name}, and recorded again."


@contextmanager
def _answers_kept(runner: Runner, path: Path) -> Iterator[None]:
    """Let a runner that can keep a journal do so."""
    if not hasattr(runner, "journal"):
        yield
        return
    with Journal(path) as journal:
        runner.journal = journal
        try:
            yield
        finally:
            runner.journal = None


def _digest(suite: dict[str, list[Question]]) -> str:
    """Hash of what is asked: ids, prompts and right answers, in order."""
    rows = [[name, *((q.prompt_id, str(q.prompt), q.gold) for q in questions)] for name, questions in suite.items()]
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()


def _public(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without keys and passwords: of a secret, the first digits of its hash tell that it changed."""
    return {name: _masked(name, value) for name, value in settings.items()}


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _public(value)
    if _SECRET_NAMES.search(name) and value:
        return "sha256:" + hashlib.sha256(str(value).encode()).hexdigest()[:8]
    if isinstance(value, str) and name == "extra":
        return _masked_text(value)
    if isinstance(value, str) and "://" in value:
        return re.sub(r"(?<=://)[^/@\s]*@", "***@", value).split("?", 1)[0]
    return value


def _masked_text(text: str) -> Any:
    """The fields of a request, given as JSON text."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:8]
    hidden = _public(found) if isinstance(found, dict) else found
    return text if hidden == found else msgspec.json.encode(hidden).decode()


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    encoded = msgspec.json.encode(settings)
    if not path.exists():
        with whole_file(path) as file:
            file.write(encoded)
        return
    try:
        before, now = msgspec.json.decode(path.read_bytes(), type=dict[str, Any]), msgspec.json.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"{path}: the settings of the recording are damaged ({exc}). Give another --out, or remove this file if "
            "the settings are those of the first run."
        ) from exc
    keys = [key for key in dict.fromkeys((*now, *before)) if key in before or key not in _NEWER]
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
    is_refused = trace.finish_reason == "refused"
    trace.correct = question.judge(trace.answer or "") if question.judge and not is_refused else None
    decoding = {"decoding": "sampled" if trace.temperature else "greedy"}
    trace.attributes = {**question.attributes, **decoding, **trace.attributes}
    return trace


def _count(out: Path, suite: dict[str, list[Question]], n_new: int) -> Recording:
    n_traces = n_tokens = n_refused = 0
    for name in suite:
        part = pq.read_table(out / f"{name}.parquet", columns=["n_tokens", "finish_reason"])
        n_traces += part.num_rows
        n_tokens += sum(n or 0 for n in part["n_tokens"].to_pylist())
        n_refused += part["finish_reason"].to_pylist().count("refused")
    return Recording(n_traces, n_tokens, n_new, n_refused)
