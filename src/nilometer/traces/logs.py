"""Logs of evaluation and tracing tools: inspect_ai, OpenInference spans, lm-evaluation-harness, plain columns."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from .batch import Trace
from .labels import LABEL_COLUMNS, parse_correct
from .line import Context, Line, microseconds
from .logprobs import clean_logprobs
from .openai_chat import parse_openai_chat
from .schema import TRACE_SCHEMA

__all__ = [
    "is_inspect_sample",
    "is_lm_eval",
    "is_openinference",
    "is_plain",
    "parse_inspect_sample",
    "parse_lm_eval",
    "parse_openinference",
    "parse_plain",
]


def is_inspect_sample(line: Line) -> bool:
    """Tell whether the object is one sample of an inspect_ai log."""
    return "epoch" in line and "output" in line and "target" in line


def parse_inspect_sample(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per choice of the sample's output; its first score is the label."""
    output = line.child("output")
    if output is None or not output.get("choices"):
        return
    scores = line.get("scores") or {}
    values = [score.get("value") for score in scores.values() if isinstance(score, dict)]
    context.correct = (
        {"C": 1.0, "I": 0.0, "P": 0.5}.get(values[0]) if values and isinstance(values[0], str) else context.correct
    )
    if values and isinstance(values[0], int | float):
        context.correct = parse_correct(values[0])
    context.trace_id = context.trace_id or f"{line.get('id')}/{line.get('epoch')}"
    choices = [
        {**choice, "index": i, "finish_reason": choice.get("stop_reason")}
        for i, choice in enumerate(output.get("choices"))
    ]
    context.prompt = line.get("input") if isinstance(line.get("input"), str) else context.prompt
    context.attributes["target"] = str(line.get("target"))
    head = {"model": output.get("model"), "choices": choices}
    yield from parse_openai_chat(Line(head), context)


def is_openinference(line: Line) -> bool:
    """Tell whether the line is a span of an OpenInference (Phoenix) export."""
    return (
        "attributes.output.value" in line
        or "output.value" in (line.get("attributes") or {})
        or _nested_output(line) is not None
    )


def parse_openinference(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the traces of the raw response that the span keeps in ``output.value``."""
    attributes = line.get("attributes") or {}
    value = line.get("attributes.output.value") or attributes.get("output.value") or _nested_output(line)
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return
    span = line.get("context") or {}
    asked = attributes.get("llm.invocation_parameters") or line.get("attributes.llm.invocation_parameters")
    asked = asked or (attributes.get("llm") or {}).get("invocation_parameters")
    settings = msgspec.json.decode(asked) if isinstance(asked, str) else asked or {}
    if isinstance(settings.get("temperature"), int | float):
        context.temperature = float(settings["temperature"])
    if isinstance(settings.get("top_logprobs"), int):
        context.k = settings["top_logprobs"]
    context.trace_id = context.trace_id or line.get("context.span_id") or span.get("span_id")
    context.attributes = {
        key: text
        for key, text in context.attributes.items()
        if not key.startswith(
            (
                "input.",
                "output.",
                "llm.",
                "attributes.",
                "context.",
                "span_",
                "status_",
                "start_",
                "end_",
                "name",
                "parent",
            )
        )
    }
    inner = Line.parse(value.encode())
    if "choices" in inner:
        yield from parse_openai_chat(inner, context)


def _nested_output(line: Line) -> str | None:
    output = (line.get("attributes") or {}).get("output")
    return output.get("value") if isinstance(output, dict) else None


def is_lm_eval(line: Line) -> bool:
    """Tell whether the line is a sample of lm-evaluation-harness."""
    return "doc_id" in line and "resps" in line


def parse_lm_eval(line: Line, context: Context) -> Iterator[Trace]:
    """Yield one trace per sample.

    These logs hold no token. Of a multiple-choice sample, the summed log-probabilities of the choices,
    renormalised, become one token whose alternatives are the choices; of a generated sample only the text.
    """
    responses = line.get("resps")
    metric = next((line.get(name) for name in ("acc", "exact_match", "acc_norm") if name in line), None)
    identity = str(context.trace_id or f"{line.get('doc_hash') or line.get('doc_id')}/{line.get('filter', 'none')}")
    trace = Trace(
        trace_id=identity,
        prompt_id=str(line.get("doc_id")),
        provider="lm-evaluation-harness",
        correct=parse_correct(metric),
    )
    context.attributes = {}
    sums = _choice_sums(responses)
    if sums is None:
        first = responses[0] if responses else ""
        trace.answer = str(first[0] if isinstance(first, list) and first else first)
    else:
        values = np.array(sums) - np.logaddexp.reduce(sums)
        clean = clean_logprobs([float(values.max())], [float(value) for value in values], [len(values)])
        trace.k, trace.n_tokens = len(values), 1
        trace.chosen_logprobs, trace.top_logprobs = clean.chosen, clean.top
        trace.answer = str(int(values.argmax()))
    yield trace


def _choice_sums(responses: Any) -> list[float] | None:
    try:
        return [float(response[0][0]) for response in responses] if len(responses) > 1 else None
    except (TypeError, ValueError, IndexError):
        return None


def is_plain(line: Line) -> bool:
    """Tell whether the line has the column names of the trace schema."""
    return "chosen_logprobs" in line or "top_logprobs" in line or ("trace_id" in line and "answer" in line)


def parse_plain(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the trace of a line with the schema's column names; ``top_logprobs`` may be nested or flat."""
    known = {field.name for field in TRACE_SCHEMA} - {
        "chosen_logprobs",
        "top_logprobs",
        "attributes",
        "trace_id",
        "time",
        "correct",
    }
    values = {key: line.get(key) for key in known if key in line}
    trace = Trace(trace_id=str(line.get("trace_id") or context.fallback_id), **values)
    trace.time = microseconds(line.get("time"))
    trace.correct = next((parse_correct(line.get(name)) for name in LABEL_COLUMNS if name in line), None)
    chosen, top = line.get("chosen_logprobs"), line.get("top_logprobs") or []
    context.attributes = {
        key: text
        for key, text in context.attributes.items()
        if key not in known | {"chosen_logprobs", "top_logprobs", "time"}
    }
    if chosen is not None:
        rows = top if top and isinstance(top[0], list) else _rows(top, len(chosen))
        flat = [value for row in rows for value in row]
        clean = clean_logprobs(chosen, flat, [len(row) for row in rows] or [0] * len(chosen), k=trace.k)
        trace.chosen_logprobs, trace.top_logprobs = clean.chosen, clean.top
        trace.n_tokens, trace.k = len(chosen), clean.top.shape[1]
    yield trace


def _rows(flat: list[Any], n_tokens: int) -> list[list[Any]]:
    if not n_tokens or len(flat) % n_tokens:
        if flat:
            raise msgspec.ValidationError(
                f"`top_logprobs` must hold tokens * k values, got {len(flat)} for {n_tokens} tokens."
            )
        return []
    k = len(flat) // n_tokens
    return [flat[i * k : (i + 1) * k] for i in range(n_tokens)]
