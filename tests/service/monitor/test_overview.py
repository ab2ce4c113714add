"""What all traffic of a model is said to be, from its slices."""

import pytest

from nilometer.estimators import Estimate, NotEnoughData
from nilometer.service.monitor.overview import SliceView, with_slices


def view(name, share, belief):
    return SliceView("m", name, 10, 10, share, belief, None, (), None)


def estimate(name, accuracy, half):
    return Estimate(
        slice=name,
        n=10,
        accuracy=accuracy,
        low=accuracy - half,
        high=accuracy + half,
        confidence_level=0.95,
        method="own labels",
    )


UNKNOWN = NotEnoughData(slice="b", n=10, reason="why", needed="what")


def test_narrow_slices_speak_for_all_traffic_by_their_share():
    slices = [view("a", 0.75, estimate("a", 0.8, 0.04)), view("b", 0.25, estimate("b", 0.4, 0.12))]
    found = with_slices(view("all", 1.0, estimate("all", 0.5, 0.4)), slices).belief
    assert (found.slice, found.n) == ("all", 10)
    assert found.accuracy == pytest.approx(0.75 * 0.8 + 0.25 * 0.4)
    assert found.high - found.accuracy == pytest.approx(0.75 * 0.04 + 0.25 * 0.12)
    assert found.accuracy - found.low == pytest.approx(0.75 * 0.04 + 0.25 * 0.12)


def test_a_slice_of_which_nothing_is_known_widens_by_its_share():
    slices = [view("a", 0.75, estimate("a", 0.8, 0.04)), view("b", 0.25, UNKNOWN)]
    found = with_slices(view("all", 1.0, UNKNOWN), slices).belief
    assert found.accuracy == pytest.approx(0.8)
    assert (found.low, found.high) == (pytest.approx(0.75 * 0.76), pytest.approx(0.75 * 0.84 + 0.25))


def test_the_direct_estimate_stays_where_it_is_narrower_or_no_slice_is_known():
    whole = view("all", 1.0, estimate("all", 0.5, 0.01))
    assert with_slices(whole, [view("a", 1.0, estimate("a", 0.8, 0.04))]) is whole
    assert with_slices(whole, [view("b", 1.0, UNKNOWN)]) is whole
