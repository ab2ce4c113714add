"""``nilometer decide --live``: samples of a server, each on disk before the next step."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from nilometer import decisions, estimators, models, traces
from nilometer.errors import ConfigError, NotEnoughDataError

from .common import console, talk
from .decide_inputs import Asked, Reading, read_questions
from .runners import open_server

__all__ = ["LiveOptions", "default_journal", "draw_samples", "read_price", "shown_progress"]

_ALTERNATIVES = 20


class LiveOptions(NamedTuple):
    """Where samples come from, and what the run may cost."""

    where: str
    model_name: str | None
    extra: str = "{}"
    retries: models.Retries = models.PATIENT
    journal: Path | None = None
    price: str | None = None


def draw_samples(
    files: list[str],
    rule: decisions.Rule,
    reading: Reading,
    *,
    options: LiveOptions,
    draw: tuple[models.Sampling, decisions.SamplingPlan, Any],
) -> Asked:
    """Draw answers until every decision stands, and return the posteriors like those of a file.

    Raises
    ------
    ConfigError
        If the server fails for good; what was answered stays in the journal.
    """
    sampling, plan, parameter = draw
    kind, _, url = options.where.partition(":")
    if kind != "openai" or not url:
        raise ConfigError(f"`--live` must be openai:URL, got {options.where!r}.")
    price = read_price(options.price)
    runner = open_server(
        url, options.model_name, extra=options.extra, retries=options.retries, concurrency=sampling.batch
    )
    questions = read_questions(files)
    path = options.journal or default_journal(options.where, options.model_name, files)
    with models.Journal(path) as journal, shown_progress(runner, plan.most * len(questions), price):
        runner.journal = journal
        talk(f"Every answer is kept in {path}; the same command goes on from there ({len(journal):,} are in it).")
        try:
            asking = _Asking(runner, sampling)
            known = asking.look_once([one.prompt for one in questions], reading, most_missing=1 - plan.confidence_level)
            drawn = decisions.draw_live(
                asking,
                [one.prompt for place, one in enumerate(questions) if place not in known],
                rule,
                plan=plan,
                read=(reading.parse, reading.labels),
                parameter=parameter,
            )
            found = _in_places(known, drawn)
        except ConfigError as exc:
            raise ConfigError(f"{exc} {len(journal):,} answers are kept in {path}; the same command goes on.") from exc
    return _asked(questions, found, _summary(runner.usage, found, plan, price=price), reading=reading)


def default_journal(where: str, model_name: str | None, files: Sequence[str]) -> Path:
    """A file in the cache for these prompts at this server; the requests themselves are told apart inside it."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    about = "\n".join([where, str(model_name), *(str(Path(file).resolve()) for file in files)])
    return home / "nilometer" / "live" / f"{hashlib.sha256(about.encode()).hexdigest()[:16]}.jsonl"


def read_price(text: str | None) -> tuple[float, float] | None:
    """Read prices per million tokens of prompts and of answers, such as ``0.15,0.6``."""
    if text is None:
        return None
    try:
        prompt, answer = (float(part) for part in text.split(","))
    except ValueError as exc:
        raise ConfigError(f"`--price` must be two numbers, of prompts and answers, got {text!r}.") from exc
    return prompt, answer


class _Asking:
    """Draws answers from a server; the seed of a draw is fixed by its prompt and its number."""

    def __init__(self, runner: models.ServerRunner, sampling: models.Sampling) -> None:
        self._runner, self._sampling = runner, sampling
        self._n_drawn: Counter[str] = Counter()
        self._first: dict[str, list[str | estimators.FailedDraw]] = {}

    def __call__(self, prompts: Sequence[str]) -> list[str | estimators.FailedDraw]:
        kept = [self._first[prompt].pop() if self._first.get(prompt) else None for prompt in prompts]
        asked = [prompt for prompt, one in zip(prompts, kept, strict=True) if one is None]
        drawn = iter(self._runner.draw(asked, self._sampling, seeds=[self._seed(prompt) for prompt in asked]))
        return [_draw_of(next(drawn)) if one is None else one for one in kept]

    def look_once(
        self, prompts: Sequence[str], reading: Reading, *, most_missing: float
    ) -> dict[int, decisions.LiveDraws]:
        """Ask every prompt once with log-probabilities; what that settles by itself, by place.

        The other answers are the first draws of their prompts. Without a scale, or at another temperature than 1, to
        which the log-probabilities would not refer, nothing is asked.
        """
        if reading.labels is None or self._sampling.temperature != 1.0:
            return {}
        self._runner.needs_logprobs = False
        looking = self._sampling._replace(k=_ALTERNATIVES)
        drawn = self._runner.draw(prompts, looking, seeds=[self._seed(prompt) for prompt in prompts])
        found = {}
        for place, (prompt, trace) in enumerate(zip(prompts, drawn, strict=True)):
            draw, posterior = _draw_of(trace), _posterior_of(trace, reading)
            if posterior is not None and posterior.missing_mass <= most_missing and isinstance(draw, str):
                found[place] = decisions.LiveDraws(posterior, (draw,), is_settled=True)
            else:
                self._first.setdefault(prompt, []).append(draw)
        return found

    def _seed(self, prompt: str) -> int:
        number = self._n_drawn[prompt]
        self._n_drawn[prompt] += 1
        return (self._sampling.seed * 1_000_003 + zlib.crc32(prompt.encode()) + number) % 2**31


