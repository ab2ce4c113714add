"""Posteriors from what servers answer and what logs hold, in every format of traces that can be read."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from nilometer.errors import MissingLogprobsError, NotEnoughDataError, TraceFormatError
from nilometer.signals import Parser, parse_label
from nilometer.traces import traces_from_response

from .draws import whole_draw
from .posterior import Posterior
from .tokens import ListedToken, listed_tokens, score_masses, score_place

__all__ = ["posterior_from_lm_eval", "posterior_from_response", "posteriors_from_traces"]


_COLUMNS = ("tokens", "chosen_logprobs", "top_logprobs", "top_tokens")
"""Columns of a trace that say which tokens were likely."""


class _Place(NamedTuple):
    """Where a score stands, on which scale, and what to do without log-probabilities."""

    labels: tuple[Hashable, ...]
    field: str | None
    pattern: str | None
    fallback: str


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
    """Make a posterior over the labels of a scale from what a server answered to one request.

    Taken are the alternatives at the token where the score stands (``score_place``: the last match). Several
    choices are averaged: that is the mean over reasonings of what the model would say after each, which varies
    less than the scores drawn.

    Parameters
    ----------
    response
        In any format of ``FORMATS``, such as a chat completion; a dictionary, the object of a client, or vLLM's
        ``RequestOutput``.
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
    choices = _choices(response)
    if not choices:
        raise TraceFormatError("the response holds no choice.")
    place = _Place(tuple(labels), field, pattern, fallback)
    return _of_choices(choices, place, parse_label(place.labels, field=field, pattern=pattern), temperature=temperature)


def _of_choices(choices: list[_Choice], where: _Place, parse: Parser | None, *, temperature: float | None) -> Posterior:
    labels, field, pattern, fallback = where
    if fallback == "samples" and any(choice.tokens is None for choice in choices):
        texts = [whole_draw(choice.text, choice.finish_reason, labels=labels) for choice in choices]
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
            "the response holds no log-probabilities with texts. Ask for `logprobs=true, top_logprobs=20`, "
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


def _choices(response: Any) -> list[_Choice]:
    data = msgspec.json.encode(response, enc_hook=_plain)
    try:
        traces = traces_from_response(data, trace_id="response", keep=["top_tokens"])
    except TraceFormatError as exc:
        raise TraceFormatError(f"the response holds no choice that can be read: {exc}") from exc
    return [_of_columns(one.answer, one.finish_reason, [getattr(one, name) for name in _COLUMNS]) for one in traces]


def _plain(value: Any) -> Any:
    """Return an object of a client or of vLLM as a dictionary, a number of numpy as one of Python."""
    for name in ("model_dump", "item"):
        if hasattr(value, name):
            return getattr(value, name)()
    return dict(value) if isinstance(value, Mapping) else vars(value)


def _of_columns(answer: str | None, reason: str | None, columns: Sequence[Any]) -> _Choice:
    """Take one response from the columns of a trace: tokens, their log-probabilities, and those of the alternatives."""
    tokens, chosen, top, names = columns
    if chosen is None or (tokens is None and len(chosen)):
        return _Choice(answer, None, reason)
    if not len(chosen):
        return _Choice(answer, [], reason)
    texts = tokens or ()
    top = top if top is not None and names is not None else ()
    return _Choice(answer, listed_tokens(texts, chosen, top_texts=names or (), top_logprobs=top), reason)


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
    sums = _likelihoods(responses)
    if sums is None:
        texts = [text for response in responses for text in (response if isinstance(response, list) else [response])]
        return Posterior.from_samples(texts, parse)
    labels = tuple(map(str, range(len(sums))))
    top = max(sums)
    listed = {label: max(value, top - 700) for label, value in zip(labels, sums, strict=True)}
    masses = {label: math.exp(value - top) for label, value in listed.items()}
    posterior = Posterior.from_masses(masses, labels=labels, largest_open=0.0)
    return replace(posterior, missing_mass=max(0.0, 1.0 - math.fsum(map(math.exp, listed.values()))), open_labels=())


