"""The router of a gateway: loaded again when its file changes, paced by its budget."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nilometer.decisions import Pace, Route, Router, load_router, route_paced, start_pace
from nilometer.errors import ConfigError, NilometerError
from nilometer.models import Embedder

__all__ = ["Choice", "LiveRouter"]

_log = logging.getLogger("nilometer.gateway")


class Choice(NamedTuple):
    """Models in the order in which they are asked."""

    models: tuple[str, ...]
    reason: str


class _Loaded(NamedTuple):
    router: Router
    embedder: Embedder | None
    stamp: tuple[int, int]


class LiveRouter:
    """Routes prompts by a router file that may change at any time.

    A file that cannot be read, or that names none of the models, is logged and named in ``problem``; the router
    before it goes on.

    Parameters
    ----------
    path
        Made by ``nilometer route fit``.
    models
        Names that can be asked; others in the file are never chosen.
    embedder_of
        Makes the embedder of a router that looks at neighbours, from its name and model.

    Raises
    ------
    NilometerError, FileNotFoundError
        If the file cannot be read at the start.
    """

    def __init__(self, path: Path, models: Collection[str], embedder_of: Callable[[str, str | None], Embedder]) -> None:
        self._absent: str | None = None
        self._unread: str | None = None
        self.n_loaded = 1
        self._path, self._known, self._embedder_of = path, set(models), embedder_of
        self._loaded = self._load()
        self._pace = _first_pace(self._loaded.router)
        self._loading: asyncio.Task[None] | None = None

    @property
    def router(self) -> Router:
        """The router in use."""
        return self._loaded.router

    @property
    def problem(self) -> str | None:
        """Why the file of now is not in use; None if it is."""
        return self._absent or self._unread

    def look(self) -> None:
        """Begin to load the file again if it has changed; requests go on with the router there is."""
        if self._loading is not None and not self._loading.done():
            return
        try:
            stamp = _stamp(self._path)
        except OSError as exc:
            self._absent = f"{self._path}: {exc.strerror}"
            return
        self._absent = None
        if stamp != self._loaded.stamp:
            self._loading = asyncio.create_task(self._reload(stamp))

    async def _reload(self, stamp: tuple[int, int]) -> None:
        try:
            loaded = await asyncio.to_thread(self._load)
        except (NilometerError, OSError, KeyError, ValueError) as exc:
            if self._unread is None:
                _log.warning("the router before %s goes on: %s", self._path, exc)
            self._unread = f"{self._path}: {exc}"
            self._loaded = self._loaded._replace(stamp=stamp)
            return
        self._loaded, self._unread = loaded, None
        self._pace = _first_pace(loaded.router)
        self.n_loaded += 1

    def _load(self) -> _Loaded:
        stamp = _stamp(self._path)
        router = load_router(self._path)
        known = np.array([name in self._known for name in router.models])
        if not known.any():
            raise ConfigError(f"{self._path}: the router knows {', '.join(router.models)}, none of which can be asked.")
        looks = router.smoothie.n_neighbors is not None
        embedder = self._embedder_of(router.embedder or "ngrams", router.embedder_model) if looks else None
        allowed = known if router.allowed is None else known & router.allowed
        return _Loaded(replace(router, allowed=allowed if allowed.any() else known), embedder, stamp)

    async def choose(self, prompt: str, *, resting: Collection[str] = ()) -> Choice:
        """Order the models for a prompt: the one that the router chooses, then the others, best first."""
        loaded = self._loaded
        router, vector, failed = loaded.router, None, ""
        if loaded.embedder is not None:
            try:
                vector = await _embedded(loaded.embedder, prompt)
            except (NilometerError, OSError) as exc:
                _log.warning("a prompt cannot be embedded, and goes by the average of all prompts: %s", exc)
                router, failed = router.without_neighbors(), "the prompt could not be embedded; "
        route = self._route(_awake(router, resting), vector)
        others = [one.model for one in route.alternatives if one.model in self._known]
        return Choice((route.model, *others), failed + route.reason)

    def spent(self, chosen: str, given: str) -> None:
        """Count the model that answered in place of the one that was chosen."""
        if self._pace is None or self.router.costs is None or chosen == given:
            return
        costs = dict(zip(self.router.models, self.router.costs.tolist(), strict=True))
        more = costs.get(given, 0.0) - costs.get(chosen, 0.0)
        self._pace = self._pace._replace(spent=self._pace.spent + more)

    def _route(self, router: Router, vector: "np.ndarray | None") -> Route:
        if self._pace is None:
            return router.route(vector)
        route, self._pace = route_paced(router, vector, self._pace)
        return route


def _awake(router: Router, resting: Collection[str]) -> Router:
    """The router without the models that rest, unless all do."""
    try:
        return router.without(*(name for name in resting if name in router.models))
    except ConfigError:
        return router


def _first_pace(router: Router) -> Pace | None:
    return None if router.budget is None or router.costs is None else start_pace(router)


async def _embedded(embedder: Embedder, prompt: str) -> "np.ndarray":
    texts: Sequence[str] = [prompt]
    if embedder.name.startswith("ngrams"):
        return np.asarray(embedder.embed(texts)[0])
    return np.asarray((await asyncio.to_thread(embedder.embed, texts))[0])


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
