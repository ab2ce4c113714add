"""Lines and table rows of any make, read by naming where each column of a trace stands."""

from collections.abc import Iterator, Mapping
from typing import Any

from nilometer.errors import ConfigError, TraceFormatError

from ...batch import Trace
from ...labels import LABEL_COLUMNS, parse_correct
from ...schema import TRACE_SCHEMA
from ..lines.context import Context, joined_text, last_user_text, microseconds, number, scalars, token_count
from ..lines.format import Format
from ..lines.line import Line, unquoted
from ..lines.paths import Step, follow, parse_path
from ..logprobs.fill import with_logprobs
from ..logprobs.shapes import find_listed, read_listed

__all__ = ["columns_format"]

_LISTS = {"chosen_logprobs", "top_logprobs", "attributes"}
_KNOWN = {field.name for field in TRACE_SCHEMA} - _LISTS | {"logprobs", "top_logprobs"}
_TEXTS = ("model", "model_fingerprint", "provider", "logprobs_mode", "finish_reason")


def columns_format(columns: Mapping[str, str]) -> Format:
    """Return a format that takes each column from the JSON path named for it.

    ``logprobs`` may have any shape that a server lists, or be plain numbers with ``top_logprobs`` beside; a name that
    is no column of a trace becomes a slice key.

    Raises
    ------
    ConfigError
        If neither ``answer`` nor ``logprobs`` is named, or a path is none.
    """
    if not {"answer", "logprobs"} & set(columns):
        raise ConfigError(f"`--columns` must name at least `answer` or `logprobs`, got {', '.join(columns) or 'none'}.")
    paths = {name: parse_path(path) for name, path in columns.items()}
    return Format("columns", lambda line: True, lambda line, context: _parse(line, context, paths), "any other rows")


def _parse(line: Line, context: Context, paths: Mapping[str, tuple[Step, ...]]) -> Iterator[Trace]:
    row = line.plain()
    found = {name: next(iter(follow(row, path)), None) for name, path in paths.items()}
    if all(value is None for value in found.values()):
        keys = ", ".join(list(line)[:8]) or "none"
        raise TraceFormatError(f"nothing stands where `--columns` points; the keys are {keys}.")
    identity = str(found.get("trace_id") or context.trace_id or context.fallback_id)
    verdict = next((found[name] for name in LABEL_COLUMNS if found.get(name) is not None), None)
    trace = Trace(
        trace_id=identity,
        prompt_id=str(found.get("prompt_id") or identity),
        time=microseconds(found.get("time")),
        temperature=number(found.get("temperature")),
        tokens=found.get("tokens"),
        prompt=_spoken(found.get("prompt")),
        answer=_spoken(found.get("answer")),
        correct=parse_correct(verdict),
    )
    for name in _TEXTS:
        setattr(trace, name, found.get(name, getattr(trace, name)))
    own = {name: value for name, value in found.items() if name not in _KNOWN and name not in LABEL_COLUMNS}
    context.attributes = scalars(own)
    k = found.get("k")
    yield with_logprobs(
        trace,
        _listed(found),
        context,
        k=k if isinstance(k, int) else None,
        counted=token_count({"n": found.get("n_tokens")}, "n"),
    )


def _spoken(value: Any) -> Any:
    """Return a text, the text of parts, or what the user said last in a list of messages."""
    value = unquoted(value) if isinstance(value, str) and value.startswith('[{"') else value
    if isinstance(value, list) and value and isinstance(value[0], Mapping) and "role" in value[0]:
        return last_user_text(value)
    return joined_text(value) if isinstance(value, list | dict) else value


def _listed(found: Mapping[str, Any]) -> Any:
    value = unquoted(found.get("logprobs"))
    if value is None:
        return None
    beside = {**found, "token_logprobs": value} if isinstance(value, list) else found
    if isinstance(value, list) and value and isinstance(value[0], int | float | None):
        return read_listed({**beside, "top_logprobs": unquoted(found.get("top_logprobs"))}, {})
    listed = read_listed(value, beside)
    if listed is None and isinstance(value, Mapping):
        listed = find_listed(value)
    if listed is None:
        raise TraceFormatError(f"`logprobs` must have a shape that a server lists, got {value!r:.60}.")
    return listed
