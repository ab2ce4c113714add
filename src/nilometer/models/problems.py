"""Problems with verified answers: making them by the hundred, and judging what a model replied."""

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from .tasks import TASKS

__all__ = ["Problem", "final_answer", "make_problems", "verify"]


class Problem(NamedTuple):
    """One question with its gold answer, the answer with its working, and the kind of answer wanted."""

    task: str
    level: str
    prompt: str
    gold: str
    worked: str = ""
    kind: str = "text"


def make_problems(
    task: str, level: int, n: int, *, rng: np.random.Generator, exclude: Collection[str] = ()
) -> list[Problem]:
    """Make up to ``n`` different problems, none with a prompt in ``exclude``; fewer where the level holds fewer.

    Examples
    --------
    >>> [p.prompt for p in make_problems("addition", 1, 2, rng=np.random.default_rng(0))]
    ['What is 86 + 6?', 'What is 56 + 3?']
    """
    maker = TASKS[task]
    problems: dict[str, Problem] = {}
    for _ in range(50 * n):
        draft = maker.make(rng, level)
        worked = f"{draft.working} Answer: {draft.gold}" if draft.working else f"Answer: {draft.gold}"
        if draft.question not in exclude:
            problem = Problem(task, str(level), draft.question, draft.gold, worked, maker.kind)
            problems.setdefault(draft.question, problem)
        if len(problems) == n:
            break
    return list(problems.values())


_ANSWER = re.compile(r"answer\s*(?:is|:)\s*", re.IGNORECASE)


def final_answer(text: str) -> str:
    """Return what follows the last "Answer:" or "answer is", or the whole text without it.

    Examples
    --------
    >>> final_answer("3x = 9 Answer: 3.")
    '3'
    """
    *before, last = _ANSWER.split(text)
    line = last.split("\n", 1)[0] if before else text
    return line.strip().strip(".\"'`* ").strip()


def _last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text, re.IGNORECASE)
    return found[-1].lower() if found else ""


def _number(text: str) -> str:
    return _last(r"-?\d[\d,]*(?:\.\d+)?", text).replace(",", "").removesuffix(".0")


def _sequence(text: str) -> str:
    return " ".join(re.findall(r"[\w-]+", text.rsplit(":", 1)[-1].lower()))


_READ: dict[str, Callable[[str], str]] = {
    "number": _number,
    "sequence": _sequence,
    "word": lambda text: _last(r"[\w:]+", text),
    "yes_no": lambda text: _last(r"\b(?:yes|no)\b", text),
    "text": lambda text: " ".join(text.lower().split()),
}


def verify(problem: Problem, answer: str) -> bool:
    """Tell whether an answer is right: its last number, word, yes or no, or its sequence equals the gold one.

    Case, surrounding words, thousands separators and commas between the items of a sequence do not count.
    A problem of kind ``text`` wants the gold answer alone.

    Examples
    --------
    >>> problem = Problem("addition", "1", "What is 5 + 5?", "10", kind="number")
    >>> verify(problem, "5 + 5 = 10."), verify(problem, "10 + 5 = 15")
    (True, False)
    """
    read = _READ[problem.kind]
    return bool(answer) and read(final_answer(answer)) == read(problem.gold)
