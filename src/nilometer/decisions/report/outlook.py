"""What a report says beyond today's estimates: labels counted in, what to label and acquire next, what changed."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    NotEnoughData,
    Sentinel,
    SliceEstimates,
    as_profiles,
    choose_period,
    with_labels,
)
from nilometer.traces import index_slices

from ..plans.acquire import SliceAcquisition, plan_acquisition
from ..plans.label import SlicePlan, Traffic, plan_labels
from ..watch.watch import Watch, WatchOptions, build_watch
from .overall import overall_accuracy

__all__ = ["Outlook", "build_outlook", "watch_outlook"]

Floats = NDArray[np.float64]
_LABELS, _EXAMPLES = 100, 1000


class Outlook(NamedTuple):
    """Estimates with the labels counted in, the plan of the next labels, and of the next examples to collect."""

    estimates: SliceEstimates
    plan: tuple[SlicePlan, ...]
    """Empty where every response has a label."""
    budget: int
    acquisition: tuple[SliceAcquisition, ...]
    """Of the next ``n_examples``, most errors closed first."""
    n_examples: int = _EXAMPLES
    overall: Estimate | NotEnoughData | None = None
    """Of all traffic."""


def build_outlook(
    sentinel: Sentinel,
    profiles: pa.Table,
    names: NDArray[np.str_],
    *,
    correct: NDArray[np.float32] | Floats,
    estimates: SliceEstimates,
) -> Outlook:
    """Count the labels of each slice in, and plan the next 100 labels and the next 1,000 examples to collect.

    Parameters
    ----------
    sentinel
        Fitted.
    profiles
        All responses.
    names
        Shape (n,), slice of each.
    correct
        Shape (n,), labels, NaN where there is none.
    estimates
        Of the slices, by the sentinel.
    """
    p_correct = _left_out_probabilities(sentinel, profiles, names)
    n_open = int(np.isnan(correct).sum())
    budget = min(_LABELS, n_open)
    plan: tuple[SlicePlan, ...] = ()
    traffic = Traffic(np.asarray(profiles["trace_id"].to_pylist()), names, correct.astype(np.float64), p_correct)
    if budget:
        by_slice: dict[str, Estimate | NotEnoughData] = {row.slice: row for row in estimates}
        plan = plan_labels(traffic, by_slice, budget, rng=np.random.default_rng(0)).slices
    both = with_labels(estimates, names, correct=traffic.correct, p_correct=p_correct)
    acquisition = plan_acquisition(both, _EXAMPLES, rng=np.random.default_rng(0))
    overall = overall_accuracy(both, names, traffic.correct, confidence_level=sentinel.confidence_level)
    return Outlook(both, plan, budget, acquisition, overall=overall)


def watch_outlook(
    sentinel: Sentinel, profiles: pa.Table, keys: tuple[str, ...], *, correct: NDArray[np.float32] | Floats
) -> tuple[Watch | None, str]:
    """Follow the slices over time, the first window as reference; without times, say so."""
    times = profiles["time"].to_numpy() if "time" in profiles.column_names else np.empty(0, dtype="datetime64[us]")
    times = times.astype("datetime64[us]")
    if not (~np.isnat(times)).any():
        return None, "no response has a time, so nothing can be said about changes and alerts"
    period = choose_period(times)
    if period is None:
        return None, "all responses are of one hour or of more than 12 years, so there are no windows to compare"
    options = WatchOptions(every=period, confidence_level=sentinel.confidence_level)
    try:
        found = build_watch(
            profiles, None, by=keys, correct=np.asarray(correct, dtype=np.float64), sentinel=sentinel, options=options
        )
    except NotEnoughDataError as exc:
        return None, str(exc)
    return found, f"windows are by {period}, the first is the reference; `nilometer watch` has more choices"


def _left_out_probabilities(sentinel: Sentinel, profiles: pa.Table, names: NDArray[np.str_]) -> Floats:
    """Probability of a correct answer by rules that never saw a label of the response's family."""
    features = as_profiles(profiles)
    found = np.empty(len(names))
    for name, rows in index_slices(names).rows():
        own = sentinel.left_out_.get(name)
        rule = sentinel.fitted_.rule if own is None else own.rule
        found[rows] = rule.p_correct(features.rows(rows))
    return found
