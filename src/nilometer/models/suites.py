"""Suites of questions to record: verifiable tasks, reasoning-gym datasets, or the user's own prompts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.signals import final_answer

from .problems import Problem, make_problems, verify
from .prompts import Conversation
from .tasks import LEVELS, TASKS

__all__ = ["Question", "SuiteOptions", "make_suite", "question_of"]

_ROWS_PER_PART = 200


class Question(NamedTuple):
    """One prompt to record: its id, the gold answer where there is one, and who judges the reply."""

    prompt_id: str
    prompt: str
    gold: str | None
    attributes: dict[str, str]
    judge: Callable[[str], float] | None
    candidates: Any = None
    """What a line of a file lists as answers, as it stands there."""
    place: str = ""
    """File and line, for messages."""


class SuiteOptions(NamedTuple):
    """What to take from a suite."""

    n: int = 100
    """Prompts per slice."""
    seed: int = 0
    tasks: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()


def make_suite(name: str, options: SuiteOptions) -> dict[str, list[Question]]:
    """Return the questions of a suite by part; the same name and options always give the same questions.

    Parameters
    ----------
    name
        ``basic`` (the tasks and levels of this package), ``rg:DATASET,DATASET`` (reasoning-gym), or the path of
        a JSONL file with ``prompt`` and, where known, ``answer`` or ``gold``; other scalars become attributes.
    options
        Prompts per slice, seed, and for ``basic`` the tasks and levels.

    Raises
    ------
    ConfigError
        If the suite, a task, a level or a dataset is unknown.
    TraceFormatError
        If a line of the file is not readable.

    Examples
    --------
    >>> suite = make_suite("basic", SuiteOptions(n=2, tasks=("addition",), levels=(1,)))
    >>> [question.prompt_id for question in suite["addition-1"]]
    ['addition-1-0', 'addition-1-1']
    """
    if name == "basic":
        return _basic(options)
    if name.startswith("rg:"):
        return {dataset: _gym(dataset, options) for dataset in name[3:].split(",")}
    if not Path(name).is_file():
        raise ConfigError(f"`suite` must be basic, rg:DATASET or a JSONL file, got {name!r}.")
    return _file(Path(name))


def _basic(options: SuiteOptions) -> dict[str, list[Question]]:
    tasks, levels = options.tasks or tuple(TASKS), options.levels or LEVELS
    for given, known in ((tasks, tuple(TASKS)), (levels, LEVELS)):
        unknown = [item for item in given if item not in known]
        if unknown:
            raise ConfigError(f"the basic suite has {', '.join(map(str, known))}, got {unknown[0]!r}.")
    suite = {}
    for task in tasks:
        for level in levels:
            rng = np.random.default_rng([options.seed, list(TASKS).index(task), level])
            problems = make_problems(task, level, options.n, rng=rng)
            suite[f"{task}-{level}"] = [question_of(problem, i) for i, problem in enumerate(problems)]
    return suite


def question_of(problem: Problem, number: int) -> Question:
    """Turn a problem of the basic suite into a question."""
    attributes = {"domain": problem.task, "level": problem.level, "suite": "basic", "gold": problem.gold}
    identity = f"{problem.task}-{problem.level}-{number}"
    return Question(identity, problem.prompt, problem.gold, attributes, partial(_verified, problem))


def _verified(problem: Problem, answer: str) -> float:
    return float(verify(problem, answer))


def _gym(dataset: str, options: SuiteOptions) -> list[Question]:
    try:
        import reasoning_gym
    except ImportError as exc:
        raise ConfigError("the suites rg:… need reasoning-gym. pip install 'nilometer[hf]'.") from exc
    try:
        data: Any = reasoning_gym.create_dataset(dataset, size=options.n, seed=options.seed)
    except ValueError as exc:
        raise ConfigError(f"`suite` must name a dataset of reasoning-gym, got {dataset!r} ({exc}).") from exc
    return [
        Question(
            f"{dataset}-{i}",
            entry["question"],
            str(entry["answer"]),
            {"domain": dataset, "suite": "reasoning-gym", "gold": str(entry["answer"])},
            partial(_scored, data, entry),
        )
        for i, entry in enumerate(data)
    ]


def _scored(data: Any, entry: dict[str, Any], answer: str) -> float:
    return float(np.clip(data.score_answer(final_answer(answer), entry), 0, 1))


def _file(path: Path) -> dict[str, list[Question]]:
    questions = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise TraceFormatError(f"{path}:{number}: not a JSON object ({exc}).") from exc
        place = f"{path}:{number}"
        row["prompt"] = _prompt(row, place)
        question = _own_question(row, f"{path.stem}-{number}")
        questions.append(question._replace(candidates=row.get("candidates"), place=place))
    if not questions:
        raise TraceFormatError(f"{path}: the file is empty.")
    starts = range(0, len(questions), _ROWS_PER_PART)
    return {f"{path.stem}-{i:05}": questions[i : i + _ROWS_PER_PART] for i in starts}


def _prompt(row: dict[str, Any], where: str) -> str:
    """The prompt of a line: a text, or a chat under `messages` or `prompt`."""
    messages = row.get("messages") if row.get("prompt") is None else row["prompt"]
    if isinstance(messages, str):
        return messages
    if isinstance(messages, list) and messages and all(isinstance(one, dict) and "role" in one for one in messages):
        return Conversation.of(messages)
    raise TraceFormatError(f"{where}: `prompt` must be a text, or `messages` a chat, got {str(messages)[:80]!r}.")


def _own_question(row: dict[str, Any], identity: str) -> Question:
    gold = next((str(row[key]) for key in ("gold", "answer") if row.get(key) is not None), None)
    scalars = {key: str(value) for key, value in row.items() if isinstance(value, str | int | float | bool)}
    attributes = {key: value for key, value in scalars.items() if key not in {"prompt", "answer", "prompt_id", "id"}}
    prompt_id = str(row.get("prompt_id") or row.get("id") or identity)
    judge = None if gold is None else partial(_verified, Problem("", "", row["prompt"], gold))
    return Question(prompt_id, row["prompt"], gold, attributes, judge)
