"""Real input: models run in process or over HTTP, and suites of verifiable questions to record them on."""

from .hf import HFRunner, smollm2_folder
from .problems import Problem, final_answer, make_problems, verify
from .recording import Recording, Runner, Sampling, record
from .server import ServerRunner
from .suites import Question, SuiteOptions, make_suite, question_of
from .tasks import LEVELS, TASKS, Draft, Task

__all__ = [
    "LEVELS",
    "TASKS",
    "Draft",
    "HFRunner",
    "Problem",
    "Question",
    "Recording",
    "Runner",
    "Sampling",
    "ServerRunner",
    "SuiteOptions",
    "Task",
    "final_answer",
    "make_problems",
    "make_suite",
    "question_of",
    "record",
    "smollm2_folder",
    "verify",
]
