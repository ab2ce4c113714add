"""The sentence on the first page, and the order of the slices."""

from types import SimpleNamespace

import pytest

from nilometer.estimators import Estimate, NotEnoughData
from nilometer.service.monitor.alerts import OpenAlert
from nilometer.service.monitor.attention import rank_views, verdict_of
from nilometer.service.monitor.overview import Change, SliceView


def _known(name, accuracy, *, share=0.25):
    belief = Estimate(
        slice=name,
        n=10,
        accuracy=accuracy,
        low=accuracy - 0.05,
        high=accuracy + 0.05,
        confidence_level=0.95,
        method="own labels",
    )
    return SliceView("m", name, 10, 10, share, belief, None, (), None)


def _unknown(name, *, share=0.25, reason="no log-probabilities"):
    belief = NotEnoughData(slice=name, n=10, reason=reason, needed="what")
    return SliceView("m", name, 10, 10, share, belief, None, (), None)


def _verdict(views, *, target=None, problems=None, whole=()):
    ranked = rank_views(views, [], slice_key="domain", target=target)
    return verdict_of(SimpleNamespace(whole=whole), ranked, [], problems=problems or {}, target=target)


def test_slices_below_the_target_come_first_and_are_the_sentence():
    views = [_known("a", 0.9), _known("b", 0.4), _unknown("c"), _known("all", 0.3)]
    ranked = rank_views(views, [], slice_key="domain", target=0.6)
    assert [(one.view.slice, one.state) for one in ranked][:2] == [("all", "below"), ("b", "below")]
    found = _verdict(views, target=0.6)
    assert found[:2] == (
        "bad",
        "2 slices are below the target. All traffic is below the target of 0.60: 0.30 (0.25 to 0.35).",
    )
    assert _verdict(views[:2], target=0.6)[1] == "b is below the target of 0.60: 0.40 (0.35 to 0.45)."
    assert _verdict(views[:2])[:2] == ("good", "Nothing is wrong: no alert is open.")


def test_a_problem_of_the_store_is_said_before_everything_else():
    found = _verdict([_known("a", 0.4)], target=0.6, problems={"disk": "it is full."})
    assert found[:2] == ("bad", "The store has a problem with disk: it is full.")


def test_what_cannot_be_known_is_counted_by_its_share():
    found = _verdict([_known("a", 0.9), _unknown("b", share=0.1)])
    said = "Nothing is wrong: no alert is open, but 1 of 2 slices with 10% of the traffic cannot be known."
    assert found[:2] == ("unsure", said)
    alone = _verdict([_unknown("b", reason="there is no sentinel")])
    assert alone[:2] == ("unsure", "No accuracy can be known: there is no sentinel")
    assert alone[2].startswith("nilometer fit ")


@pytest.mark.parametrize(("low", "high", "is_clear"), [(-0.1, 0.1, False), (0.01, 0.2, True), (-0.2, -0.01, True)])
def test_a_change_is_clear_where_its_interval_leaves_out_zero(low, high, is_clear):
    change = Change(0.5, 0.6, low, high)
    assert (change.difference, change.is_clear) == (pytest.approx(0.1), is_clear)


def test_open_alerts_are_counted_and_the_oldest_is_said():
    alerts = [
        OpenAlert(**{name: {"opened": 0, "p_value": 0.1, "id": i}.get(name, "x") for name in OpenAlert._fields})
        for i in range(2)
    ]
    said = verdict_of(SimpleNamespace(whole=()), [], alerts, problems={}).text
    assert said == "2 alerts are open. The oldest: x, noticed 1970-01-01 00:00 UTC."
