"""What may stand in each column of a trace: every value is checked before it reaches a batch."""

import math
from typing import Any

import numpy as np

from nilometer.errors import TraceFormatError

from ...batch import Trace

__all__ = ["checked", "count"]

_TEXTS = ("model", "model_fingerprint", "provider", "logprobs_mode", "finish_reason", "prompt", "answer")
_NUMBERS = ("temperature", "correct")
_COUNTS = ("k", "n_tokens")
_LARGEST = float(np.finfo(np.float32).max)
_MOST = 2**31 - 1
_LATEST = 2**62


def checked(trace: Trace) -> Trace:
    """Return the trace with every value in the type of its column.

    Numbers written as text are read, half surrogates become U+FFFD, a time that no calendar holds is unknown.

    Raises
    ------
    TraceFormatError
        If a value has a type that its column cannot hold.
    """
    trace.trace_id = _text("trace_id", trace.trace_id) or ""
    trace.prompt_id = _text("prompt_id", trace.prompt_id)
    for name in _TEXTS:
        setattr(trace, name, _text(name, getattr(trace, name)))
    for name in _NUMBERS:
        setattr(trace, name, _number(name, getattr(trace, name)))
    for name in _COUNTS:
        setattr(trace, name, count(name, getattr(trace, name)))
    trace.tokens = _texts("tokens", trace.tokens)
    trace.top_tokens = _texts("top_tokens", trace.top_tokens)
    trace.time = trace.time if trace.time is not None and abs(trace.time) < _LATEST else None
    trace.attributes = {_whole(key): _whole(value) for key, value in trace.attributes.items()}
    if trace.n_tokens is None and trace.chosen_logprobs is not None:
        trace.n_tokens = len(trace.chosen_logprobs)
    return trace


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value if value.isascii() else _whole(value)
    if name in ("trace_id", "prompt_id", "answer") and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise TraceFormatError(f"`{name}` must be a text, got {_shown(value)}.")


def _whole(text: str) -> str:
    """Replace half surrogates, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _texts(name: str, values: Any) -> Any:
    """Return token texts; numbers are token ids, and None stands for a text that is not known."""
    if values is None:
        return None
    if not isinstance(values, list):
        raise TraceFormatError(f"`{name}` must be a list of texts, got {_shown(values)}.")
    return [value if isinstance(value, str) and value.isascii() else _token(name, value) for value in values]


def _token(name: str, value: Any) -> str | None:
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"token_id:{value}"
    if value is None:
        return None if name == "top_tokens" else ""
    raise TraceFormatError(f"`{name}` must be a list of texts, got {_shown(value)} in it.")


def _number(name: str, value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise TraceFormatError(f"`{name}` must be a number, got {_shown(value)}.") from None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise TraceFormatError(f"`{name}` must be a number, got {_shown(value)}.")
    return float(value)


def count(name: str, value: Any) -> int | None:
    """Return a whole number >= 0, or the one that a text spells.

    Raises
    ------
    TraceFormatError
        If it is neither that nor None.
    """
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value.strip()[:11])
    if value is None:
        return None
    whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST
    if not whole or int(value) != value:
        raise TraceFormatError(f"`{name}` must be a whole number >= 0, got {_shown(value)}.")
    return int(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
