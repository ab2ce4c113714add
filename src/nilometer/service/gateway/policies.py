"""What each name of the gateway means: a model, a route, a cascade, a vote, a decision."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from nilometer.decisions import Cascade, Decision, Rule, decide, find_rule, run_cascade, select_medoid, select_vote
from nilometer.errors import NilometerError, NotEnoughDataError
from nilometer.estimators import Posterior, whole_draw
from nilometer.models import Embedder, make_embedder
from nilometer.signals import answer_embeddings, label_text, parse_scale, parser_for, read_answer

from .answers import answer_text, completion
from .gateway import Gateway, NoAnswerError, Notes, Opened
from .requests import ChatRequest
from .upstream import Whole

__all__ = ["Policies"]

PREFIX = "nilometer/"
_EMBEDDING = "embedding"


class _Refused(Exception):  # noqa: N818 - a signal, no error
    """Every model that answered refused the request for what it asks."""

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole.model)
        self.whole = whole


class Policies:
    """Answers requests by the model that they name.

    Parameters
    ----------
    gateway
        The models and their router.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._config = gateway, gateway.config
        self._embedder: Embedder | None = None
        needs = self._config.cascade is not None or self._config.vote is not None
        if needs and self._config.compare == _EMBEDDING:
            self._embedder = make_embedder(self._config.embedder, model=self._config.embedder_model)

    def names(self) -> list[str]:
        """Every name that a request may carry; a decision stands for those of all metrics."""
        own = {
            "route": self._gateway.router,
            "cascade": self._config.cascade,
            "vote": self._config.vote,
            "decide:accuracy": self._config.decide,
        }
        return [*self._gateway.models, *(PREFIX + name for name, there in own.items() if there is not None)]

    async def answer(self, asked: ChatRequest, notes: Notes) -> Whole | Opened:
        """Answer a request.

        Raises
        ------
        NoAnswerError
            If the name is unknown, or no model answers.
        """
        if not asked.model.startswith(PREFIX):
            return await self._plain(asked, notes)
        name, _, metric = asked.model.removeprefix(PREFIX).partition(":")
        known = {"route": self._route, "cascade": self._cascade, "vote": self._vote}
        try:
            if name in known and not metric and PREFIX + name in self.names():
                return await known[name](asked, notes)
            if name == "decide" and self._config.decide is not None:
                return await self._decide(asked, notes, metric)
        except _Refused as exc:
            notes.reason = "every model refused the request"
            return exc.whole
        raise self._unknown(asked)

    def _unknown(self, asked: ChatRequest) -> NoAnswerError:
        reason = f"the model {asked.model!r} does not exist; there are {', '.join(self.names())}."
        return NoAnswerError(reason, status=404, kind="model_not_found")

    async def _plain(self, asked: ChatRequest, notes: Notes) -> Whole | Opened:
        model = self._gateway.models.get(asked.model)
        if model is None:
            raise self._unknown(asked)
        notes.reason = "asked for by name"
        return await self._first(asked, (model.name, *model.config.fallback), notes)

    async def _first(self, asked: ChatRequest, order: Sequence[str], notes: Notes) -> Whole | Opened:
        ask = self._gateway.stream if asked.stream else self._gateway.whole
        return await ask(asked, order, notes)

    async def _route(self, asked: ChatRequest, notes: Notes) -> Whole | Opened:
        router = self._gateway.router
        assert router is not None, "checked by `answer`"
        router.look()
        choice = await router.choose(asked.prompt, resting=self._gateway.resting())
        notes.reason = choice.reason
        given = await self._first(asked, choice.models, notes)
        router.spent(choice.models[0], given.model)
        return given

    async def _cascade(self, asked: ChatRequest, notes: Notes) -> Whole | Opened:
        config = self._config.cascade
        assert config is not None, "checked by `answer`"
        wholes = await self._each(asked, config.first, notes)
        vectors = await self._vectors([*wholes, None])
        cascade = Cascade(tuple(range(len(config.first))), len(config.first), config.least_closeness)
        run = run_cascade(cascade, vectors)
        local = wholes[int(run.models[0])] if 0 <= run.models[0] < len(wholes) else None
        names = (*config.first, config.last)
        if run.stopped[0] and local is not None:
            notes.reason = run.reason(0, cascade, names)
            return local
        notes.reason = f"{', '.join(config.first)} do not agree; {config.last} was asked"
        try:
            return await self._first(asked, [config.last], notes)
        except NoAnswerError:
            left = local or next((one for one in wholes if one is not None), None)
            if left is None:
                raise
            notes.reason += f", which brought no answer; {left.model} answers"
            return left

    async def _vote(self, asked: ChatRequest, notes: Notes) -> Whole:
        config = self._config.vote
        assert config is not None, "checked by `answer`"
        wholes = await self._each(asked, config.models, notes)
        weights = self._weights(config.models)
        if self._config.compare == _EMBEDDING:
            chosen = select_medoid(await self._vectors(wholes), weights=weights)
        else:
            chosen = select_vote([self._read(wholes)], weights=weights)
        notes.reason = chosen.reason(0, config.models)
        given = wholes[int(chosen.models[0])] if chosen.models[0] >= 0 else None
        if given is None:
            given = next((one for one in wholes if one is not None), None)
            notes.reason = "no answer could be read; the first is given"
        if given is None:
            raise notes.none_left()
        return given

    async def _decide(self, asked: ChatRequest, notes: Notes, metric: str) -> Whole:
        config = self._config.decide
        assert config is not None, "checked by `answer`"
        rule = _rule(metric)
        labels = parse_scale(config.labels)
        wholes = [one for one in await self._draws(asked, notes) if one is not None]
        if not wholes:
            raise notes.none_left()
        parse = parser_for(config.parse, labels, rule.kind)
        draws = [whole_draw(*answer_text(one), labels=labels) for one in wholes]
        try:
            decision = decide(Posterior.from_samples(draws, parse, labels=labels), rule)
        except NotEnoughDataError as exc:
            raise NoAnswerError(f"{exc.reason} {exc.needed}", status=422, kind="undecided") from exc
        except (ValueError, NilometerError) as exc:
            raise NoAnswerError(f"{metric} cannot be decided here: {exc}", status=400, kind="undecided") from exc
        notes.reason = f"{rule.name} over {len(wholes)} answers of {config.model}"
        text = _decided_text(decision, draws, parse)
        facts = {**decision.to_dict(), "n_samples": len(wholes)}
        return completion(text, wholes, model=self._gateway.models[config.model].config.served_name, facts=facts)

    async def _draws(self, asked: ChatRequest, notes: Notes) -> list[Whole | None]:
        config = self._config.decide
        assert config is not None, "checked by `answer`"
        model = self._gateway.models[config.model]
        temperature = asked.temperature or config.temperature
        bodies = [
            asked.whole(
                model.config.served_name,
                temperature=temperature,
                **({} if asked.seed is None else {"seed": asked.seed + i}),
            )
            for i in range(config.samples)
        ]
        found = await asyncio.gather(*(self._gateway.ask(model, body, asked=asked, notes=notes) for body in bodies))
        return _accepted(found)

    async def _each(self, asked: ChatRequest, names: Sequence[str], notes: Notes) -> list[Whole | None]:
        """Whole answers of several models at once; None where a model brings none."""
        models = [self._gateway.models[name] for name in names]
        found = await asyncio.gather(
            *(
                self._gateway.ask(model, asked.whole(model.config.served_name), asked=asked, notes=notes)
                for model in models
            )
        )
        return _accepted(found)

    def _read(self, wholes: Sequence[Whole | None]) -> list[str | None]:
        """What each answer says, as votes and cascades compare it."""
        texts = [None if one is None else answer_text(one)[0] for one in wholes]
        if self._config.compare == _EMBEDDING:
            return texts
        return [read_answer(text, self._config.compare) or None for text in texts]

    async def _vectors(self, wholes: Sequence[Whole | None]) -> "np.ndarray[Any, Any]":
        """(1, answers, dim) vectors of answers; only NaN where one is missing."""
        texts = self._read(wholes)
        if self._embedder is None:
            return answer_embeddings([texts])
        there = [text for text in texts if text]
        if not there:
            return np.full((1, len(texts), 1), np.nan)
        rows = iter(await asyncio.to_thread(self._embedder.embed, there))
        made = [next(rows) if text else None for text in texts]
        size = next(len(row) for row in made if row is not None)
        return np.stack([np.full(size, np.nan) if row is None else row for row in made])[None]

    def _weights(self, names: Sequence[str]) -> "np.ndarray[Any, Any] | None":
        """Weights of a vote by the router, where it knows every voter."""
        router = None if self._gateway.router is None else self._gateway.router.router
        if router is None or not set(names) <= set(router.models):
            return None
        weights = router.vote_weights[[router.models.index(name) for name in names]]
        return weights if weights.any() else None


def _accepted(found: Sequence[Whole | None]) -> list[Whole | None]:
    """Answers with a status of 200; a refusal of the request is passed on where there is nothing else."""
    accepted = [one if one is not None and one.status == 200 else None for one in found]
    refused = [one for one in found if one is not None and one.status != 200]
    if refused and accepted.count(None) == len(accepted):
        raise _Refused(refused[0])
    return accepted


def _rule(metric: str) -> Rule:
    try:
        rule = find_rule(metric)
    except (ValueError, NilometerError) as exc:
        raise NoAnswerError(str(exc), status=404, kind="model_not_found") from exc
    if rule.is_batch:
        reason = f"{metric} is a metric of many answers together. Use `nilometer decide` on a file."
        raise NoAnswerError(reason, status=400, kind="undecided")
    return rule


def _decided_text(decision: Decision, draws: Sequence[Any], parse: Any) -> str:
    """Text of a decision: numbers, labels and sets as such, of texts the first draw that says it."""
    value = decision.value
    if isinstance(value, str):
        return next((draw for draw in draws if isinstance(draw, str) and parse(draw) == value), value)
    if isinstance(value, frozenset | tuple):
        return ", ".join(sorted(map(str, value)))
    return label_text(value)
