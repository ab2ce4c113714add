"""Numbers as the console writes them, and lines small enough for a cell."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from ..page import shade

__all__ = ["FILTERS"]

_WIDTH, _HEIGHT = 96.0, 20.0
_LEAST_SPAN = 0.1


def _percent(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:.{digits}%}"


def _signed(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _moment(microseconds: int | None) -> str:
    """Write a time as ``2026-11-28 01:30``, in UTC."""
    if microseconds is None:
        return ""
    return f"{datetime.fromtimestamp(microseconds / 1e6, tz=UTC):%Y-%m-%d %H:%M}"


def _hour(hour: int) -> str:
    return _moment(hour * 3_600_000_000)


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def _period(hours: int) -> str:
    if hours % 24 or hours == 24:
        return f"{hours} hours" if hours > 1 else "hour"
    return f"{hours // 24} days"


def _spark(trend: Sequence[float | None]) -> list[str]:
    """Points of the lines of a trend; a gap ends a line."""
    known = [value for value in trend if value is not None]
    if not known:
        return []
    low, high = min(known), max(known)
    middle, span = (low + high) / 2, max(high - low, _LEAST_SPAN)
    step = _WIDTH / max(len(trend) - 1, 1)
    lines: list[list[str]] = [[]]
    for i, value in enumerate(trend):
        if value is None:
            lines.append([])
            continue
        y = 2 + (_HEIGHT - 4) * (0.5 - (value - middle) / span)
        lines[-1].append(f"{i * step:.1f},{y:.1f}")
    return [" ".join(line if len(line) > 1 else [line[0], _beside(line[0])]) for line in lines if line]


def _shade(logprob: float | None) -> int:
    """Step of colour behind a token of this log-probability."""
    return shade(1.0 if logprob is None else 1 - math.exp(min(logprob, 0.0)))


def _beside(point: str) -> str:
    """Draw a single point as a short line."""
    x, y = point.split(",")
    return f"{float(x) + 1.5:.1f},{y}"


def _place(value: float, width: float = 120.0) -> str:
    """Place of an accuracy on a bar of so many pixels, three left free at each end."""
    return f"{3 + (width - 6) * min(max(value, 0.0), 1.0):.1f}"


FILTERS: dict[str, Callable[..., Any]] = {
    "hour": _hour,
    "moment": _moment,
    "percent": _percent,
    "period": _period,
    "place": _place,
    "shade": _shade,
    "signed": _signed,
    "size": _size,
    "spark": _spark,
}
"""By name in the templates."""
