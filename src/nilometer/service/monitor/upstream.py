"""Asking the model behind an address the same few questions again and again, to notice that it was changed."""

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nilometer.errors import NilometerError
from nilometer.estimators import canary_test
from nilometer.models import Canary

from ..store import Store
from ..store.database import transaction
from ..store.slicing import ALL

__all__ = ["CanaryWatch"]

_log = logging.getLogger("nilometer.canary")
_KIND = "model_changed"
_HOURS_OF_MONTH = 720
_CALM = 0.05
_PERMUTATIONS = 19_999


class _Answer(NamedTuple):
    """What one round of asking came to."""

    p_value: float
    text: str


class CanaryWatch:
    """Asks a canary every few hours, in a thread of its own, and opens an alert when the answers changed.

    A model that cannot be asked is a problem of the store with the name ``canary``, and is asked again at the next
    time. The alert closes when a later round shows no sign of a change.

    Parameters
    ----------
    store
        Keeps the alert and when it was asked last.
    canary
        The record that answers are compared with.
    ask
        Asks the same prompts now.
    every_hours
        Between rounds.
    per_month
        False alarms expected in 30 days while nothing changes, beside those of the other alerts.
    """

    def __init__(
        self,
        store: Store,
        canary: Canary,
        ask: Callable[[], Canary],
        *,
        every_hours: float = 24.0,
        per_month: float = 0.1,
    ) -> None:
        self._store, self._canary, self._ask = store, canary, ask
        self._every, self._level = every_hours * 3600, per_month * every_hours / _HOURS_OF_MONTH
        self._thread: threading.Thread | None = None
        self._answer: _Answer | str | None = None

    def step(self, *, now: float | None = None) -> None:
        """Begin a round if it is time, and note what an earlier one found."""
        now = time.time() if now is None else now
        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._thread = None
            self._note()
        with self._store.writing() as connection:
            kept = connection.execute("SELECT value FROM meta WHERE name='canary_asked'").fetchone()
            if kept is not None and now - float(kept[0]) < self._every:
                return
            connection.execute("REPLACE INTO meta VALUES ('canary_asked', ?)", (str(now),))
        self._thread = threading.Thread(target=self._round, name="nilometer-canary", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the round in progress and note what it found."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._note()

    def _round(self) -> None:
        try:
            self._answer = self._compared(self._ask())
        except (NilometerError, OSError, ValueError) as exc:
            self._answer = f"the model cannot be asked ({exc})"
        except Exception as exc:  # noqa: BLE001 - a client's own errors must not end the watch
            self._answer = f"the model cannot be asked ({type(exc).__name__}: {exc})"

    def _compared(self, after: Canary) -> _Answer:
        rng = np.random.default_rng(int(time.time()))
        found = canary_test(
            self._canary.arrays(), after.arrays(), rng=rng, n_permutations=_PERMUTATIONS, least_p_value=self._level
        )
        text = f"{self._canary.model}: the first tokens of fixed prompts changed by {found.shift:.2g} nats on average"
        return _Answer(found.p_value, text)

    def _note(self) -> None:
        answer, problems = self._answer, self._store.problems
        if not isinstance(answer, _Answer):
            problems["canary"] = answer or "the model was not asked"
            _log.warning("%s", problems["canary"])
            return
        problems.pop("canary", None)
        place = (_KIND, ALL, ALL, self._canary.model)
        now = time.time_ns() // 1000
        with self._store.writing() as connection, transaction(connection):
            is_open = "kind=? AND slice_key=? AND slice=? AND model=? AND closed IS NULL"
            found = connection.execute(f"SELECT id FROM alerts WHERE {is_open}", place).fetchone()
            if found is None and answer.p_value <= self._level:
                connection.execute(
                    "INSERT INTO alerts (kind, slice_key, slice, model, opened, p_value, text) VALUES (?,?,?,?,?,?,?)",
                    (*place, now, answer.p_value, answer.text),
                )
            elif found is not None and answer.p_value > _CALM:
                connection.execute("UPDATE alerts SET closed=? WHERE id=?", (now, found[0]))
