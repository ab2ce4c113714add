"""What each holder of a token has spent today, and whether another call fits."""

import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

__all__ = ["Budgets", "Hold"]

_SCHEMA = "CREATE TABLE IF NOT EXISTS spent (day TEXT, who TEXT, cost REAL, n INTEGER, PRIMARY KEY (day, who))"
_ADD = (
    "INSERT INTO spent VALUES (?, ?, ?, ?) "
    "ON CONFLICT (day, who) DO UPDATE SET cost = max(cost + excluded.cost, 0), n = n + excluded.n"
)


class Hold(NamedTuple):
    """What is set aside for a call until its price is known."""

    day: str
    who: str
    amount: float


class Budgets:
    """Money by day (UTC) and name, kept in a file.

    What a call may cost is counted before it is made and corrected when its price is known, so that many calls at
    once do not pass the limit together, and a process that dies has counted too much rather than too little.

    Parameters
    ----------
    path
        SQLite file; None keeps the sums in memory.
    limits
        Most per day by name; ``default`` is for all names without one. Without either nothing is limited.

    Examples
    --------
    >>> budgets = Budgets(None, {"default": 1.0})
    >>> hold = budgets.hold("alice", 0.75)
    >>> budgets.hold("alice", 0.75) is None
    True
    >>> budgets.settle(hold, 0.25)
    >>> budgets.spent("alice"), budgets.hold("alice", 0.75) is None
    (0.25, False)
    """

    def __init__(self, path: Path | None, limits: Mapping[str, float]) -> None:
        self._limits = dict(limits)
        where = ":memory:" if path is None else path
        self._connection = sqlite3.connect(where, isolation_level=None, timeout=30, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(_SCHEMA)

    def limit(self, who: str) -> float | None:
        """Most that a name may spend in a day; None if it is not limited."""
        return self._limits.get(who, self._limits.get("default"))

    def spent(self, who: str) -> float:
        """Spent by a name today, calls under way included."""
        return self._spent(who, _today())

    def hold(self, who: str, amount: float) -> Hold | None:
        """Set an amount aside; None if it would pass the limit."""
        limit, day = self.limit(who), _today()
        if limit is not None and self._spent(who, day) + amount > limit:
            return None
        self._connection.execute(_ADD, (day, who, amount, 1))
        return Hold(day, who, amount)

    def settle(self, hold: Hold, cost: float) -> None:
        """Put the price of a call in place of what was set aside for it."""
        self._connection.execute(_ADD, (hold.day, hold.who, cost - hold.amount, 0))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _spent(self, who: str, day: str) -> float:
        row = self._connection.execute("SELECT cost FROM spent WHERE day = ? AND who = ?", (day, who)).fetchone()
        return float(row[0]) if row else 0.0

    @staticmethod
    def seconds_left() -> float:
        """Seconds until the next day begins."""
        now = datetime.fromtimestamp(time.time(), UTC)
        tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return (tomorrow - now).total_seconds()


def _today() -> str:
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d")
