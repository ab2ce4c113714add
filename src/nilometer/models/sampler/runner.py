"""A runner that answers with the entropy-aware sampler."""

from collections.abc import Sequence

from nilometer.traces import Trace

from ..hf import HFRunner, Told
from ..recording import Sampling
from .sampler import EntropySampler

__all__ = ["SamplerRunner"]


class SamplerRunner:
    """Answers one prompt at a time with :class:`EntropySampler`; each trace says what it cost.

    Attributes of a trace: ``decoding`` is ``entropy_sampler``, ``n_evaluated`` the tokens that went through the
    model after the prompt, ``n_followed`` those taken inside a kept continuation.

    Parameters
    ----------
    runner
        The model.
    sampler
        Thresholds and options; ``Sampling.temperature`` replaces the temperature of the options.
    """

    def __init__(self, runner: HFRunner, sampler: EntropySampler) -> None:
        self.name = runner.name
        self._runner, self._sampler = runner, sampler

    def answer(self, prompts: Sequence[str], sampling: Sampling, *, seed: int) -> list[Trace]:
        """Answer every prompt once; prompt i draws with ``seed + i``."""
        options = self._sampler.options._replace(temperature=sampling.temperature)
        sampler = EntropySampler(self._sampler.thresholds, options)
        traces = []
        for number, prompt in enumerate(prompts):
            told = sampler.answer(
                self._runner.model,
                self._runner.encode(prompt),
                max_tokens=sampling.max_tokens,
                seed=seed + number,
                is_end=self._runner.is_end,
            )
            tokens = [Told(token.token, token.logprob, token.top_logprobs) for token in told.tokens]
            trace = self._runner.trace_of(tokens, sampling, ended=told.ended)
            followed = sum(token.state == "followed" for token in told.tokens)
            trace.attributes = {
                "decoding": "entropy_sampler",
                "n_evaluated": str(told.n_evaluated),
                "n_followed": str(followed),
            }
            traces.append(trace)
        return traces
