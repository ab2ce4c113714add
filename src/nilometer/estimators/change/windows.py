"""Windows of time: traffic cut by period, by size or into a number of parts."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Bools, Ints, Times
from nilometer.errors import ConfigError

__all__ = ["Window", "Windows", "choose_period", "cut_windows"]

_PERIODS = {"min": "minute", "h": "hour", "d": "day", "w": "week", "m": "month", "q": "quarter", "y": "year"}
_INCOMPLETE = ("keep", "append", "drop")


class Window(NamedTuple):
    """One stretch of traffic."""

    name: str
    start: datetime | None
    """Time of the first response, None where none has a time."""
    end: datetime | None
    n: int


class Windows(NamedTuple):
    """The windows of some traffic."""

    place: Ints
    """Shape (n,), window of each response, -1 where it is in none."""
    windows: tuple[Window, ...]
    notes: tuple[str, ...]


def cut_windows(times: Times, *, by: str, incomplete: str = "keep") -> Windows:
    """Cut traffic into windows.

    Parameters
    ----------
    times
        Shape (n,), NaT where not known. They may stand in any order.
    by
        ``"day"``, ``"week"`` (from Monday), ``"hour"``, ``"minute"``, ``"month"``, ``"quarter"`` or ``"year"``, or
        pandas' letters for them; ``"500"`` for windows of 500 responses; ``"/10"`` for 10 windows of equal
        size. In NannyML these are ``chunk_period``, ``chunk_size`` and ``chunk_number``.
    incomplete
        What becomes of a last window by size that is not full: ``"keep"``, ``"append"`` to the one before, or
        ``"drop"``; a note says so. Windows by number differ by one response at most; those by time are what they are.

    Raises
    ------
    ConfigError
        If ``by`` is none of these, or asks for a period where no response has a time.

    Examples
    --------
    >>> times = np.array(["2026-01-01T10", "2026-01-02T09", "2026-01-01T12"], dtype="datetime64[us]")
    >>> found = cut_windows(times, by="day")
    >>> [(window.name, window.n) for window in found.windows], found.place.tolist()
    ([('2026-01-01', 2), ('2026-01-02', 1)], [0, 1, 0])
    >>> [window.n for window in cut_windows(times, by="2", incomplete="append").windows]
    [3]
    """
    if incomplete not in _INCOMPLETE:
        raise ConfigError(f"`incomplete` must be keep, append or drop, got {incomplete!r}.")
    times = np.asarray(times, dtype="datetime64[us]")
    known = ~np.isnat(times)
    notes = [] if known.all() else [f"{int((~known).sum()):,} of {len(times):,} responses have no time"]
    steps = np.diff(times[known].astype(np.int64))
    if (steps < 0).any():
        notes.append(f"times go back {int((steps < 0).sum()):,} times in the files; responses are put in order of time")
    count = by.removeprefix("/")
    if not count.isdigit():
        if not known.any():
            raise ConfigError("`by` must be a size like 500 or a number like /10, since no response has a time.")
        place, names = _by_period(times, known, by)
        notes += [] if known.all() else ["those without a time are in no window"]
    else:
        if int(count) < 1:
            raise ConfigError(f"`by` must give at least 1 response or window, got {by!r}.")
        notes += [] if known.any() else ["windows are cut in the order of the files"]
        in_order, said = _equal_parts(len(times), int(count)), ""
        if count == by:
            in_order, said = _full_parts(len(times), int(count), incomplete)
        notes += [said] if said else []
        place, names = _placed(times, in_order)
    windows = tuple(_window(name, times[place == i]) for i, name in enumerate(names))
    return Windows(place, windows, tuple(notes))


def _equal_parts(n: int, count: int) -> Ints:
    """Window of each response in order of time, sizes apart by one at most."""
    count = min(count, n)
    return np.asarray(np.arange(n) * count // max(n, 1), dtype=np.int64)


def _full_parts(n: int, size: int, incomplete: str) -> tuple[Ints, str]:
    """Window of each response in order of time, and a sentence on a last one that is not full."""
    number = np.arange(n) // size
    rest = n % size
    if not rest:
        return number, ""
    said = f"the last window has {rest:,} of {size:,} responses"
    if incomplete == "drop":
        return np.where(number == number[-1], -1, number), f"{said} and is left out"
    if incomplete == "append" and number[-1] > 0:
        return np.minimum(number, number[-1] - 1), f"{said} and is part of the one before"
    return number, said


def _placed(times: Times, number: Ints) -> tuple[Ints, list[str]]:
    place = np.empty(len(times), dtype=np.int64)
    place[np.argsort(times, kind="stable")] = number  # NaT comes last
    edges = [np.flatnonzero(number == i) for i in range(int(number.max(initial=-1)) + 1)]
    return place, [f"{int(rows[0]):,} to {int(rows[-1]):,}" for rows in edges]


def _by_period(times: Times, known: Bools, by: str) -> tuple[Ints, list[str]]:
    letter = re.sub(r"^1", "", by).strip().lower()
    period = _PERIODS.get(letter, letter.removesuffix("s"))
    if period not in _NAMES:
        raise ConfigError(f"`by` must be {', '.join(_NAMES)}, a size like 500 or a number like /10, got {by!r}.")
    unit = {"minute": "m", "hour": "h"}.get(period, "D")
    moments, place = np.unique(times[known].astype(f"datetime64[{unit}]"), return_inverse=True)
    names = [_NAMES[period](moment) for moment in moments.astype("datetime64[us]").astype(object)]
    found = sorted(set(names))
    rank = np.array([found.index(name) for name in names], dtype=np.int64)
    windows = np.full(len(times), -1, dtype=np.int64)
    windows[known] = rank[place]
    return windows, found


def choose_period(times: Times, *, most: int = 12) -> str | None:
    """Finest period that cuts the time from first to last response into 2 to ``most`` windows; None if there is none.

    Examples
    --------
    >>> choose_period(np.array(["2026-01-01T10", "2026-01-02T09", "2026-01-09T12"], dtype="datetime64[us]"))
    'day'
    """
    known = times[~np.isnat(times)]
    if not known.size:
        return None
    for period, unit in (("hour", "h"), ("day", "D"), ("week", "W"), ("month", "M"), ("year", "Y")):
        first, last = (moment.astype(f"datetime64[{unit}]").astype(np.int64) for moment in (known.min(), known.max()))
        if 2 <= last - first + 1 <= most:
            return period
    return None


def _week(moment: datetime) -> str:
    return (moment - timedelta(days=moment.weekday())).strftime("%Y-%m-%d")


_NAMES: dict[str, Callable[[datetime], str]] = {
    "minute": lambda moment: moment.strftime("%Y-%m-%d %H:%M"),
    "hour": lambda moment: moment.strftime("%Y-%m-%d %H:00"),
    "day": lambda moment: moment.strftime("%Y-%m-%d"),
    "week": _week,
    "month": lambda moment: moment.strftime("%Y-%m"),
    "quarter": lambda moment: f"{moment.year}-Q{(moment.month + 2) // 3}",
    "year": lambda moment: moment.strftime("%Y"),
}


def _window(name: str, times: Times) -> Window:
    known = times[~np.isnat(times)]
    if not known.size:
        return Window(name, None, None, len(times))
    start, end = (moment.astype(object).replace(tzinfo=UTC) for moment in (known.min(), known.max()))
    return Window(name, start, end, len(times))
