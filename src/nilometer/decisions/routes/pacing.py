"""Routing new prompts within a budget: a price that adapts to what is spent."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nilometer.arrays import ArrayLike
from nilometer.errors import ConfigError

from .router import Route, Router

__all__ = ["Pace", "route_paced", "start_pace"]

_STEP = 0.05
"""How fast the weight on cost follows: by this share for a prompt that costs twice the budget."""


class Pace(NamedTuple):
    """What was spent so far, and the weight on cost that follows from it."""

    cost_weight: float
    spent: float = 0.0
    n_prompts: int = 0


def start_pace(router: Router) -> Pace:
    """Return the pace before the first prompt, at the weight that fitted typical prompts.

    Raises
    ------
    ConfigError
        If the router has no budget.
    """
    if router.budget is None or router.costs is None:
        raise ConfigError("the router must have a budget. Make it with `for_budget`.")
    quality = router.expected(router.smoothie.prompts_)[0]
    smallest = 1e-3 * float(np.ptp(quality)) / max(float(np.ptp(router.costs)), 1e-12)
    return Pace(max(router.cost_weight, smallest))


def route_paced(router: Router, prompt_embedding: ArrayLike | None, pace: Pace) -> tuple[Route, Pace]:
    """Route one prompt and return the pace after it; the mean cost never exceeds the budget.

    A model is called only if all prompts so far, this one included, stay within the budget with it. The weight on
    cost rises by 5 % for each budget spent beyond the budget and falls as it is left, so that what is saved on
    cheap prompts is spent on others: dual ascent, one step a prompt.

    Parameters
    ----------
    router
        With a budget.
    prompt_embedding
        (dim,) of the prompt, where the router looks at neighbours.
    pace
        From ``start_pace`` or the prompt before.

    References
    ----------
    Balseiro and Gur (2019), "Learning in repeated auctions with budgets", Management Science 65(9), adaptive pacing.

    Examples
    --------
    >>> from nilometer.decisions import AnswerTable, fit_router
    >>> answers = np.random.default_rng(0).normal(size=(60, 3, 2)) * [[[0.1], [0.5], [0.6]]]
    >>> table = AnswerTable(models=("a", "b", "c"), embeddings=answers, costs=np.array([3.0, 1.0, 1.0]))
    >>> router = fit_router(table).for_budget(2.0)
    >>> route, pace = route_paced(router, None, start_pace(router))
    >>> route.model, pace.spent
    ('c', 1.0)
    """
    if router.budget is None or router.costs is None:
        raise ConfigError("the router must have a budget. Make it with `for_budget`.")
    left = router.budget * (pace.n_prompts + 1) - pace.spent
    within = router.costs <= left * (1 + 1e-12)
    allowed = np.ones(len(router.models), dtype=bool) if router.allowed is None else router.allowed
    within &= allowed
    if not within.any():  # the budget was made for a cheaper model that may not be called
        within = allowed & (router.costs == router.costs[allowed].min())
    limited = replace(router, budget=None, cost_weight=pace.cost_weight, allowed=within)
    route = limited.route(prompt_embedding)
    cost = float(router.costs[router.models.index(route.model)])
    change = np.exp(_STEP * (cost - router.budget) / max(router.budget, 1e-12))
    return route, Pace(pace.cost_weight * float(change), pace.spent + cost, pace.n_prompts + 1)
