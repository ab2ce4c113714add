"""What the labels of a report add to its estimates, and what more of them would."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.estimators import Estimate, NotEnoughData, Sentinel, SliceEstimates, as_profiles, with_labels

from .plan_label import SlicePlan, Traffic, plan_labels

__all__ = ["Outlook", "label_outlook"]

Floats = NDArray[np.float64]
_BUDGET = 100


class Outlook(NamedTuple):
    """Estimates with the labels counted in, and the plan of the next labels."""

    estimates: SliceEstimates
    plan: tuple[SlicePlan, ...]
    budget: int


def label_outlook(
    sentinel: Sentinel,
    profiles: pa.Table,
    names: NDArray[np.str_],
    *,
    correct: NDArray[np.float32] | Floats,
    estimates: SliceEstimates,
) -> Outlook | None:
    """Count the labels of each slice in, and plan the next 100; None if nothing or everything is labelled.

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
    known = ~np.isnan(correct)
    if not known.any() or known.all():
        return None
    p_correct = _left_out_probabilities(sentinel, profiles, names)
    budget = min(_BUDGET, int((~known).sum()))
    traffic = Traffic(np.asarray(profiles["trace_id"].to_pylist()), names, correct.astype(np.float64), p_correct)
    by_slice: dict[str, Estimate | NotEnoughData] = {row.slice: row for row in estimates}
    plan = plan_labels(traffic, by_slice, budget, rng=np.random.default_rng(0)).slices
    both = with_labels(estimates, names, correct=traffic.correct, p_correct=p_correct)
    return Outlook(both, plan, budget)


def _left_out_probabilities(sentinel: Sentinel, profiles: pa.Table, names: NDArray[np.str_]) -> Floats:
    """Probability of a correct answer by rules that never saw a label of the response's family."""
    features = as_profiles(profiles)
    found = np.empty(len(names))
    order = np.argsort(names, kind="stable")
    unique, starts = np.unique(names[order], return_index=True)
    for name, rows in zip(unique, np.split(order, starts[1:]), strict=True):
        own = sentinel.left_out_.get(str(name))
        rule = sentinel.fitted_.rule if own is None else own.rule
        found[rows] = rule.p_correct(features.rows(rows))
    return found
