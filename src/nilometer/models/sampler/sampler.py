"""Entropy-aware sampling with a Hugging Face causal model: a logits processor, and a loop that really branches."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Floats32
from nilometer.errors import ConfigError
from nilometer.signals import AttentionStatistics, attention_curves, token_signals

from ..attention import AttentionCapture
from ..cache import cache_name, check_positions
from .rules import Policy, SamplerOptions, SamplerThresholds, State, StepSignals, classify_step, policy_of

__all__ = ["EntropyProcessor", "EntropySampler", "SampledAnswer", "SampledToken", "drawable"]


class SampledToken(NamedTuple):
    """One token of an answer and why it was taken."""

    token: int
    logprob: float
    """Under the model's own distribution, before temperature."""
    top_logprobs: Floats32
    """Shape (k,), the model's own."""
    state: str
    """One of ``STATES``, or ``followed`` inside a continuation that was kept."""


class SampledAnswer(NamedTuple):
    """An answer with what it cost."""

    tokens: list[SampledToken]
    ended: bool
    """Whether an end token came, rather than the limit."""
    n_evaluated: int
    """Tokens that went through the model after the prompt, those of dropped continuations included."""


class EntropyProcessor:
    """A ``LogitsProcessor`` for ``generate(do_sample=True)``: temperature and cut-off follow each row's state.

    The distribution of a certain row keeps its best token only; the others are tempered and cut at ``min_p``. A
    processor cannot look ahead, so forked and lost rows are drawn at the temperature; :class:`EntropySampler`
    continues and compares them. ``torch.manual_seed`` fixes the draws.

    Parameters
    ----------
    thresholds
        From ``fit_thresholds`` on traces of the same model.
    options
        What to do with each state.
    capture
        An open ``AttentionCapture`` of the model, for the attention signals; None goes without.
    """

    def __init__(
        self,
        thresholds: SamplerThresholds,
        *,
        options: SamplerOptions | None = None,
        capture: AttentionCapture | None = None,
    ) -> None:
        self.thresholds, self.options, self._capture = thresholds, options or SamplerOptions(), capture
        self.states: list[list[State]] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the log-probabilities to draw from, shape (batch, vocabulary)."""
        import torch

        logprobs = torch.log_softmax(scores.float(), -1)
        rows, states = [], []
        for row, own in enumerate(logprobs):
            signals = _signals(_top(own, self.thresholds.k), self._capture, row)
            state = classify_step(signals, self.thresholds)
            policy = policy_of(state, signals, self.thresholds, options=self.options)
            warm = policy.temperature if policy.n_paths == 1 else self.options.temperature
            rows.append(drawable(own, warm, self.options.min_p))
            states.append(state)
        self.states.append(states)
        return torch.stack(rows)


@dataclass(frozen=True)
class EntropySampler:
    """Answers one prompt; where a token is forked or lost, several alternatives are continued and the best is kept.

    The continuations run as one batch from the same cache, greedily after their first token, and are compared by
    mean log-probability per token; the best is kept whole with its cache, so nothing is computed twice.

    Parameters
    ----------
    thresholds
        From ``fit_thresholds`` on traces of the same model. Attention is captured if they hold attention limits.
    options
        What to do with each state.
    """

    thresholds: SamplerThresholds
    options: SamplerOptions = field(default_factory=SamplerOptions)

    def answer(
        self,
        model: Any,
        input_ids: Any,
        *,
        max_tokens: int = 64,
        seed: int = 0,
        is_end: Callable[[int], bool] | None = None,
    ) -> SampledAnswer:
        """Answer a prompt of shape (1, tokens).

        Parameters
        ----------
        model
            A causal language model.
        input_ids
            Shape (1, tokens).
        max_tokens
            Longest answer.
        seed
            Fixes every draw.
        is_end
            Tells whether a token ends the answer; the model's own end tokens by default.

        Raises
        ------
        ConfigError
            If there is more than one row, or the answer may run beyond the positions of the model.
        """
        import torch

        if input_ids.shape[0] != 1:
            raise ConfigError(f"`input_ids` must hold one prompt, got {input_ids.shape[0]}.")
        check_positions(model, input_ids.shape[1], max_tokens)
        attends = self.thresholds.scatter_high is not None
        with torch.inference_mode(), AttentionCapture(model) if attends else nullcontext() as capture:
            run = _Run(self, model, capture=capture, seed=seed, is_end=is_end or _own_ends(model))
            return run.answer(input_ids, max_tokens)


class _Path(NamedTuple):
    """A continuation: its tokens, whether it ended, and the distribution after it."""

    tokens: list[SampledToken]
    ended: bool
    logprobs: Any

    @property
    def score(self) -> float:
        return sum(token.logprob for token in self.tokens) / len(self.tokens)


class _Run:
    """One answer in the making: the cache, the chance and the cost."""

    def __init__(
        self,
        sampler: EntropySampler,
        model: Any,
        *,
        capture: AttentionCapture | None,
        seed: int,
        is_end: Callable[[int], bool],
    ) -> None:
        import torch

        self._thresholds, self._options = sampler.thresholds, sampler.options
        self._model, self._capture, self._is_end = model, capture, is_end
        self._chance = torch.Generator(device=model.device).manual_seed(seed)
        self._cache: Any = None
        self._cache_name = cache_name(model)
        self.n_evaluated = 0

    def answer(self, input_ids: Any, max_tokens: int) -> SampledAnswer:
        logprobs = self._forward(input_ids)[0]
        self.n_evaluated = 0
        tokens: list[SampledToken] = []
        while len(tokens) < max_tokens:
            path = self._next(logprobs, max_tokens - len(tokens))
            tokens += path.tokens
            if path.ended:
                return SampledAnswer(tokens, ended=True, n_evaluated=self.n_evaluated)
            logprobs = path.logprobs
        return SampledAnswer(tokens, ended=False, n_evaluated=self.n_evaluated)

    def _forward(self, tokens: Any) -> Any:
        """Log-probabilities after the last token of every row, shape (rows, vocabulary)."""
        import torch

        out = self._model(input_ids=tokens, use_cache=True, logits_to_keep=1, **{self._cache_name: self._cache})
        self._cache = out[self._cache_name]
        self.n_evaluated += tokens.numel()
        return torch.log_softmax(out.logits[:, -1].float(), -1)

    def _next(self, logprobs: Any, room: int) -> _Path:
        signals = _signals(_top(logprobs, self._thresholds.k), self._capture, 0)
        state = classify_step(signals, self._thresholds)
        policy = policy_of(state, signals, self._thresholds, options=self._options)
        firsts = self._alternatives(logprobs, policy)
        if len(firsts) > 1:
            return self._best_path(logprobs, firsts, state=state, length=min(self._options.lookahead, room))
        token = self._told(int(firsts[0]), logprobs, state)
        ended = self._is_end(token.token)
        return _Path([token], ended, None if ended else self._forward(firsts[None])[0])

    def _alternatives(self, logprobs: Any, policy: Policy) -> Any:
        """First tokens to try, shape (paths,): the most probable, or drawn without replacement."""
        if policy.n_paths > 1 and not policy.drawn:
            best, tokens = logprobs.topk(policy.n_paths)
            return tokens[best >= best[0] + _log(self._options.min_p)]
        weights = drawable(logprobs, policy.temperature, self._options.min_p).exp()
        n = min(policy.n_paths, int((weights > 0).sum()))
        return weights.multinomial(n, replacement=False, generator=self._chance)

    def _best_path(self, logprobs: Any, firsts: Any, *, state: State, length: int) -> _Path:
        n = len(firsts)
        self._cache.batch_repeat_interleave(n)
        self._take([0] * n)
        told: list[list[SampledToken]] = [[] for _ in range(n)]
        ended, current, after, name = [False] * n, firsts, logprobs.expand(n, -1), str(state)
        for _ in range(length):
            for row in range(n):
                if not ended[row]:
                    told[row].append(self._told(int(current[row]), after[row], name))
                    ended[row] = self._is_end(int(current[row]))
            if all(ended):
                break
            after = self._forward(current[:, None])
            current, name = after.argmax(-1), "followed"
        paths = [_Path(told[row], ended[row], after[row]) for row in range(n)]
        best = max(range(n), key=lambda row: paths[row].score)
        self._take([best])
        self._cache.batch_select_indices(firsts.new_tensor([best]))
        return paths[best]

    def _take(self, rows: list[int]) -> None:
        if self._capture is not None:
            self._capture.select(rows)

    def _told(self, token: int, logprobs: Any, state: str) -> SampledToken:
        return SampledToken(token, float(logprobs[token]), _top(logprobs, self._thresholds.k), state)


def drawable(logprobs: Any, temperature: float, min_p: float) -> Any:
    """Temper one row of log-probabilities and cut it at ``min_p`` of the best; temperature 0 keeps the best only."""
    if temperature <= 0:
        return logprobs.new_full(logprobs.shape, -math.inf).index_fill_(0, logprobs.argmax()[None], 0.0)
    hidden = logprobs < logprobs.max() + _log(min_p)
    return (logprobs / temperature).masked_fill(hidden, -math.inf).log_softmax(-1)


def _signals(top: Floats32, capture: AttentionCapture | None, row: int) -> StepSignals:
    found = token_signals(top[:1], top[None])
    entropy, varentropy = float(found.renormalized_entropy[0]), float(found.varentropy[0])
    if capture is None:
        return StepSignals(entropy, varentropy)
    curves = attention_curves(AttentionStatistics(*(value[None] for value in capture.last(row))))
    return StepSignals(entropy, varentropy, float(curves.entropy[0]), float(curves.agreement[0]))


def _top(logprobs: Any, k: int) -> Floats32:
    best = logprobs.topk(min(k, logprobs.shape[0]))[0].clamp(max=0)
    return np.asarray(best.cpu().numpy(), dtype=np.float32)


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -math.inf


def _own_ends(model: Any) -> Callable[[int], bool]:
    given = model.generation_config.eos_token_id
    ends = set(given if isinstance(given, list) else [given]) - {None}
    return lambda token: token in ends
