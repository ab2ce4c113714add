"""What a report adds to today's estimates: what to label and acquire next, and what changed."""

from typing import NamedTuple

import numpy as np

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import Responses, Sentinel, choose_period

from ..headline.headline import Headline
from ..plans.acquire import SliceAcquisition, plan_acquisition
from ..plans.label import LabelOptions, SlicePlan, plan_labels
from ..watch.watch import Watch, WatchOptions, build_watch

__all__ = ["Outlook", "build_outlook", "watch_outlook"]

_LABELS = 100
"""Labels that the report plans: an hour or two of one annotator."""
_EXAMPLES = 1000
"""Examples that the report plans to acquire."""


class Outlook(NamedTuple):
    """The plan of the next labels, and of the next examples to collect."""

    plan: tuple[SlicePlan, ...]
    """Empty where every response has a label."""
    budget: int
    acquisition: tuple[SliceAcquisition, ...]
    """Of the next ``n_examples``, most errors closed first."""
    n_examples: int = _EXAMPLES


def build_outlook(headline: Headline, current: Headline) -> Outlook:
    """Plan the next 100 labels, of the model that answers now, and 1,000 examples to collect."""
    responses = current.responses
    budget = min(_LABELS, len(responses) - responses.n_labels)
    plan: tuple[SlicePlan, ...] = ()
    if budget:
        options = LabelOptions(confidence_level=current.confidence_level)
        plan = plan_labels(
            responses,
            current.label_free,
            budget,
            rng=np.random.default_rng(0),
            believed=current.estimates,
            options=options,
        ).slices
    acquisition = plan_acquisition(headline.estimates, _EXAMPLES, rng=np.random.default_rng(0))
    return Outlook(plan, budget, acquisition)


def watch_outlook(
    sentinel: Sentinel | None, responses: Responses, *, confidence_level: float
) -> tuple[Watch | None, str]:
    """Follow the slices over time, the first window as reference; without times, say so.

    This is what ``nilometer watch`` does with the same sentinel and the same windows.
    """
    times = responses.times
    if np.isnat(times).all():
        return None, "no response has a time, so nothing can be said about changes and alerts"
    period = choose_period(times)
    if period is None:
        return None, "all responses are of one hour or of more than 12 years, so there are no windows to compare"
    options = WatchOptions(every=period, confidence_level=confidence_level)
    try:
        found = build_watch(responses, sentinel=sentinel, options=options)
    except NotEnoughDataError as exc:
        return None, str(exc)
    return found, f"windows are by {period}, the first is the reference; `nilometer watch` has more choices"
