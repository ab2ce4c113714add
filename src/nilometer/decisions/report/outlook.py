"""What a report adds to today's estimates: the labels, what to label and acquire next, what changed."""

from typing import NamedTuple

import numpy as np

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    NotEnoughData,
    Responses,
    Sentinel,
    SliceEstimates,
    choose_period,
    with_labels,
)

from ..plans.acquire import SliceAcquisition, plan_acquisition
from ..plans.label import SlicePlan, plan_labels
from ..watch.watch import Watch, WatchOptions, build_watch
from .overall import overall_accuracy

__all__ = ["Outlook", "build_outlook", "watch_outlook"]

_LABELS = 100
"""Labels that the report plans: an hour or two of one annotator."""
_EXAMPLES = 1000
"""Examples that the report plans to acquire."""


class Outlook(NamedTuple):
    """Estimates combined with labels, the plan of the next labels, and of the next examples to collect."""

    estimates: SliceEstimates
    plan: tuple[SlicePlan, ...]
    """Empty where every response has a label."""
    budget: int
    acquisition: tuple[SliceAcquisition, ...]
    """Of the next ``n_examples``, most errors closed first."""
    n_examples: int = _EXAMPLES
    overall: Estimate | NotEnoughData | None = None
    """Of all traffic."""


def build_outlook(sentinel: Sentinel, responses: Responses, estimates: SliceEstimates) -> Outlook:
    """Combine each estimate with the labels of its slice, and plan the next 100 labels and 1,000 examples to collect.

    Parameters
    ----------
    sentinel
        Fitted.
    responses
        All responses, with the labels that there are.
    estimates
        Of the slices, by the sentinel.
    """
    known = responses.with_p_correct(sentinel.predict_left_out(responses))
    budget = min(_LABELS, len(responses) - responses.n_labels)
    plan: tuple[SlicePlan, ...] = ()
    if budget:
        plan = plan_labels(known, estimates, budget, rng=np.random.default_rng(0)).slices
    both = with_labels(estimates, known, confidence_level=sentinel.confidence_level)
    acquisition = plan_acquisition(both, _EXAMPLES, rng=np.random.default_rng(0))
    overall = overall_accuracy(both, known, confidence_level=sentinel.confidence_level)
    return Outlook(both, plan, budget, acquisition, overall=overall)


def watch_outlook(sentinel: Sentinel, responses: Responses) -> tuple[Watch | None, str]:
    """Follow the slices over time, the first window as reference; without times, say so."""
    times = responses.times
    if np.isnat(times).all():
        return None, "no response has a time, so nothing can be said about changes and alerts"
    period = choose_period(times)
    if period is None:
        return None, "all responses are of one hour or of more than 12 years, so there are no windows to compare"
    options = WatchOptions(every=period, confidence_level=sentinel.confidence_level)
    try:
        found = build_watch(responses, sentinel=sentinel, options=options)
    except NotEnoughDataError as exc:
        return None, str(exc)
    return found, f"windows are by {period}, the first is the reference; `nilometer watch` has more choices"
