"""Every way to answer, judged on prompts whose answers are all labelled: one call, selection, cascade."""

from collections.abc import Iterator

import numpy as np

from nilometer.arrays import Bools, Floats, Ints
from nilometer.errors import NotEnoughDataError

from .answer_table import AnswerTable
from .cascade import Cascade, CascadeRun, cheap_models, run_cascade
from .cost_quality import PolicyPoint, compare_with_mixing, fixed_points, policy_point
from .router import Router
from .selection import Selection, select_medoid

__all__ = ["policy_points"]


_STOPS = (0.25, 0.5, 0.75, 1.0)
_MOST_FIRST = 4


def policy_points(router: Router, table: AnswerTable, *, confidence_level: float = 0.95) -> tuple[PolicyPoint, ...]:
    """Cost and quality of the single models, random choice, the router, selections, cascades and the oracle.

    A router that learned from these labels looks better here than on other prompts; give it others. Without
    costs every call costs 1. Cascades ask cheap models first and then the one that the router holds best; their
    stopping share is a quantile of the agreement, so no label enters.

    Parameters
    ----------
    router
        Fitted on the same models.
    table
        Answers with scores; prompts that miss a label are left out.

    Raises
    ------
    NotEnoughDataError
        If fewer than two prompts have all labels.
    ValueError
        If the models differ.
    """
    if router.models != table.models:
        raise ValueError(f"`table` must hold the models {list(router.models)}, got {list(table.models)}.")
    kept = table.rows(table.labelled)
    if len(kept) < 2 or kept.scores is None:
        raise NotEnoughDataError(f"{len(kept)} prompts have labels for all answers.", "Label two or more.")
    scores = kept.scores
    price = np.ones(len(kept.models)) if kept.costs is None else kept.costs
    points = fixed_points(kept.models, scores, costs=price, confidence_level=confidence_level)
    for name, kind, models, costs in _policies(router, kept, price):
        own = np.nan_to_num(_picked(scores, models))
        point = policy_point(name, kind, own, costs=costs, confidence_level=confidence_level)
        points.append(compare_with_mixing(point, own, scores, costs=price, confidence_level=confidence_level))
    return tuple(points)


def _policies(router: Router, table: AnswerTable, price: Floats) -> Iterator[tuple[str, str, Ints, Floats]]:
    """Name, kind, model per prompt and cost per prompt of every policy beyond the fixed ones."""
    routes = router.choose(table.prompts, n=len(table))
    yield "route, one call", "route", routes, price[routes]
    everything = table.present @ price
    medoid = select_medoid(table.single)
    yield "nearest to the others", "select", medoid.models, everything
    weighted = select_medoid(table.single, weights=router.answer_weights)
    yield "nearest, weighted by quality", "select", weighted.models, everything
    if table.confidence is not None:
        sure = np.where(table.present & ~np.isnan(table.confidence), table.confidence, -1.0)
        yield "most confident", "select", _first_max(sure, table.present), everything
    quality = router.expected(table.prompts)[0].mean(axis=0)
    best = int(np.argmax(quality))
    order = cheap_models(price, quality, last=best)
    for size in range(2, min(_MOST_FIRST, len(order)) + 1):
        for share, run in _stops(Cascade(tuple(order[:size]), best, np.inf), table):
            yield f"cascade of {size}, {share:.0%} stop", "cascade", run.models, run.costs(price)


def _stops(cascade: Cascade, table: AnswerTable) -> Iterator[tuple[float, CascadeRun]]:
    closeness = run_cascade(cascade, table.single).closeness
    seen: set[float] = set()
    for share in _STOPS:
        least = float(np.sort(closeness)[::-1][int(np.ceil(share * len(closeness))) - 1])
        run = run_cascade(cascade._replace(least_closeness=least), table.single)
        stopped = round(float(run.stopped.mean()), 2)
        if stopped not in seen:
            seen.add(stopped)
            yield stopped, run


def _picked(scores: Floats, models: Ints) -> Floats:
    rows = np.arange(len(scores))
    return np.where(models >= 0, scores[rows, np.maximum(models, 0)], np.nan)


def _first_max(values: Floats, present: Bools) -> Ints:
    """The answer with the greatest confidence; the nearest to the others cannot stand in, so -1 without any."""
    return Selection(np.where(present.any(axis=1), values.argmax(axis=1), -1), values).models
