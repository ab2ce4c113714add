"""Posteriors from what servers answer and what logs hold; only attributes and keys are looked at."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from nilometer.errors import MissingLogprobsError, NotEnoughDataError, TraceFormatError
from nilometer.signals import Parser, parse_label

from .draws import FailedDraw, whole_draw
from .posterior import Posterior
from .tokens import ListedToken, score_masses, score_place

__all__ = ["posterior_from_lm_eval", "posterior_from_response", "posteriors_from_traces"]


class _Choice(NamedTuple):
    text: str | None
    tokens: list[ListedToken] | None
    finish_reason: str | None = None


def posterior_from_response(
    response: Any,
    labels: Sequence[Hashable],
    *,
    field: str | None = None,
    pattern: str | None = None,
    fallback: str = "error",
    temperature: float | None = None,
) -> Posterior:
    """Make a posterior over the labels of a scale from a response of OpenAI's API, vLLM, llama.cpp and the like.

    Taken are the alternatives at the token where the score stands (``score_place``: the last match). Several
    choices are averaged: that is the mean over reasonings of what the model would say after each, which varies
    less than the scores drawn.

    Parameters
    ----------
    response
        A chat or text completion, llama.cpp's own answer, or vLLM's ``RequestOutput``; an object or a dictionary.
    labels
        The scale. Labels of one token each ("1" to "9", letters) need no bounds.
    field, pattern
        Where the score stands; by default at the last label that stands by itself.
    fallback
        ``"error"``, or ``"samples"`` to count each choice's label where log-probabilities are missing.
    temperature
        To which the log-probabilities refer: 1 where the server reports them before temperature.

    Raises
    ------
    MissingLogprobsError
        If log-probabilities are missing and `fallback` is "error".
    NotEnoughDataError
        If no choice states a label.

    Examples
    --------
    >>> top = [{"token": "4", "logprob": -0.4}, {"token": "5", "logprob": -1.4}, {"token": " 5", "logprob": -3.0}]
    >>> content = [{"token": "Score: ", "logprob": 0.0, "top_logprobs": []}, {**top[0], "top_logprobs": top}]
    >>> reply = {"choices": [{"message": {"content": "Score: 4"}, "logprobs": {"content": content}}]}
    >>> posterior = posterior_from_response(reply, range(1, 6), temperature=1.0)
    >>> posterior.values, posterior.weights.round(3).tolist(), round(posterior.missing_mass, 3)
    ((4, 5), [0.693, 0.307], 0.033)
    """
    if fallback not in ("error", "samples"):
        raise ValueError(f"`fallback` must be 'error' or 'samples', got {fallback!r}.")
    labels = tuple(labels)
    choices = _choices(response)
    if not choices:
        raise TraceFormatError("the response holds no choice: no `choices`, `outputs` or `completion_probabilities`.")
    if fallback == "samples" and any(choice.tokens is None for choice in choices):
        texts = [whole_draw(choice.text, choice.finish_reason, labels=labels) for choice in choices]
        parse = parse_label(labels, field=field, pattern=pattern)
        return Posterior.from_samples(texts, parse, labels=labels, temperature=temperature)
    read = [_of_choice(choice, labels, field=field, pattern=pattern, temperature=temperature) for choice in choices]
    found = [one for one in read if one is not None]
    failed = [choice.text or "(no content)" for choice, one in zip(choices, read, strict=True) if one is None]
    if not found:
        raise NotEnoughDataError(
            f"no answer states a label of the scale, for example {failed[0][:120]!r}.",
            "Name the place with `field` or `pattern`, or check `labels`.",
        )
    failures = tuple(text[:120] for text in failed[:5])
    return replace(_mixture(found), n_failures=len(failed), failures=failures)


def _of_choice(
    choice: _Choice, labels: tuple[Hashable, ...], *, field: str | None, pattern: str | None, temperature: float | None
) -> Posterior | None:
    if choice.tokens is None:
        raise MissingLogprobsError(
            "the response holds no log-probabilities. Ask for `logprobs=true, top_logprobs=20`, "
            "or set `fallback='samples'` to count the answers instead."
        )
    joined = "".join(token.text for token in choice.tokens)
    place = score_place(joined, labels, field=field, pattern=pattern)
    masses = score_masses(choice.tokens, place, labels) if place >= 0 else None
    if masses is None:
        return None
    return Posterior.from_masses(
        masses.masses,
        labels=labels,
        largest_open=masses.largest_open,
        open_labels=masses.open_labels,
        temperature=temperature,
    )


def _mixture(posteriors: Sequence[Posterior]) -> Posterior:
    """Average over choices, each counting the same."""
    if len(posteriors) == 1:
        return posteriors[0]
    labels = posteriors[0].labels or ()
    table = np.zeros((len(posteriors), len(labels)))
    for row, one in zip(table, posteriors, strict=True):
        row[[labels.index(value) for value in one.values]] = one.weights
    mean = table.mean(axis=0)
    held = [place for place in np.argsort([*map(_number, labels)], kind="stable") if mean[place] > 0]
    opened = {label for one in posteriors for label in one.open_labels}
    return replace(
        posteriors[0],
        values=tuple(labels[place] for place in held),
        weights=mean[held],
        n_samples=len(posteriors),
        n_effective=float(len(posteriors)),
        open_labels=tuple(label for label in labels if label in opened),
        missing_mass=float(np.mean([one.missing_mass for one in posteriors])),
        largest_open=max(one.largest_open for one in posteriors),
    )


def _number(label: Hashable) -> float:
    return float(label) if isinstance(label, int | float) else 0.0


def _get(value: Any, *names: str) -> Any:
    for name in names:
        found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if found is not None:
            return found
    return None


def _choices(response: Any) -> list[_Choice]:
    native = _get(response, "completion_probabilities")
    if native is not None:
        return [_Choice(str(_get(response, "content") or ""), _native(native))]
    return [_choice(choice) for choice in _get(response, "choices", "outputs") or ()]


def _choice(choice: Any) -> _Choice:
    message = _get(choice, "message")
    found = _get(choice, "text") if message is None else _get(message, "content")
    text, finish = (None if found is None else str(found)), _get(choice, "finish_reason")
    logprobs = _get(choice, "logprobs")
    if logprobs is None:
        return _Choice(text, None, finish)
    content = _get(logprobs, "content")
    if content is not None:
        return _Choice(text, [_chat_token(token) for token in content], finish)
    if _get(logprobs, "tokens") is not None:
        return _Choice(text, _completion_tokens(logprobs), finish)
    if isinstance(logprobs, Sequence):
        return _Choice(text, _vllm_tokens(choice, logprobs), finish)
    return _Choice(text, None, finish)


def _listed(text: str, logprob: Any, others: Iterable[tuple[str, Any]]) -> ListedToken:
    """The alternatives of a token; a repeated text counts once, below-the-cut-off values not at all."""
    rows = {text: _p(logprob)}
    for other, value in others:
        if other not in rows:
            rows[other] = _p(value)
    return ListedToken(text, tuple((key, p) for key, p in rows.items() if p > 0))


def _p(logprob: Any) -> float:
    if logprob is None or (value := float(logprob)) <= -9999 or math.isnan(value):
        return 0.0
    if value > 1e-3:
        raise TraceFormatError(f"a `logprob` must be <= 0, got {value:g}.")
    return math.exp(min(value, 0.0))


def _chat_token(token: Any) -> ListedToken:
    others = [(str(_get(row, "token")), _get(row, "logprob")) for row in _get(token, "top_logprobs") or ()]
    return _listed(str(_get(token, "token") or ""), _get(token, "logprob"), others)


def _completion_tokens(logprobs: Any) -> list[ListedToken]:
    tokens, values = _get(logprobs, "tokens"), _get(logprobs, "token_logprobs") or []
    tops = _get(logprobs, "top_logprobs") or [{}] * len(tokens)
    return [_listed(text, value, (top or {}).items()) for text, value, top in zip(tokens, values, tops, strict=False)]


def _vllm_tokens(choice: Any, logprobs: Sequence[Any]) -> list[ListedToken]:
    rows = []
    for token, listed in zip(_get(choice, "token_ids") or (), logprobs, strict=True):
        own = listed[token]
        others = [(_get(entry, "decoded_token") or "", _get(entry, "logprob")) for entry in listed.values()]
        rows.append(_listed(_get(own, "decoded_token") or "", _get(own, "logprob"), others))
    return rows


def _native(tokens: Sequence[Any]) -> list[ListedToken]:
    """Tokens of llama.cpp's own endpoint, in its present form (logprobs) and its old one (probabilities)."""
    rows = []
    for token in tokens:
        top = _get(token, "top_logprobs", "top_probs", "probs") or ()
        others = [(str(_get(row, "token", "tok_str")), _logprob(row)) for row in top]
        text = str(_get(token, "token", "content") or "")
        own = _logprob(token) if _logprob(token) is not None else dict(others).get(text)
        rows.append(_listed(text, own, others))
    return rows


