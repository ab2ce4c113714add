"""Prompts and answers, kept only where the capture was told to keep them, and redacted first."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.dataset as pads

from nilometer.traces import Trace

from ..capture import Frame

__all__ = ["Text", "find_text", "frame_texts", "request_text", "text_table"]


class Text(NamedTuple):
    """What was asked and answered in one trace."""

    trace_id: str
    time: int
    """Microseconds since 1970, UTC."""
    prompt: str
    answer: str


class _Asked(msgspec.Struct):
    messages: Any = None
    prompt: Any = None


_SCHEMA = pa.schema(
    {"trace_id": pa.string(), "time": pa.timestamp("us", tz="UTC"), "prompt": pa.string(), "answer": pa.string()}
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
    return [Text(trace.trace_id, frame.time, prompt, redact(trace.answer or "")) for trace in traces]


def text_table(texts: Sequence[Text]) -> pa.Table:
    """One row per trace."""
    return pa.Table.from_pylist([text._asdict() for text in texts], schema=_SCHEMA)


def find_text(connection: sqlite3.Connection, root: Path, trace_id: str) -> Text | None:
    """Find the texts of a trace; None if they were not kept."""
    files = [str(root / file) for (file,) in connection.execute("SELECT file FROM texts ORDER BY hour DESC")]
    if not files:
        return None
    dataset = pads.dataset(files, format="parquet")
    rows = dataset.to_table(filter=pads.field("trace_id") == trace_id).cast(_SCHEMA).to_pylist()
    return Text(**{**rows[0], "time": int(rows[0]["time"].timestamp() * 1e6)}) if rows else None


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()
