"""Responses without log-probabilities: whether they differ from the others in what can be seen."""

from collections.abc import Mapping

import numpy as np

from nilometer.arrays import Bools, Floats

from .responses import Responses

__all__ = ["MOST_RELATED", "count_seen", "may_be_related", "related_to", "seen_columns"]


MOST_RELATED = 0.1
"""Up to this share, responses without log-probabilities may differ: the bound is then at most this wide."""
_SEEN = ("length", "time", "end")
_STATS = ("n", "sum", "squares", "n_missing", "sum_missing")
_LEAST = 5
_DIFFERENCE = 0.25
"""Standard deviations by which means must differ; with less, leaving these responses out shifts little."""
_SURE = 3.5
"""Standard errors by which they must differ: chance alone does so in one slice of 2,000."""
_START = np.datetime64("2020-01-01", "us")
_DAY = np.timedelta64(1, "D")


def seen_columns() -> tuple[str, ...]:
    """Name what has to be summed to compare them."""
    return tuple(f"missing.{name}.{stat}" for name in _SEEN for stat in _STATS)


def count_seen(responses: Responses, known: Bools) -> dict[str, Floats]:
    """Return what each response adds to those sums, by name, shape (n,); `known` have log-probabilities."""
    values = {"length": _length(responses), "time": _days(responses), "end": _feature(responses, "truncated")}
    found: dict[str, Floats] = {}
    for name, value in values.items():
        given = ~np.isnan(value)
        value = np.where(given, value, 0.0)
        missing = given & ~known
        stats = (given, value, value**2, missing, value * missing)
        found |= {
            f"missing.{name}.{stat}": np.asarray(one, dtype=np.float64) for stat, one in zip(_STATS, stats, strict=True)
        }
    return found


def _feature(responses: Responses, name: str) -> Floats:
    profiles = responses.profiles
    return profiles.column(name) if name in profiles.names else np.full(len(responses), np.nan)


def _length(responses: Responses) -> Floats:
    """Logarithm of one plus the tokens; a response of none has an unknown length."""
    length = _feature(responses, "log_length")
    return np.where(length > 0, length, np.nan)


def _days(responses: Responses) -> Floats:
    times = responses.times
    return np.where(np.isnat(times), np.nan, (times - _START) / _DAY)


def related_to(sums: Mapping[str, float]) -> str:
    r"""Say in what the responses of a slice without log-probabilities differ from the others; empty if in nothing.

    The means of log length, time and share of cut-off answers are compared,

    .. math:: d = \frac{\bar x_0 - \bar x_1}{s}, \quad z = d \Big/ \sqrt{1/n_0 + 1/n_1},

    with the standard deviation ``s`` of the slice; they differ where ``|d| >= 0.25`` and ``|z| >= 3.5``.

    Examples
    --------
    >>> stats = {"n": 100, "sum": 200.0, "squares": 500.0, "n_missing": 30, "sum_missing": 90.0}
    >>> alike = dict.fromkeys(seen_columns(), 0.0)
    >>> related_to(alike), related_to(alike | {f"missing.length.{name}": one for name, one in stats.items()})
    ('', 'length (19 tokens against 4)')
    """
    said = {"length": _said_length, "time": _said_time, "end": _said_end}
    for name in _SEEN:
        n, total, squares, n_missing, missing = (sums[f"missing.{name}.{stat}"] for stat in _STATS)
        n_others = n - n_missing
        if min(n_missing, n_others) < _LEAST:
            continue
        own, others = missing / n_missing, (total - missing) / n_others
        spread = float(np.sqrt(max(squares / n - (total / n) ** 2, 0.0)))
        if spread <= 1e-9 * max(abs(own), abs(others), 1.0):
            continue
        distance = abs(own - others) / spread
        if distance >= _DIFFERENCE and distance >= _SURE * np.sqrt(1 / n_missing + 1 / n_others):
            return said[name](own, others)
    return ""


def may_be_related(sums: Mapping[str, Floats]) -> Bools:
    """Return which slices have enough responses with and without log-probabilities to be compared, shape (slices,)."""
    enough = []
    for name in _SEEN:
        n, n_missing = sums[f"missing.{name}.n"], sums[f"missing.{name}.n_missing"]
        enough.append(np.minimum(n_missing, n - n_missing) >= _LEAST)
    return np.asarray(np.logical_or.reduce(enough))


def _said_length(own: float, others: float) -> str:
    return f"length ({np.expm1(own):,.0f} tokens against {np.expm1(others):,.0f})"


def _said_time(own: float, others: float) -> str:
    return f"time (on average {_moment(own)} against {_moment(others)})"


def _moment(days: float) -> str:
    return str((_START + np.timedelta64(round(days * 86_400), "s")).astype("datetime64[m]"))


def _said_end(own: float, others: float) -> str:
    return f"how they end ({own:.0%} cut off against {others:.0%})"