def _logprob(row: Any) -> float | None:
    value = _get(row, "logprob")
    if value is not None:
        return float(value)
    p = _get(row, "prob")
    return None if p is None else math.log(p) if p > 0 else -math.inf


def posterior_from_lm_eval(sample: Mapping[str, Any], parse: Parser | None = None) -> Posterior:
    """Make a posterior from one sample of an lm-evaluation-harness log.

    A multiple-choice sample gives the probabilities of the choices, named "0", "1", … (the mass of everything else
    is missing mass, commonly nearly all of it); a generated one gives its answers as samples.

    Examples
    --------
    >>> sample = {"doc_id": 0, "resps": [[["-1.0", "True"]], [["-2.0", "False"]]]}
    >>> posterior_from_lm_eval(sample).weights.round(3).tolist()
    [0.731, 0.269]
    """
    responses = sample.get("resps")
    if not isinstance(responses, Sequence) or not responses:
        raise TraceFormatError("`resps` must be a list of responses.")
    try:
        sums = [float(response[0][0]) for response in responses] if len(responses) > 1 else None
    except (TypeError, ValueError, IndexError):
        sums = None
    if sums is None:
        texts = [text for response in responses for text in (response if isinstance(response, list) else [response])]
        return Posterior.from_samples(texts, parse)
    labels = tuple(map(str, range(len(sums))))
    top = max(sums)
    listed = {label: max(value, top - 700) for label, value in zip(labels, sums, strict=True)}
    masses = {label: math.exp(value - top) for label, value in listed.items()}
    posterior = Posterior.from_masses(masses, labels=labels, largest_open=0.0)
    return replace(posterior, missing_mass=max(0.0, 1.0 - math.fsum(map(math.exp, listed.values()))), open_labels=())


