"""Samples of lm-evaluation-harness."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from nilometer.errors import TraceFormatError

from ...batch import Trace
from ...labels import parse_correct
from ..lines.context import Context, scalars
from ..lines.line import Line
from ..logprobs.clean import Listed, clean_logprobs

__all__ = ["is_lm_eval", "parse_lm_eval"]

_TASK_OF_FILE = re.compile(r"samples_(.+)_\d{4}-\d\d-\d\dT")
_SHORT = 64


def is_lm_eval(line: Line) -> bool:
    """Return whether the line is a sample of lm-evaluation-harness."""
    return "doc_id" in line and "resps" in line


def parse_lm_eval(line: Line, context: Context) -> Iterator[Trace]:
    """Yield one trace per sample, or one per text where a sample drew several.

    These logs hold no token. Of a multiple-choice sample, the summed log-probabilities of the choices,
    renormalised, become one token whose alternatives are the choices; of a generated sample only the text.
    The label is the first metric of the log, which of several texts judges the first; the short fields of the document
    are attributes.
    """
    responses = line.get("resps")
    names = [*(line.get("metrics") or ()), "acc", "exact_match", "acc_norm"]
    metric = next((line.get(name) for name in names if name in line), None)
    task = _TASK_OF_FILE.match(context.fallback_id)
    first = next(iter((line.get("arguments") or {}).values()), None) if line.child("arguments") else None
    identity = f"{line.get('doc_hash') or line.get('doc_id')}/{line.get('filter', 'none')}"
    trace = Trace(
        trace_id=str(context.trace_id or (f"{task[1]}/{identity}" if task else identity)),
        prompt_id=f"{task[1]}/{line.get('doc_id')}" if task else str(line.get("doc_id")),
        prompt=first.get("arg_0") if isinstance(first, dict) else None,
        provider="lm-evaluation-harness",
        correct=parse_correct(metric),
    )
    fields = {key: text for key, text in scalars(line.get("doc")).items() if len(text) <= _SHORT}
    context.attributes = fields | ({"task": task[1]} if task else {})
    sums = _conditional(line, _choice_sums(responses))
    if sums is None:
        yield from _texts(trace, responses)
        return
    if not np.isfinite(sums).all():
        raise TraceFormatError("the sums of the choices must be finite numbers.")
    values = np.array(sums) - np.logaddexp.reduce(sums)
    clean = clean_logprobs(Listed([float(values.max())], [float(value) for value in values], [len(values)]))
    trace.k, trace.n_tokens = len(values), 1
    trace.chosen_logprobs, trace.top_logprobs = clean.chosen, clean.top
    trace.answer = str(int(values.argmax()))
    yield trace


def _texts(trace: Trace, responses: Any) -> Iterator[Trace]:
    """Yield the trace of every text that was drawn; the first carries the label."""
    given = [responses] if not isinstance(responses, list) else responses
    texts = [str(text) for group in given for text in (group if isinstance(group, list) else [group])] or [""]
    for place, text in enumerate(texts):
        identity = f"{trace.trace_id}#{place}" if len(texts) > 1 else trace.trace_id
        yield replace(trace, trace_id=identity, answer=text, correct=None if place else trace.correct)


def _choice_sums(responses: Any) -> list[float] | None:
    try:
        return [float(response[0][0]) for response in responses] if len(responses) > 1 else None
    except (TypeError, ValueError, IndexError):
        return None


def _conditional(line: Line, sums: list[float] | None) -> list[float] | None:
    """Leave out the second half where it repeats the choices without the question (``acc_mutual_info``)."""
    if sums is None or len(sums) % 2:
        return sums
    half = len(sums) // 2
    given = line.child("arguments")
    asked = given.plain().values() if given is not None else ()
    texts = [value.get("arg_1") for value in asked if isinstance(value, dict)]
    repeated = half > 1 and len(texts) == len(sums) and texts[:half] == texts[half:] and len(set(texts)) == half
    return sums[:half] if repeated or "acc_mutual_info" in line else sums
