"""Real input: models run in process or over HTTP, and suites of verifiable questions to record them on."""

from .attention import AttentionCapture
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
from .sampler import EntropyProcessor, EntropySampler, SampledAnswer, SampledToken
from .sampler_rules import (
    STATES,
    Policy,
    SamplerOptions,
    SamplerThresholds,
    StepSignals,
    classify_step,
    fit_thresholds,
    policy_of,
    read_thresholds,
    write_thresholds,
)
from .sampler_runner import SamplerRunner
from .server import ServerRunner
from .suites import Question, SuiteOptions, make_suite, question_of
from .tasks import LEVELS, TASKS, Draft, Task

__all__ = [
    "CANARY_PROMPTS",
    "LEVELS",
    "STATES",
    "TASKS",
    "AttentionCapture",
    "Canary",
    "Draft",
    "EmbeddedTexts",
    "Embedder",
    "EntropyProcessor",
    "EntropySampler",
    "FunctionEmbedder",
    "HFRunner",
    "MiniLMEmbedder",
    "Policy",
    "Problem",
    "Question",
    "Recording",
    "Runner",
    "SampledAnswer",
    "SampledToken",
    "SamplerOptions",
    "SamplerRunner",
    "SamplerThresholds",
    "Sampling",
    "ServerEmbedder",
    "ServerRunner",
    "StepSignals",
    "SuiteOptions",
    "Task",
    "WordLlamaEmbedder",
    "ask_canary",
    "classify_step",
    "embed_texts",
    "final_answer",
    "fit_thresholds",
    "make_embedder",
    "make_problems",
    "make_suite",
    "policy_of",
    "question_of",
    "read_canary",
    "read_thresholds",
    "record",
    "smollm2_folder",
    "verify",
    "write_canary",
    "write_thresholds",
]