def _draw_of(trace: traces.Trace) -> str | estimators.FailedDraw:
    if trace.finish_reason == "refused":
        return estimators.FailedDraw(f"(refused) {trace.attributes['error']}", is_final=True)
    return estimators.whole_draw(trace.answer, trace.finish_reason)


def _posterior_of(trace: traces.Trace, reading: Reading) -> estimators.Posterior | None:
    """What one answer says of all labels; None without log-probabilities or a label."""
    if trace.tokens is None or trace.top_tokens is None or trace.chosen_logprobs is None:
        return None
    tokens = estimators.listed_tokens(
        trace.tokens, trace.chosen_logprobs.tolist(), top_texts=trace.top_tokens, top_logprobs=trace.top_logprobs
    )
    return estimators.posterior_of_call(tokens, reading.labels or (), field=reading.field, pattern=reading.pattern)


def _in_places(
    known: dict[int, decisions.LiveDraws], drawn: Sequence[decisions.LiveDraws]
) -> list[decisions.LiveDraws]:
    rest = iter(drawn)
    return [known[place] if place in known else next(rest) for place in range(len(known) + len(drawn))]


def _asked(
    questions: Sequence[models.Question],
    found: Sequence[decisions.LiveDraws],
    summary: dict[str, Any],
    *,
    reading: Reading,
) -> Asked:
    asked = Asked(summary=summary)
    for question, one in zip(questions, found, strict=True):
        asked.add(question.prompt_id, one.posterior)
        asked.facts.append({"n_samples": len(one.samples), "is_settled": one.is_settled})
        if question.gold is not None:
            asked.truths[question.prompt_id] = reading.plain(question.gold)
    return asked


def _summary(
    usage: models.Usage,
    found: Sequence[decisions.LiveDraws],
    plan: decisions.SamplingPlan,
    *,
    price: tuple[float, float] | None,
) -> dict[str, Any]:
    n_drawn = sum(len(one.samples) for one in found)
    saved = plan.most * len(found) - n_drawn
    n_settled = sum(one.is_settled for one in found)
    unread = sum(
        one.posterior.n_failures if isinstance(one.posterior, estimators.Posterior) else len(one.samples)
        for one in found
    )
    n_scored = sum(isinstance(one.posterior, estimators.Posterior) and one.posterior.n_samples is None for one in found)
    refused = [one.posterior for one in found if isinstance(one.posterior, NotEnoughDataError)]
    spent = None if price is None else usage.price(price)
    cost = "" if spent is None else f" They cost {spent:,.4g}."
    talk(
        f"{n_drawn:,} samples for {len(found):,} prompts, {saved:,} fewer than {plan.most} each; "
        f"{n_settled:,} decisions are {plan.confidence_level:.0%} stable."
    )
    if n_scored:
        talk(f"{n_scored:,} decisions stand on the log-probabilities of one answer, and were not drawn.")
    if usage.n_replayed or spent is not None:
        talk(f"{usage.n_replayed:,} of the samples were in the journal, {usage.n_calls:,} calls were made now.{cost}")
    if refused:
        talk(f"{len(refused):,} prompts have no answer, for example: {refused[0].reason}")
    return {
        "n_calls": usage.n_calls,
        "n_replayed": usage.n_replayed,
        "n_refused": usage.n_refused,
        "n_calls_saved": saved,
        "n_settled": n_settled,
        "n_scored": n_scored,
        "n_failures": unread,
        "n_prompt_tokens": usage.n_prompt_tokens,
        "n_tokens": usage.n_tokens,
        "cost": spent,
    }


@contextmanager
def shown_progress(runner: models.ServerRunner, most: int, price: tuple[float, float] | None) -> Iterator[None]:
    """Show answers, tokens and money so far: a bar on a terminal, a line now and then elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    screen = console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[spent]}"), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("asking", total=most, spent="")
        runner.advance = _advance(bar, task, price=price, lines=not screen.is_terminal)
        yield


def _advance(bar: Any, task: Any, *, price: tuple[float, float] | None, lines: bool) -> Callable[[models.Usage], None]:
    def advance(usage: models.Usage) -> None:
        done = usage.n_calls + usage.n_replayed
        spent = f"{usage.n_tokens:,} tokens" + ("" if price is None else f", cost {usage.price(price):,.4g}")
        bar.update(task, completed=done, spent=spent)
        if lines and usage.n_calls and usage.n_calls % 100 == 0:
            talk(f"{done:,} answers, {spent}.")

    return advance
