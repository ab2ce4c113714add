"""What every door to the spool shares: settings, sampling, slices, and which models take no log-probabilities."""

import os
import time
import uuid
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from .exchange import Exchange
from .frames import Frame
from .requests import Asked, slice_values
from .sampling import SliceRates, hash_uniform
from .settings import Settings, read_settings
from .spool import Spool

__all__ = ["OpenRequests", "Recorder"]

_REMEMBER_REFUSAL = 600.0
_MOST_OPEN = 10_000
_T = TypeVar("_T")


class OpenRequests(Generic[_T]):
    """What is remembered of requests until their answers come; of more than 10,000 the oldest are forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _T] = OrderedDict()

    def put(self, name: Hashable, value: _T) -> None:
        """Remember a request."""
        self._kept[name] = value
        if len(self._kept) > _MOST_OPEN:
            self._kept.popitem(last=False)

    def take(self, name: Hashable) -> _T | None:
        """Return what was remembered, and forget it; None for an unknown request."""
        return self._kept.pop(name, None)


class Recorder:
    """Turns requests into frames of one spool.

    Parameters
    ----------
    settings
        None reads the environment.

    Raises
    ------
    ConfigError
        If the environment holds a value outside its range.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = read_settings(os.environ) if settings is None else settings
        self.spool = Spool(self.settings.spool, limit=self.settings.spool_limit)
        self._rates = SliceRates(self.settings.rate, self.settings.max_per_slice)
        self._refusals: dict[str, float] = {}
        absent = self.settings.absent
        self._nulls = {} if absent == "auto" else dict.fromkeys(("chat", "completions"), absent == "null")

    def frame(self, asked: Asked, headers: Iterable[tuple[bytes, bytes]] = (), *, mode: str | None = None) -> Frame:
        """Begin the frame of a request; whether it is captured is decided here."""
        settings = self.settings
        headers = list(headers)
        attributes = slice_values(asked.body, headers, settings)
        given = next((value for name, value in headers if name.lower() == b"x-request-id"), b"")
        request_id = given.decode("latin-1")[:128] or uuid.uuid4().hex
        now = time.time()
        probability = self._rates.next(" ".join((asked.model, *map("=".join, sorted(attributes.items())))), now)
        return Frame(
            id=request_id,
            time=int(now * 1e6),
            outcome="served" if hash_uniform(request_id) < probability else "unsampled",
            api=asked.api,
            model=asked.model,
            k=asked.k,
            asked_by_client=asked.k is not None,
            logprobs_mode=settings.logprobs_mode if mode is None else mode,
            temperature=asked.temperature,
            capture_probability=probability,
            attributes=attributes,
            stream=asked.stream,
            request=asked.body if settings.texts else b"",
            texts=settings.texts,
        )

    def may_ask(self, asked: Asked, frame: Frame) -> bool:
        """Whether to ask for log-probabilities that the client did not ask for."""
        return asked.may_inject and frame.outcome == "served" and not self._is_refused(asked.model)

    def note_refusal(self, model: str) -> None:
        """Do not ask this model for ten minutes."""
        self._refusals[model] = time.monotonic() + _REMEMBER_REFUSAL
        self.spool.counts["refused_models"] += 1

    def exchange(self, frame: Frame, *, injected: bool) -> Exchange:
        """Follow the answer to a request."""
        limit = self.settings.record_limit
        return Exchange(frame, spool=self.spool, injected=injected, nulls=self._nulls, record_limit=limit)

    def _is_refused(self, model: str) -> bool:
        until = self._refusals.get(model)
        if until is not None and until < time.monotonic():
            del self._refusals[model]
            return False
        return until is not None
