"""Prompts and answers, kept only where the capture is set to keep them, and redacted first."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.dataset as pads

from nilometer.traces import Trace

from ..capture import Frame

__all__ = ["Text", "find_text", "find_texts", "frame_texts", "kept_ids", "request_text", "text_table"]


class Text(NamedTuple):
    """What was asked and answered in one trace."""

    trace_id: str
    time: int
    """Microseconds since 1970, UTC."""
    prompt: str
    answer: str
    tokens: list[str] | None = None
    """Of the answer; None where the redaction changed it, since tokens hold the text as it was."""
    chosen_logprobs: list[float] | None = None
    top_logprobs: list[float] | None = None
    """Row-major tokens × k, best first, NaN where the server gave fewer."""
    top_tokens: list[str | None] | None = None
    """Texts of the best alternatives, row-major."""


class _Asked(msgspec.Struct):
    messages: Any = None
    prompt: Any = None


_SCHEMA = pa.schema(
    {
        "trace_id": pa.string(),
        "time": pa.timestamp("us", tz="UTC"),
        "prompt": pa.string(),
        "answer": pa.string(),
        "tokens": pa.list_(pa.string()),
        "chosen_logprobs": pa.list_(pa.float32()),
        "top_logprobs": pa.list_(pa.float32()),
        "top_tokens": pa.list_(pa.string()),
    }
)


def request_text(body: bytes) -> str:
    """Return the conversation or prompt of a request, empty if there is none.

    Examples
    --------
    >>> request_text(b'{"messages": [{"role": "user", "content": "7 + 5?"}]}')
    'user: 7 + 5?'
    """
    try:
        asked = msgspec.json.decode(body, type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    if isinstance(asked.messages, list):
        turns = [turn for turn in asked.messages if isinstance(turn, dict)]
        return "\n\n".join(f"{turn.get('role', '')}: {_text(turn.get('content'))}" for turn in turns)
    return _text(asked.prompt)


def frame_texts(frame: Frame, traces: Sequence[Trace], redact: Callable[[str], str]) -> list[Text]:
    """Redacted texts of a frame; none where texts are not kept."""
    if not frame.texts:
        return []
    prompt = redact(request_text(frame.request))
    return [_of_trace(trace, time=frame.time, prompt=prompt, redact=redact) for trace in traces]


def _of_trace(trace: Trace, *, time: int, prompt: str, redact: Callable[[str], str]) -> Text:
    answer = trace.answer or ""
    shown = redact(answer)
    text = Text(trace.trace_id, time, prompt, shown)
    if shown != answer or trace.tokens is None or trace.chosen_logprobs is None:
        return text
    top = trace.top_logprobs
    return text._replace(
        tokens=list(trace.tokens),
        chosen_logprobs=trace.chosen_logprobs.tolist(),
        top_logprobs=None if top is None else top.ravel().tolist(),
        top_tokens=trace.top_tokens,
    )


def text_table(texts: Sequence[Text]) -> pa.Table:
    """One row per trace."""
    return pa.Table.from_pylist([text._asdict() for text in texts], schema=_SCHEMA)


def find_text(connection: sqlite3.Connection, root: Path, trace_id: str) -> Text | None:
    """Find the texts of a trace; None if they were not kept."""
    return find_texts(connection, root, [trace_id]).get(trace_id)


def find_texts(
    connection: sqlite3.Connection, root: Path, trace_ids: Sequence[str], *, hours: tuple[int, int] | None = None
) -> dict[str, Text]:
    """Find the texts of traces, those that were kept, in the files of some hours if they are known."""
    first, last = hours or (0, 1 << 40)
    query = "SELECT file FROM texts WHERE hour BETWEEN ? AND ? ORDER BY hour DESC"
    files = [str(root / file) for (file,) in connection.execute(query, (first, last))]
    if not files or not trace_ids:
        return {}
    wanted = pads.field("trace_id").isin(pa.array(sorted(set(trace_ids)), pa.string()))
    rows = pads.dataset(files, format="parquet", schema=_SCHEMA).to_table(filter=wanted).to_pylist()
    return {row["trace_id"]: Text(**{**row, "time": int(row["time"].timestamp() * 1e6)}) for row in rows}


def kept_ids(connection: sqlite3.Connection, root: Path, *, hours: tuple[int, int]) -> pa.Array:
    """Ids of the traces of some hours whose texts are kept."""
    query = "SELECT file FROM texts WHERE hour BETWEEN ? AND ?"
    files = [str(root / file) for (file,) in connection.execute(query, hours)]
    if not files:
        return pa.array([], pa.string())
    return pads.dataset(files, format="parquet").to_table(columns=["trace_id"])["trace_id"].combine_chunks()


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()
