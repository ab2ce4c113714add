"""Real input: verifiable tasks of graded difficulty for recording a model."""

from .problems import Problem, final_answer, make_problems, verify
from .tasks import LEVELS, TASKS, Draft, Task

__all__ = ["LEVELS", "TASKS", "Draft", "Problem", "Task", "final_answer", "make_problems", "verify"]
