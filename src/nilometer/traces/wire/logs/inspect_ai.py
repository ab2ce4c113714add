"""Samples of inspect_ai logs, from .eval archives and JSON."""

from collections.abc import Iterator
from typing import Any

from ...batch import Trace
from ...labels import parse_correct
from ..lines.context import Context, microseconds, number
from ..lines.line import Line
from ..servers.openai_chat import parse_openai_chat

__all__ = ["is_inspect_sample", "parse_inspect_sample"]

_VERDICTS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""inspect_ai's marks: correct, incorrect, partial, no answer."""


def is_inspect_sample(line: Line) -> bool:
    """Return whether the object is one sample of an inspect_ai log."""
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
    context.temperature, context.k = number(settings.get("temperature")), settings.get("top_logprobs")
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
