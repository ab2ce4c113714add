"""Problems with verified answers: making them by the hundred, and judging what a model replied."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from nilometer.signals import last_value

from .tasks import TASKS

__all__ = ["Problem", "make_problems", "verify"]


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


def verify(problem: Problem, answer: str) -> bool:
    """Return whether an answer is right: its last number, word, yes or no, or its sequence equals the gold one.

    Case, surrounding words, thousands separators and commas between the items of a sequence do not count.
    A problem of kind ``text`` wants the gold answer alone.

    Examples
    --------
    >>> problem = Problem("addition", "1", "What is 5 + 5?", "10", kind="number")
    >>> verify(problem, "5 + 5 = 10."), verify(problem, "10 + 5 = 15")
    (True, False)
    """
    return bool(answer) and last_value(answer, problem.kind) == last_value(problem.gold, problem.kind)
