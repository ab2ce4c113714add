"""Real input: verifiable tasks of graded difficulty for recording a model."""

from .tasks import LEVELS, TASKS, Problem, Task, final_answer, make_problems, verify

__all__ = ["LEVELS", "TASKS", "Problem", "Task", "final_answer", "make_problems", "verify"]