def posteriors_from_traces(
    traces: pa.Table | pa.RecordBatch, parse: Parser | None = None, *, labels: Sequence[Any] | None = None
) -> dict[str, Posterior | NotEnoughDataError]:
    """Make a posterior per ``prompt_id`` from traces in nilometer's own form, each answer being a draw.

    Traces keep the texts of the tokens that were generated, not of their alternatives, so the posterior is that of
    the draws. An answer that is null, empty or cut off is a failed draw. A prompt without a readable answer keeps the
    reason in its place.

    Examples
    --------
    >>> table = pa.table({"prompt_id": ["a", "a", "b"], "answer": ["4", "5", None], "temperature": [1.0, 1.0, 1.0]})
    >>> found = posteriors_from_traces(table, lambda text: float(text))
    >>> found["a"].values, found["b"].reason
    ((4.0, 5.0), "none of the 1 samples can be read, for example '(no content)'.")
    """
    answers: dict[str, list[str | FailedDraw]] = {}
    temperatures: dict[str, set[float]] = {}
    columns = [traces.column(name).to_pylist() for name in ("prompt_id", "answer", "temperature")]
    has_reasons = "finish_reason" in traces.schema.names
    reasons = traces.column("finish_reason").to_pylist() if has_reasons else [None] * traces.num_rows
    for prompt, answer, temperature, reason in zip(*columns, reasons, strict=True):
        answers.setdefault(str(prompt), []).append(whole_draw(answer, reason, labels=labels))
        temperatures.setdefault(str(prompt), set()).add(temperature)
    found: dict[str, Posterior | NotEnoughDataError] = {}
    for prompt, texts in answers.items():
        seen = temperatures[prompt]
        temperature = next(iter(seen)) if len(seen) == 1 else None
        try:
            found[prompt] = Posterior.from_samples(texts, parse, labels=labels, temperature=temperature)
        except NotEnoughDataError as exc:
            found[prompt] = exc
    return found
