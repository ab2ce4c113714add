"""Labels as they are sent: JSON, JSON lines or CSV."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import msgspec

from nilometer.errors import TraceFormatError
from nilometer.traces import parse_correct

from ..store import LabelIn

__all__ = ["read_label_body"]

_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


def read_label_body(body: bytes, content_type: str) -> list[LabelIn]:
    r"""Read labels: one object, a list, ``{"labels": [...]}``, JSON lines, or CSV with a header.

    Raises
    ------
    TraceFormatError
        If the body cannot be read; the message says which label and why.

    Examples
    --------
    >>> read_label_body(b'{"trace_id": "a", "correct": true}', "application/json")[0].correct
    1.0
    >>> [one.trace_id for one in read_label_body(b"trace_id,correct\na,1\nb,wrong", "text/csv")]
    ['a', 'b']
    """
    rows = _csv_rows(body) if content_type.startswith("text/csv") else _json_rows(body)
    return [_label(row, i) for i, row in enumerate(rows)]


def _csv_rows(body: bytes) -> list[Any]:
    try:
        reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig")))
        return [{name: value for name, value in row.items() if value not in {None, ""}} for row in reader]
    except (UnicodeDecodeError, csv.Error) as exc:
        raise TraceFormatError(f"labels: not a CSV text in UTF-8 ({exc}).") from exc


def _json_rows(body: bytes) -> list[Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        try:
            return msgspec.json.Decoder().decode_lines(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise TraceFormatError(f"labels: not JSON ({exc}).") from exc
    if isinstance(found, dict) and "labels" in found:
        found = found["labels"]
    return found if isinstance(found, list) else [found]


def _label(row: Any, place: int) -> LabelIn:
    where = f"labels[{place}]"
    if not isinstance(row, dict):
        raise TraceFormatError(f"{where}: must be an object, got {type(row).__name__}.")
    try:
        read = {"time": _time(row.get("time")), "is_random": _flag(row.get("is_random"))}
        return msgspec.convert({**row, "correct": _correct(row), **read}, LabelIn)
    except (TraceFormatError, msgspec.ValidationError, ValueError) as exc:
        raise TraceFormatError(f"{where}: {exc}") from exc


def _correct(row: dict[str, Any]) -> float:
    correct = parse_correct(row.get("correct"))
    if correct is None:
        raise TraceFormatError("`correct` is missing.")
    return correct


def _time(value: Any) -> int | None:
    """Microseconds since 1970; a time without a zone is UTC."""
    if value is None or isinstance(value, int):
        return value
    moment = datetime.fromisoformat(str(value))
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


def _flag(value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return bool(value)
    if str(value).lower() not in _FLAGS:
        raise ValueError(f"`is_random` must be true or false, got {value!r}.")
    return _FLAGS[str(value).lower()]
