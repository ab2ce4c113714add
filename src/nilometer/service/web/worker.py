"""The thread that does all writing of a store: it commits what the spool holds, again and again."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from ..monitor import AlertOptions, Channel
from ..monitor.alerts import Monitor
from ..monitor.deliver import Courier
from ..store import Store

__all__ = ["Chore", "Worker"]

_log = logging.getLogger("nilometer.serve")


class Chore(Protocol):
    """What is done beside, when it is time."""

    def step(self) -> Any:
        """Do it if it is time."""


class Worker:
    """Runs ``store.step`` every ``pause`` seconds, at once while there is more to do; a last time when it stops.

    After each it judges alerts, sends them, and does the ``chores``, such as fitting the sentinel again.

    A step that fails in a way nobody foresaw is logged with its traceback, named in ``store.problems`` and tried again.
    """

    def __init__(
        self,
        store: Store,
        *,
        pause: float = 2.0,
        options: AlertOptions | None = None,
        channels: Sequence[Channel] = (),
        chores: Sequence[Chore] = (),
    ) -> None:
        self._store, self._pause, self._chores = store, pause, tuple(chores)
        self._monitor, self._courier = Monitor(store, options), Courier(store, channels)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nilometer-store")
        self.last_step = 0.0
        """Time of the last step that ended, in seconds since 1970; 0 before the first."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the step in progress, make a last one, and return."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._step():
                self._stop.wait(self._pause)
        self._step()

    def _step(self) -> int:
        try:
            n = self._store.step()
            self._monitor.step()
            self._courier.step()
            for chore in self._chores:
                chore.step()
        except Exception as exc:  # noqa: BLE001 - the server must outlive what it did not foresee
            _log.exception("a step of the store failed")
            self._store.problems["step"] = f"{type(exc).__name__}: {exc}"
            return 0
        self._store.problems.pop("step", None)
        self.last_step = time.time()
        return n
