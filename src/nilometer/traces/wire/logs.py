"""Logs of evaluation and tracing tools: inspect_ai, OpenInference spans, lm-evaluation-harness, plain columns."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from ..batch import Trace
from ..labels import LABEL_COLUMNS, parse_correct
from ..schema import TRACE_SCHEMA
from .line import Context, Line, microseconds, prompt_text, scalars
from .logprobs import clean_logprobs
from .openai_chat import parse_openai_chat

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


_TASK_OF_FILE = re.compile(r"samples_(.+)_\d{4}-\d\d-\d\dT")
_SHORT = 64
_VERDICTS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""inspect_ai's marks: correct, incorrect, partial, no answer."""


def is_inspect_sample(line: Line) -> bool:
    """Tell whether the object is one sample of an inspect_ai log."""
    return "epoch" in line and "output" in line and "target" in line


def parse_inspect_sample(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per choice of the sample's output; its first score is the label.

    The trace is named by the sample's ``uuid``, since ids repeat from log to log; ``prompt_id`` is the sample's id.
    """
    output = line.child("output")
    if output is None or not output.get("choices"):
        return
    context.correct = _first_score(line.get("scores") or {}, context.correct)
    identity = str(line.get("id"))
    context.trace_id = line.get("uuid") or f"{identity}/{line.get('epoch')}"
    task = (line.get("eval") or {}).get("task")
    settings = (line.get("plan") or {}).get("config") or {}
    context.temperature, context.k = settings.get("temperature"), settings.get("top_logprobs")
    context.time = microseconds(line.get("completed_at"))
    context.prompt = line.get("input") if isinstance(line.get("input"), str) else context.prompt
    own = {"target": str(line.get("target")), **({"task": task} if isinstance(task, str) else {})}
    context.attributes = {key: text for key, text in context.attributes.items() if key not in line} | own
    choices = [
        {**choice, "index": i, "finish_reason": choice.get("stop_reason")}
        for i, choice in enumerate(output.get("choices"))
    ]
    head = Line({"model": output.get("model"), "choices": choices})
    for trace in parse_openai_chat(head, context):
        trace.prompt_id = identity
        yield trace


def _first_score(scores: dict[str, Any], otherwise: float | None) -> float | None:
    values = [score.get("value") for score in scores.values() if isinstance(score, dict)]
    if not values:
        return otherwise
    if isinstance(values[0], str):
        return _VERDICTS.get(values[0])
    return parse_correct(values[0]) if isinstance(values[0], int | float) else otherwise


def is_openinference(line: Line) -> bool:
    """Tell whether the line is a span of an OpenInference (Phoenix) export."""
    return (
        "attributes.output.value" in line
        or "output.value" in (line.get("attributes") or {})
        or _nested_output(line) is not None
    )


def parse_openinference(line: Line, context: Context) -> Iterator[Trace]:
    """Yield the traces of the raw response that the span keeps in ``output.value``.

    The slice keys are the span's metadata, session and user, not its own bookkeeping.
    """
    value = _span_value(line, "output.value") or _nested_output(line)
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return
    settings = _decoded(_span_value(line, "llm.invocation_parameters"))
    if isinstance(settings.get("temperature"), int | float):
        context.temperature = float(settings["temperature"])
    if isinstance(settings.get("top_logprobs"), int):
        context.k = settings["top_logprobs"]
    span_id = line.get("context.span_id") or (line.get("context") or {}).get("span_id")
    context.trace_id = context.trace_id or (span_id.removeprefix("0x") if isinstance(span_id, str) else span_id)
    context.prompt = prompt_text(Line(_decoded(_span_value(line, "input.value")))) or context.prompt
    kept = {name.partition(".")[0]: _span_value(line, name) for name in ("session.id", "user.id")}
    context.attributes = scalars(_decoded(_span_value(line, "metadata"))) | scalars(kept)
    inner = Line.parse(value.encode())
    if "choices" in inner:
        yield from parse_openai_chat(inner, context)


def _span_value(line: Line, name: str) -> Any:
    """Return an attribute of a span, however the export spells it: flat, nested, or as a column."""
    attributes = line.get("attributes") or {}
    value = line.get(f"attributes.{name}", attributes.get(name))
    if value is None:
        head, _, rest = name.partition(".")
        inner = line.get(f"attributes.{head}") or attributes.get(head)
        value = inner.get(rest) if rest and isinstance(inner, dict) else None
    return value


def _decoded(value: Any) -> dict[str, Any]:
    """Read an attribute that holds an object, or the JSON text of one."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return {}
    return value if isinstance(value, dict) else {}


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
    The label is the first metric of the log; the short fields of the document are attributes.
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
