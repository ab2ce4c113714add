from .attention import AttentionCapture as AttentionCapture
from .canary import (
    CANARY_PROMPTS as CANARY_PROMPTS,
    Canary as Canary,
    add_to_canary as add_to_canary,
    ask_canary as ask_canary,
    read_canary as read_canary,
    write_canary as write_canary,
)
from .embedders import (
    Embedder as Embedder,
    FunctionEmbedder as FunctionEmbedder,
    MiniLMEmbedder as MiniLMEmbedder,
    ServerEmbedder as ServerEmbedder,
    WordLlamaEmbedder as WordLlamaEmbedder,
    make_embedder as make_embedder,
)
from .embedding import EmbeddedTexts as EmbeddedTexts, embed_texts as embed_texts
from .hf import HFRunner as HFRunner, smollm2_folder as smollm2_folder
from .http import (
    PATIENT as PATIENT,
    RefusedError as RefusedError,
    Retries as Retries,
    clean_text as clean_text,
    retry_after as retry_after,
)
from .journal import Journal as Journal
from .problems import Problem as Problem, make_problems as make_problems, verify as verify
from .prompts import Conversation as Conversation
from .recording import Recording as Recording, Runner as Runner, Sampling as Sampling, record as record
from .sampler import *
from .scoring import *
from .server import ServerRunner as ServerRunner, Usage as Usage
from .suites import (
    Question as Question,
    SuiteOptions as SuiteOptions,
    make_suite as make_suite,
    question_of as question_of,
)
from .tasks import LEVELS as LEVELS, TASKS as TASKS, Draft as Draft, Task as Task
