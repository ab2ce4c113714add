"""Real input: models run in process or over HTTP, and suites of verifiable questions to record them on."""

from .embedders import (
    Embedder,
    FunctionEmbedder,
    MiniLMEmbedder,
    ServerEmbedder,
    WordLlamaEmbedder,
    make_embedder,
)
from .embedding import EmbeddedTexts, embed_texts
from .attention import AttentionCapture
from .hf import HFRunner, smollm2_folder
from .problems import Problem, make_problems, verify
from .recording import Recording, Runner, Sampling, record
from .server import ServerRunner
from .suites import Question, SuiteOptions, make_suite, question_of
from .tasks import LEVELS, TASKS, Draft, Task

__all__ = [
    "LEVELS",
    "TASKS",
    "AttentionCapture",
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
    "embed_texts",
    "make_embedder",
    "make_problems",
    "make_suite",
    "question_of",
    "record",
    "smollm2_folder",
    "verify",
]
