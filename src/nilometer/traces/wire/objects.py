"""Answers that are still Python objects: vLLM's offline outputs and Hugging Face's ``generate``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.errors import MissingLogprobsError

from ..batch import Trace, trace_batch
from .logprobs.clean import Listed, TokenLogprobs, clean_logprobs

__all__ = ["traces_from_generate", "traces_from_vllm"]


def traces_from_vllm(
    outputs: Iterable[Any], *, model: str | None = None, temperature: float | None = None, logprobs_mode: str = "raw"
) -> pa.RecordBatch:
    """Turn what ``vllm.LLM.generate`` or ``chat`` returned into traces, one per completion.

    Only the attributes are looked at (``request_id``, ``prompt``, ``outputs``; of each of these ``index``,
    ``text``, ``token_ids``, ``logprobs``, ``finish_reason``), so vLLM itself is not needed. ``logprobs`` holds
    per token a mapping from token id to an object with ``logprob`` and ``decoded_token``; the sampled token is
    always in it, so a token lists k or k + 1.

    Parameters
    ----------
    outputs
        ``RequestOutput`` objects.
    model, temperature
        What the outputs do not say.
    logprobs_mode
        ``raw`` (vLLM's default) or ``processed``, as the engine was started.

    Examples
    --------
    >>> from types import SimpleNamespace as Object
    >>> listed = {7: Object(logprob=-0.2, decoded_token="4"), 8: Object(logprob=-1.9, decoded_token="5")}
    >>> answer = Object(index=0, text="4", token_ids=[7], logprobs=[listed], finish_reason="stop")
    >>> batch = traces_from_vllm([Object(request_id="0", prompt="2+2?", outputs=[answer])])
    >>> batch.column("k").to_pylist()
    [2]
    """
    traces = []
    for output in outputs:
        many = len(output.outputs) > 1
        for answer in output.outputs:
            clean = _clean_vllm(answer.token_ids, answer.logprobs)
            traces.append(
                Trace(
                    trace_id=f"{output.request_id}#{answer.index}" if many else str(output.request_id),
                    prompt_id=str(output.request_id),
                    model=model,
                    provider="vllm",
                    temperature=temperature,
                    k=clean.top.shape[1] if clean else None,
                    logprobs_mode=logprobs_mode if clean else "unknown",
                    finish_reason=answer.finish_reason,
                    n_tokens=len(answer.token_ids),
                    chosen_logprobs=clean.chosen if clean else None,
                    top_logprobs=clean.top if clean else None,
                    tokens=_texts(answer),
                    prompt=output.prompt,
                    answer=answer.text,
                )
            )
    return trace_batch(traces)


def _clean_vllm(token_ids: Sequence[int], logprobs: Sequence[Mapping[int, Any]] | None) -> TokenLogprobs | None:
    if logprobs is None:
        return None
    chosen = [listed[token].logprob for token, listed in zip(token_ids, logprobs, strict=True)]
    rows = [[entry.logprob for entry in listed.values()] for listed in logprobs]
    return clean_logprobs(Listed(chosen, [value for row in rows for value in row], [len(row) for row in rows]))


def _texts(answer: Any) -> list[str] | None:
    if answer.logprobs is None:
        return None
    return [listed[token].decoded_token or "" for token, listed in zip(answer.token_ids, answer.logprobs, strict=True)]


def traces_from_generate(
    output: Any,
    *,
    tokenizer: Any = None,
    k: int = 20,
    ids: Sequence[str] | None = None,
    model: str | None = None,
    temperature: float | None = None,
) -> pa.RecordBatch:
    """Turn what a Hugging Face model's ``generate`` returned into traces, one per sequence.

    Call it with ``return_dict_in_generate=True`` and ``output_logits=True`` (raw) or ``output_scores=True``
    (after temperature and other processors: ``processed``). An answer ends with its first end token; what was
    padded after it is left out.

    Parameters
    ----------
    output
        Has ``sequences`` (batch, prompt + new) and ``logits`` or ``scores``: per step (batch, vocabulary).
    tokenizer
        Decodes tokens and answers, and names the end token; without it texts stay empty and nothing ends early.
    k
        Alternatives kept per token.
    ids
        Trace ids, one per sequence; numbers by default.
    model, temperature
        What the output does not say.

    Raises
    ------
    MissingLogprobsError
        If the output holds neither logits nor scores.

    Examples
    --------
    >>> from types import SimpleNamespace as Object
    >>> steps = [np.log([[0.7, 0.2, 0.1]]), np.log([[0.1, 0.8, 0.1]])]
    >>> output = Object(sequences=np.array([[5, 0, 1]]), logits=steps)
    >>> traces_from_generate(output, k=2).column("chosen_logprobs")[0].as_py()
    [-0.3566749393939972, -0.2231435477733612]
    """
    raw = getattr(output, "logits", None) is not None
    steps = output.logits if raw else getattr(output, "scores", None)
    if steps is None:
        raise MissingLogprobsError(
            "`output` must hold `logits` or `scores`. Call generate(return_dict_in_generate=True, output_logits=True)."
        )
    new = _array(output.sequences)[:, -len(steps) :].astype(np.int64)
    chosen, top = _picked(steps, new, k)
    ends = _lengths(new, getattr(tokenizer, "eos_token_id", None))
    traces = []
    for row, (length, ended) in enumerate(ends):
        tokens = new[row, :length].tolist()
        identity = str(row) if ids is None else str(ids[row])
        traces.append(
            Trace(
                trace_id=identity,
                prompt_id=identity,
                model=model,
                provider="transformers",
                k=top.shape[2],
                logprobs_mode="raw" if raw else "processed",
                temperature=temperature,
                finish_reason="stop" if ended else "length",
                n_tokens=length,
                chosen_logprobs=chosen[row, :length],
                top_logprobs=top[row, :length],
                tokens=[tokenizer.decode([token]) for token in tokens] if tokenizer else None,
                answer=tokenizer.decode(tokens, skip_special_tokens=True) if tokenizer else None,
            )
        )
    return trace_batch(traces)


def _array(values: Any) -> NDArray[Any]:
    """Take a numpy array or a torch tensor of any precision and device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return np.asarray(values)


def _picked(steps: Sequence[Any], new: NDArray[np.int64], k: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log-probability of the tokens taken, shape (batch, steps), and the k best, shape (batch, steps, k)."""
    from scipy.special import log_softmax

    chosen, top = [], []
    for step, scores in enumerate(steps):
        logprobs = log_softmax(_array(scores).astype(np.float64), axis=1)
        width = min(k, logprobs.shape[1])
        best = np.partition(logprobs, logprobs.shape[1] - width, axis=1)[:, -width:]
        top.append(-np.sort(-best, axis=1))
        chosen.append(np.take_along_axis(logprobs, new[:, step, None], axis=1)[:, 0])
    return np.stack(chosen, axis=1).astype(np.float32), np.stack(top, axis=1).astype(np.float32)


def _lengths(new: NDArray[np.int64], end: int | Sequence[int] | None) -> list[tuple[int, bool]]:
    """Tokens of each answer up to its first end token, and whether there was one."""
    found = np.isin(new, [] if end is None else end)
    return [(int(row.argmax()) + 1, True) if row.any() else (len(row), False) for row in found]
