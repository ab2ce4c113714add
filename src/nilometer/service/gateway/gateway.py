"""The models of a gateway and every call to them: in which order, within which budget, with which failures."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from nilometer.models import make_embedder

from ..capture import Settings
from .answers import StreamMeter, Tokens, answer_tokens
from .budgets import Budgets, Hold
from .config import GatewayConfig
from .requests import ChatRequest
from .routing import LiveRouter
from .upstream import Answer, Call, CallFailedError, Headers, Upstream, Whole

__all__ = ["Gateway", "NoAnswerError", "Notes", "Opened"]

_log = logging.getLogger("nilometer.gateway")
_REQUEST_ID = b"x-request-id"


class NoAnswerError(Exception):
    """No model answered; what the client gets instead."""

    def __init__(self, reason: str, *, status: int = 502, kind: str = "no_answer", after: float | None = None) -> None:
        super().__init__(reason)
        self.status, self.kind, self.after = status, kind, after


class Notes:
    """What was done for one request, as its headers tell it."""

    def __init__(self, who: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.who = who
        self.headers = headers
        """Passed on to the servers."""
        self.n_prompt_tokens = 0
        """About, before a server has counted them."""
        self.reason = ""
        self.tried: list[str] = []
        """Models that brought no answer, each with the reason."""
        self.n_calls = 0
        self.cost = 0.0
        self.limits: list[float] = []
        """Seconds that limited models ask to wait."""
        self.over_budget = False

    def call_headers(self) -> tuple[Headers, Headers]:
        """Return the headers of the call that was counted last, and what the client is told of it.

        The second and later calls of a request get its id with their number, so that their traces stay apart.
        """
        given = next((value for name, value in self.headers if name == _REQUEST_ID), None)
        if given is None:
            return list(self.headers), []
        own = given if self.n_calls == 1 else given + f".{self.n_calls}".encode()
        others = [(name, value) for name, value in self.headers if name != _REQUEST_ID]
        return [*others, (_REQUEST_ID, own)], [(b"x-nilometer-trace", own)]

    def none_left(self) -> NoAnswerError:
        """Return the error of a request for which no model is left."""
        said = "; ".join(self.tried)
        if self.over_budget:
            reason = f"the budget of {self.who} for today is used up ({said})."
            return NoAnswerError(reason, status=429, kind="budget_exceeded", after=Budgets.seconds_left())
        if self.limits:
            return NoAnswerError(f"every model is limited ({said}).", status=429, after=min(self.limits))
        return NoAnswerError(f"no model answered ({said}).")


class Opened(NamedTuple):
    """A streamed answer whose first bytes have come; who gets it must close ``rest``."""

    model: str
    answer: Answer
    first: bytes
    rest: AsyncGenerator[bytes]


class Gateway:
    """Calls to the models of a configuration.

    Parameters
    ----------
    config
        What the gateway is told.
    settings
        Of the captures; None where the configuration has no folder.

    Raises
    ------
    NilometerError, FileNotFoundError
        If the router cannot be read.
    """

    def __init__(self, config: GatewayConfig, settings: Settings | None = None) -> None:
        self.config = config
        self.models = {model.name: Upstream(model, settings, timeout=config.timeout) for model in config.models}
        self.budgets = Budgets(Path(config.folder) / "gateway.db" if config.folder else None, config.budgets)
        self.router: LiveRouter | None = None
        if config.router is not None:
            self.router = LiveRouter(Path(config.router), self.models, lambda name, own: make_embedder(name, model=own))

    async def close(self) -> None:
        """Close the connections, the spools and the sums."""
        await asyncio.gather(*(model.close() for model in self.models.values()))
        self.budgets.close()

    def resting(self) -> Collection[str]:
        """Models that are not to be asked now."""
        return {name for name, model in self.models.items() if model.rests_for() > 0}

    async def whole(self, asked: ChatRequest, order: Sequence[str], notes: Notes) -> Whole:
        """Return the whole answer of the first model that gives one.

        Raises
        ------
        NoAnswerError
            If none does.
        """
        for model in self._in_order(order, notes):
            given = await self.ask(model, asked.for_model(model.config.served_name), asked=asked, notes=notes)
            if given is not None:
                return given
        raise notes.none_left()

    async def ask(self, model: Upstream, body: bytes, *, asked: ChatRequest, notes: Notes) -> Whole | None:
        """Ask one model once; None, with a note, if it brings no answer."""
        hold = self._held(model, asked, notes)
        if hold is None:
            return None
        headers, told = notes.call_headers()
        try:
            given = await model.whole(body, headers)
        except CallFailedError as exc:
            self._failed(model, exc, hold=hold, notes=notes)
            return None
        except BaseException:
            notes.cost += hold.amount  # the client left; what the server still does is paid
            raise
        self._paid(model, answer_tokens(given.body) if given.status == 200 else Tokens(0, 0), hold=hold, notes=notes)
        return given._replace(headers=[*given.headers, *told])

    async def stream(self, asked: ChatRequest, order: Sequence[str], notes: Notes) -> Opened:
        """Return the streamed answer of the first model whose first bytes come.

        Raises
        ------
        NoAnswerError
            If none begins to answer.
        """
        for model in self._in_order(order, notes):
            hold = self._held(model, asked, notes)
            if hold is None:
                continue
            headers, told = notes.call_headers()
            try:
                call, answer = await model.call(asked.for_model(model.config.served_name), headers)
            except CallFailedError as exc:
                self._failed(model, exc, hold=hold, notes=notes)
                continue
            parts = self._parts(model, call, answer, hold=hold, notes=notes)
            try:
                first = await anext(parts, b"")
            except CallFailedError as exc:
                notes.tried.append(f"{model.name}: {exc.reason}")
                continue
            return Opened(model.name, answer._replace(headers=[*answer.headers, *told]), first, parts)
        raise notes.none_left()

    async def _parts(
        self, model: Upstream, call: Call, answer: Answer, *, hold: Hold, notes: Notes
    ) -> AsyncGenerator[bytes]:
        meter = StreamMeter(notes.n_prompt_tokens)
        try:
            async for part in call.parts():
                meter.feed(part)
                yield part
            model.succeeded()
        except CallFailedError as exc:
            _log.warning("%s: %s", model.name, exc)
            model.failed(exc)
            raise
        finally:
            tokens = meter.tokens() if answer.status == 200 else Tokens(0, 0)
            self._paid(model, tokens, hold=hold, notes=notes)
            await call.close()

    def _in_order(self, order: Sequence[str], notes: Notes) -> list[Upstream]:
        """Return the models of an order: those that rest after a failure last, those that are limited not at all."""
        models = [self.models[name] for name in dict.fromkeys(order)]
        limited = [model for model in models if model.is_limited and model.rests_for() > 0]
        for model in limited:
            notes.limits.append(model.rests_for())
            notes.tried.append(f"{model.name}: limited for {model.rests_for():.0f} s more")
        return sorted((model for model in models if model not in limited), key=lambda model: model.rests_for() > 0)

    def _held(self, model: Upstream, asked: ChatRequest, notes: Notes) -> Hold | None:
        amount = model.cost(asked.n_prompt_tokens(), asked.n * (asked.max_tokens or self.config.max_tokens))
        hold = self.budgets.hold(notes.who, amount)
        if hold is None:
            notes.over_budget = True
            notes.tried.append(f"{model.name}: over the budget")
            return None
        notes.n_calls += 1
        return hold

    def _failed(self, model: Upstream, failure: CallFailedError, *, hold: Hold, notes: Notes) -> None:
        """Note a failure; a call that was not refused may have to be paid, so what was set aside for it stays."""
        _log.warning("%s: %s", model.name, failure)
        if failure.status is None:
            notes.cost += hold.amount
        else:
            self.budgets.settle(hold, 0.0)
        if failure.status == 429:
            notes.limits.append(model.rests_for())
        notes.tried.append(f"{model.name}: {failure.reason}")

    def _paid(self, model: Upstream, tokens: Tokens | None, *, hold: Hold, notes: Notes) -> None:
        """Count what a call cost: by its tokens, or what was set aside where nobody names them."""
        cost = hold.amount if tokens is None else model.cost(tokens.prompt, tokens.answer)
        self.budgets.settle(hold, cost)
        notes.cost += cost
