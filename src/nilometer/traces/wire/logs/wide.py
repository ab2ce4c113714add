"""Lines that hold the outputs of several models to one prompt."""

from collections.abc import Iterator
from typing import Any

from nilometer.errors import TraceFormatError

from ...batch import Trace
from ...labels import parse_correct
from ..lines.context import Context
from ..lines.line import Line

__all__ = ["is_wide", "parse_wide"]


def is_wide(line: Line) -> bool:
    """Return whether the line has an object ``outputs`` from model name to text."""
    return "outputs" in line and line.child("outputs") is not None


def parse_wide(line: Line, context: Context) -> Iterator[Trace]:
    """Yield a trace per model and output.

    ``outputs`` maps a model to a text or a list of texts, null where it gave none; ``correct`` and ``costs`` may
    map models to a label and to the price of the call, which becomes the attribute ``cost``.
    """
    identity = next((line.get(key) for key in ("prompt_id", "id", "trace_id") if line.get(key) is not None), None)
    prompt_id = str(identity if identity is not None else context.fallback_id)
    outputs, labels, costs = line.get("outputs"), _by_model(line, "correct"), _by_model(line, "costs")
    for name in (*labels, *costs):
        if name not in outputs:
            raise TraceFormatError(f"`correct` and `costs` must name models of `outputs`, got {name!r}.")
    for model, value in outputs.items():
        texts, verdicts = _listed(value), _listed(labels.get(model))
        if len(verdicts) not in (0, 1, len(texts)):
            raise TraceFormatError(f"`correct` of {model!r} must be one label or {len(texts)}, got {len(verdicts)}.")
        for number, text in enumerate(texts):
            if text is not None and not isinstance(text, str):
                raise TraceFormatError(f"the output of {model!r} must be a text or a list of texts, got {text!r}.")
            verdict = verdicts[number] if len(verdicts) > 1 else next(iter(verdicts), None)
            yield Trace(
                trace_id=f"{prompt_id}/{model}" + (f"#{number}" if len(texts) > 1 else ""),
                prompt_id=prompt_id,
                model=model,
                answer=text,
                correct=parse_correct(verdict),
                attributes={"cost": _price(model, costs[model])} if model in costs else {},
            )


def _price(model: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise TraceFormatError(f"the cost of {model!r} must be a number >= 0, got {value!r}.")
    return repr(float(value))


def _by_model(line: Line, key: str) -> dict[str, Any]:
    value = line.get(key) if key in line else None
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
