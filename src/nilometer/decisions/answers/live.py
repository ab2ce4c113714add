"""Deciding while samples are drawn: as few of them as the decision needs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import FailedDraw, NotEnoughData, Posterior
from nilometer.signals import Parser

from .best_answer import Metric, decide, decide_many
from .decision import Decision
from .rule import Rule
from .rules import find_rule

__all__ = ["DEFAULT_PLAN", "LiveDecision", "LiveDraws", "SamplingPlan", "decide_live", "draw_live"]


class SamplingPlan(NamedTuple):
    """How many samples to draw."""

    first: int = 4
    """Before the first look."""
    step: int = 2
    """Between looks."""
    most: int = 32
    confidence_level: float = 0.95
    """Stop when the decision's stability reaches this."""

    def check(self) -> None:
        """Refuse plans that draw nothing or never end.

        Raises
        ------
        ValueError
            If a number is below 1, `first` is above `most`, or the level is outside (0, 1).
        """
        for name, value in (("first", self.first), ("step", self.step), ("most", self.most)):
            if value < 1:
                raise ValueError(f"`{name}` must be >= 1, got {value}.")
        if self.first > self.most:
            raise ValueError(f"`first` must be <= `most`, got {self.first} and {self.most}.")
        if not 0 < self.confidence_level < 1:
            raise ValueError(f"`confidence_level` must lie in (0, 1), got {self.confidence_level:g}.")


DEFAULT_PLAN = SamplingPlan()


Ask = Callable[[Sequence[str]], Sequence[str | FailedDraw]]
"""Takes prompts, repeated as often as samples are wanted, and returns one drawn answer for each."""


class LiveDraws(NamedTuple):
    """What was drawn for one prompt."""

    posterior: Posterior | NotEnoughDataError
    samples: tuple[str | FailedDraw, ...]
    is_settled: bool
    """Whether the asked stability was reached before the last sample; False for metrics of a whole batch."""


class LiveDecision(NamedTuple):
    """What was decided for one prompt, and what it took."""

    decision: Decision | NotEnoughData
    samples: tuple[str | FailedDraw, ...]
    is_settled: bool
    """Whether the asked stability was reached before the last sample."""


def draw_live(
    ask: Ask,
    prompts: Sequence[str],
    metric: Metric,
    *,
    plan: SamplingPlan = DEFAULT_PLAN,
    read: tuple[Parser | None, Sequence[Any] | None] = (None, None),
    parameter: Any = None,
) -> list[LiveDraws]:
    """Draw answers to prompts until each decision is stable at the asked confidence, or the plan is used up.

    As ``decide_live``, without the decisions. For a metric of a whole batch, whose decisions hang together, every
    prompt gets the most samples. A refusal (a final ``FailedDraw``) ends its prompt and no other.

    Examples
    --------
    >>> found = draw_live(lambda asked: ["yes"] * len(asked), ["Is water wet?"], "zero_one")[0]
    >>> found.posterior.values, len(found.samples), found.is_settled
    (('yes',), 6, True)
    """
    plan.check()
    rule = find_rule(metric)
    drawn: list[list[str | FailedDraw]] = [[] for _ in prompts]
    found: dict[int, LiveDraws] = {}
    open_ = list(range(len(prompts)))
    while open_:
        first = plan.most if rule.is_batch else plan.first
        wanted = [min(plan.step if drawn[i] else first, plan.most - len(drawn[i])) for i in open_]
        answers = iter(ask([prompts[i] for i, n in zip(open_, wanted, strict=True) for _ in range(n)]))
        for i, n in zip(open_, wanted, strict=True):
            drawn[i] += [next(answers) for _ in range(n)]
            found[i] = _look(drawn[i], rule, plan, read=read, parameter=parameter)
        open_ = [i for i in open_ if len(drawn[i]) < plan.most and not found[i].is_settled and not _is_over(drawn[i])]
    return [found[i] for i in range(len(prompts))]


def decide_live(
    ask: Ask,
    prompts: Sequence[str],
    metric: Metric,
    *,
    plan: SamplingPlan = DEFAULT_PLAN,
    read: tuple[Parser | None, Sequence[Any] | None] = (None, None),
    parameter: Any = None,
) -> list[LiveDecision]:
    """Draw answers to prompts until each decision is stable at the asked confidence, or the plan is used up.

    All prompts that are still open are asked in one round, so that a server can answer them side by side. Looking
    more than once makes the level nominal: the chance that a settled decision would differ with many more samples
    is near, not exactly, one minus the level.

    Parameters
    ----------
    ask
        Takes prompts, repeated as often as samples are wanted, and returns one drawn answer for each.
    prompts
        What to ask.
    metric, parameter
        As in ``decide``; a metric of a whole batch is decided after all draws.
    plan
        Samples before the first look, between looks, at most, and the stability to reach.
    read
        Parser of the answers and the scale.

    References
    ----------
    Aggarwal et al. (2023), "Let's Sample Step by Step: Adaptive-Consistency", arXiv 2305.11860.

    Examples
    --------
    >>> found = decide_live(lambda asked: ["yes"] * len(asked), ["Is water wet?"], "zero_one")[0]
    >>> found.decision.value, len(found.samples), found.is_settled
    ('yes', 6, True)
    """
    drawn = draw_live(ask, prompts, metric, plan=plan, read=read, parameter=parameter)
    posteriors = [one.posterior for one in drawn if isinstance(one.posterior, Posterior)]
    decisions = iter(decide_many(posteriors, metric, parameter=parameter))
    return [
        LiveDecision(
            next(decisions) if isinstance(one.posterior, Posterior) else _unknown(one.posterior, len(one.samples)),
            one.samples,
            one.is_settled,
        )
        for one in drawn
    ]


def _is_over(samples: Sequence[str | FailedDraw]) -> bool:
    return any(isinstance(sample, FailedDraw) and sample.is_final for sample in samples)


def _unknown(exc: NotEnoughDataError, n: int) -> NotEnoughData:
    return NotEnoughData(slice="decision", n=n, reason=exc.reason, needed=exc.needed)


def _look(
    samples: list[str | FailedDraw],
    rule: Rule,
    plan: SamplingPlan,
    *,
    read: tuple[Parser | None, Sequence[Any] | None],
    parameter: Any,
) -> LiveDraws:
    try:
        posterior = Posterior.from_samples(samples, read[0], labels=read[1])
    except NotEnoughDataError as exc:
        return LiveDraws(exc, tuple(samples), is_settled=False)
    if rule.is_batch:
        return LiveDraws(posterior, tuple(samples), is_settled=False)
    decision = decide(posterior, rule, parameter=parameter)
    firm = not isinstance(decision.stability, NotEnoughData) and decision.stability >= plan.confidence_level
    return LiveDraws(posterior, tuple(samples), is_settled=firm)
