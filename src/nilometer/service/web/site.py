"""What every handler needs: the store, who may ask, what is kept between requests."""

import sqlite3
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ..labelling.queue import Claims
from ..monitor.overview import Overviews
from ..store import Store
from ..store.database import transaction
from .access import Access, Person
from .questions import Parameter, Query
from .worker import Worker

__all__ = ["Act", "Failures", "Site", "View", "Visit"]


class Failures:
    """Counts wrong tokens and refuses an address after 10 in a minute."""

    def __init__(self, *, most: int = 10, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, address: str) -> None:
        """Count one failure."""
        self._seen.setdefault(address, deque(maxlen=self._most)).append(self._clock())
        self._seen.move_to_end(address)
        if len(self._seen) > 10_000:
            self._seen.popitem(last=False)

    def wait(self, address: str) -> float:
        """Seconds until the address may try again; 0 where it may."""
        seen = self._seen.get(address)
        if seen is None or len(seen) < self._most:
            return 0.0
        return max(seen[0] + self._seconds - self._clock(), 0.0)


class Site:
    """The store behind a console, and what it keeps between requests.

    Parameters
    ----------
    store
        Of the folder.
    access
        Who may do what.
    worker
        That writes.
    target
        Least accuracy that is good enough, None where nobody said so.
    """

    def __init__(self, store: Store, access: Access, worker: Worker, *, target: float | None = None) -> None:
        self.store, self.access, self.worker, self.target = store, access, worker, target
        self.overviews = Overviews(store)
        self.failures = Failures()
        self.claims = Claims()

    def write(self, who: Person, act: str, function: Callable[[sqlite3.Connection], Any], *, detail: str = "") -> Any:
        """Run a function in one transaction together with a line of the log of acts."""
        with self.store.writing() as connection, transaction(connection):
            found = function(connection)
            self.store.log(connection, who=who.name, act=act, detail=detail)
            return found


class Visit(NamedTuple):
    """One reader of one page."""

    site: Site
    connection: sqlite3.Connection
    """That reads."""
    query: Query
    who: Person


class View(NamedTuple):
    """A page and its twin in JSON, or JSON alone."""

    api: str
    right: str
    read: Callable[[Visit], dict[str, Any]]
    """Plain values of what is shown."""
    about: str
    parameters: tuple[Parameter, ...] = ()
    path: str = ""
    """Of the page; empty without one."""
    template: str = ""
    draw: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Makes what only the page shows, such as charts, from the values."""


class Act(NamedTuple):
    """Something that is written: from a form, which is led on to a page, or from JSON, which gets JSON."""

    path: str
    right: str
    do: Callable[[Site, dict[str, Any], Person], dict[str, Any]]
    """Takes the fields and gives plain values; ``to`` among them is where a form is led on to."""
    about: str
    fields: tuple[tuple[str, str], ...] = ()
    """Names of the fields and what they mean."""