def _likelihoods(responses: Sequence[Any]) -> list[float] | None:
    """Log-likelihood of each choice, from pairs with whether it is the greedy one; None where texts were generated."""
    pairs = [response[0] if isinstance(response, list) and response else None for response in responses]
    if len(pairs) < 2 or not all(isinstance(pair, list) and pair for pair in pairs):
        return None
    try:
        return [float(pair[0]) for pair in pairs if pair]
    except (TypeError, ValueError) as exc:
        raise TraceFormatError(f"`resps` must hold texts or log-likelihoods, got {str(responses)[:80]}.") from exc


def posteriors_from_traces(
    traces: pa.Table | pa.RecordBatch,
    parse: Parser | None = None,
    *,
    labels: Sequence[Any] | None = None,
    field: str | None = None,
    pattern: str | None = None,
    fallback: str = "samples",
) -> dict[str, Posterior | NotEnoughDataError]:
    """Make a posterior per ``prompt_id`` from traces in nilometer's own form.

    On a scale, traces with the texts of the alternatives (``read_traces(files, keep=["top_tokens"])``) are read at the
    token where the score stands, as by :func:`posterior_from_response`. Of all others each answer is a draw; one that
    is null, empty, refused or cut off is a failed draw. A prompt without a readable answer keeps the reason in its
    place.

    Parameters
    ----------
    traces
        With ``prompt_id``, ``answer`` and ``temperature``.
    parse
        Reads a draw.
    labels, field, pattern
        As for :func:`posterior_from_response`.
    fallback
        ``"samples"``, or ``"error"`` if answers without log-probabilities on a scale are not to be counted as draws.

    Raises
    ------
    MissingLogprobsError
        If log-probabilities are missing and `fallback` is "error".

    Examples
    --------
    >>> table = pa.table({"prompt_id": ["a", "a", "b"], "answer": ["4", "5", None], "temperature": [1.0, 1.0, 1.0]})
    >>> found = posteriors_from_traces(table, lambda text: float(text))
    >>> found["a"].values, found["b"].reason
    ((4.0, 5.0), "none of the 1 samples can be read, for example '(no content)'.")
    """
    choices, temperatures = _by_prompt(traces)
    where = None if labels is None else _Place(tuple(labels), field, pattern, fallback)
    found: dict[str, Posterior | NotEnoughDataError] = {}
    for prompt, own in choices.items():
        seen = temperatures[prompt]
        temperature = next(iter(seen)) if len(seen) == 1 else None
        try:
            if where is not None and "top_tokens" in traces.schema.names:
                found[prompt] = _of_choices(own, where, parse, temperature=temperature)
            else:
                texts = [whole_draw(choice.text, choice.finish_reason, labels=labels) for choice in own]
                found[prompt] = Posterior.from_samples(texts, parse, labels=labels, temperature=temperature)
        except NotEnoughDataError as exc:
            found[prompt] = exc
    return found


def _by_prompt(traces: pa.Table | pa.RecordBatch) -> tuple[dict[str, list[_Choice]], dict[str, set[float | None]]]:
    """Return the answers to each prompt, and the temperatures they were drawn at."""
    is_listed = "top_tokens" in traces.schema.names
    names = ("prompt_id", "answer", "temperature", "finish_reason", *(_COLUMNS if is_listed else ()))
    columns = [
        traces.column(name).to_pylist() if name in traces.schema.names else [None] * traces.num_rows for name in names
    ]
    choices: dict[str, list[_Choice]] = {}
    temperatures: dict[str, set[float | None]] = {}
    for prompt, answer, temperature, reason, *listed in zip(*columns, strict=True):
        own = _of_columns(answer, reason, listed) if is_listed else _Choice(answer, None, reason)
        choices.setdefault(str(prompt), []).append(own)
        temperatures.setdefault(str(prompt), set()).add(temperature)
    return choices, temperatures
