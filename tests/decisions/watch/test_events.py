"""Alerts of one cause are one event, with its start, its slices, its size and what else changed."""

from collections import namedtuple

import numpy as np
import pyarrow as pa
import pytest

from nilometer.decisions import Alert
from nilometer.decisions.watch.events import build_events
from nilometer.decisions.watch.reasons import likely_reasons, stretch_of
from nilometer.estimators import Estimate, cut_responses

Row = namedtuple("Row", "n estimate")
DAYS = [f"day {i}" for i in range(8)]


def _stretch(window, n=60, **columns):
    given = {"max": np.ones(n), "model": ["m"] * n, "name": ["a", "b", "c"] * (n // 3), **columns}
    attributes = given.pop("attributes", None)
    if attributes is not None:
        given["attributes"] = pa.array(attributes, pa.map_(pa.string(), pa.string()))
    p_correct = given.pop("p_correct", np.full(n, 0.5))
    return stretch_of(window, cut_responses(pa.table(given), ["name"]).with_p_correct(np.asarray(p_correct)))


def _rows(accuracies):
    return {
        (day, name): Row(20, _estimate(name, accuracy))
        for name, values in accuracies.items()
        for day, accuracy in zip(DAYS, values, strict=True)
    }


def _estimate(name, accuracy):
    ends = {"low": accuracy - 0.1, "high": accuracy + 0.1}
    return Estimate(slice=name, n=20, accuracy=accuracy, confidence_level=0.95, method="m", **ends)


def _alert(name, day, kind="accuracy changed", said="estimated accuracy fell by 0.3", change=-0.3):
    moved = change if kind == "accuracy changed" else None
    return Alert(kind=kind, slice=name, window=DAYS[day], message=said, p_value=0.01, change=moved)


SLICES = ("a", "b", "c")
FALL = {name: [0.8] * 4 + [0.5] * 4 for name in SLICES}


def _build(alerts, accuracies=FALL, stretches=None):
    return build_events(alerts, stretches or [_stretch(day) for day in DAYS], _rows(accuracies), slices=SLICES)


def test_alerts_of_all_slices_since_one_day_are_one_event():
    alerts = [
        _alert(name, day, kind)
        for name in SLICES
        for day in (4, 5, 7)
        for kind in ("accuracy changed", "scores drifted")
    ]
    (event,) = _build(alerts)
    assert (event.kind, event.start, event.end) == ("accuracy fell", "day 4", "day 7")
    assert event.slices == SLICES
    assert (event.before, event.after) == pytest.approx((0.8, 0.5))
    assert len(event.alerts) == 18
    assert event.sentence == ("Since day 4: accuracy fell in all 3 slices, from 0.80 to 0.50. The data show no reason.")


def test_a_slice_whose_alert_comes_a_day_later_belongs_to_the_same_event():
    (event,) = _build([_alert("a", 4), _alert("b", 5)])
    assert event.slices == ("a", "b")
    assert "a, b (2 of 3 slices)" in event.sentence


def test_alerts_far_apart_are_events_of_their_own():
    early = {**FALL, "a": [0.8, 0.5, *[0.8] * 6]}
    events = _build([_alert("a", 1), _alert("b", 6)], early)
    assert [(event.start, event.slices) for event in events] == [("day 1", ("a",)), ("day 6", ("b",))]


def test_after_a_change_of_the_model_late_alerts_have_the_same_cause():
    stretches = [_stretch(day, model=["old" if i < 2 else "new"] * 60) for i, day in enumerate(DAYS)]
    fell = {name: [0.8] * 2 + [0.5] * 6 for name in SLICES}
    (event,) = _build([_alert("a", 2), _alert("b", 6)], fell, stretches)
    assert event.start == "day 2"
    assert event.reasons == ("model changed from old to new in day 2",)
    earlier, later = _build([_alert("a", 1), _alert("b", 2)], fell, stretches)
    assert (earlier.slices, later.slices) == (("a",), ("b",))


def test_slices_that_rose_and_slices_that_fell_are_apart_and_drift_joins_the_larger():
    moved = {**FALL, "c": [0.5] * 4 + [0.8] * 4}
    alerts = [_alert("a", 4), _alert("b", 4, "scores drifted", "the score drifted"), _alert("c", 4, change=0.3)]
    found = {event.kind: event.slices for event in _build(alerts, moved)}
    assert found == {"accuracy fell": ("a", "b"), "accuracy rose": ("c",)}


def test_a_level_below_the_least_and_a_change_of_the_mix_are_events_by_themselves():
    alerts = [_alert("a", 0 + 1, "estimate below", "below"), _alert("(all)", 1, "mix changed", "mix")]
    found = {event.kind: event for event in _build(alerts)}
    assert set(found) == {"accuracy below", "mix changed"}
    assert found["mix changed"].sentence.startswith("In day 1: the mix of slices changed. ")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"temperature": [0.0] * 60}, {"temperature": [0.7] * 60}, "temperature changed from 0 to 0.7 in after"),
        ({"n_tokens": [10] * 60}, {"n_tokens": [15] * 60}, "answers became longer (median 10 to 15 tokens)"),
        ({"n_tokens": [10] * 60}, {"n_tokens": [11] * 60}, None),
        (
            {"finish_reason": ["stop"] * 60},
            {"finish_reason": ["stop"] * 51 + ["content_filter"] * 9},
            "answers that end with content_filter rose from 0% to 15%",
        ),
        (
            {"attributes": [{"level": "easy"}] * 60},
            {"attributes": [{"level": "hard"}] * 45 + [{"level": "easy"}] * 15},
            "level=hard grew from 0% to 75% of these responses",
        ),
        ({}, {"name": ["a"] * 30 + ["b"] * 30}, "a grew from 33% to 50% of the traffic"),
        (
            {"attributes": [{"tenant": "xyz"[i % 3]} for i in range(60)]},
            {
                "attributes": [{"tenant": "xyz"[i % 3]} for i in range(60)],
                "p_correct": [0.1 if i % 3 == 1 else 0.5 for i in range(60)],
            },
            "nearly all of it is in tenant=y",
        ),
        (
            {"attributes": [{"tenant": "xyz"[i % 3]} for i in range(60)]},
            {"attributes": [{"tenant": "xyz"[i % 3]} for i in range(60)], "p_correct": [0.1] * 60},
            None,
        ),
    ],
)
def test_what_else_changed_is_named(before, after, said):
    found = likely_reasons([_stretch("before", **before), _stretch("after", **after)], 1, 1, slices=SLICES)
    assert found == (() if said is None else (said,))
