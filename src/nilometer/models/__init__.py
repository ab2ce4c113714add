"""Real input: models run in process or over HTTP, and suites of verifiable questions to record them on."""

from .canary import CANARY_PROMPTS, Canary, ask_canary, read_canary, write_canary
from .embedders import (
    Embedder,
    FunctionEmbedder,
    MiniLMEmbedder,
    ServerEmbedder,
    WordLlamaEmbedder,
    make_embedder,
)
from .embedding import EmbeddedTexts, embed_texts
from .hf import HFRunner, smollm2_folder
from .problems import Problem, make_problems, verify
from .recording import Recording, Runner, Sampling, record
from .server import ServerRunner
from .suites import Question, SuiteOptions, make_suite, question_of
from .tasks import LEVELS, TASKS, Draft, Task

__all__ = [
    "CANARY_PROMPTS",
    "LEVELS",
    "TASKS",
    "Canary",
    "Draft",
    "EmbeddedTexts",
    "Embedder",
    "FunctionEmbedder",
    "HFRunner",
    "MiniLMEmbedder",
    "Problem",
    "Question",
    "Recording",
    "Runner",
    "Sampling",
    "ServerEmbedder",
    "ServerRunner",
    "SuiteOptions",
    "Task",
    "WordLlamaEmbedder",
    "ask_canary",
    "embed_texts",
    "final_answer",
    "make_embedder",
    "make_problems",
    "make_suite",
    "question_of",
    "read_canary",
    "record",
    "smollm2_folder",
    "verify",
    "write_canary",
]
