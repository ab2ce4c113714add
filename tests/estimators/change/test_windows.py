import numpy as np
import pytest

from nilometer.errors import ConfigError
from nilometer.estimators import cut_windows

HOURS = np.datetime64("2026-01-30T00:00", "us") + np.arange(60) * np.timedelta64(1, "h")


def test_days_have_their_hours_in_any_order():
    order = np.random.default_rng(0).permutation(60)
    found = cut_windows(HOURS[order], by="day")
    assert [(window.name, window.n) for window in found.windows] == [
        ("2026-01-30", 24),
        ("2026-01-31", 24),
        ("2026-02-01", 12),
    ]
    assert (found.place == order // 24).all()
    assert "times go back" in found.notes[0]


@pytest.mark.parametrize(
    ("by", "names"),
    [("week", ["2026-01-26"]), ("M", ["2026-01", "2026-02"]), ("Q", ["2026-Q1"]), ("years", ["2026"])],
)
def test_longer_periods(by, names):
    assert [window.name for window in cut_windows(HOURS, by=by).windows] == names


@pytest.mark.parametrize(("incomplete", "sizes"), [("keep", [25, 25, 10]), ("append", [25, 35]), ("drop", [25, 25])])
def test_a_last_window_that_is_not_full(incomplete, sizes):
    found = cut_windows(HOURS, by="25", incomplete=incomplete)
    assert [window.n for window in found.windows] == sizes
    assert (found.place == -1).sum() == 60 - sum(sizes)
    assert "the last window has 10 of 25 responses" in found.notes[-1]
    assert ("left out" in found.notes[-1]) == (incomplete == "drop")


def test_traffic_smaller_than_a_window_is_one_window_that_has_none_before():
    found = cut_windows(HOURS, by="100", incomplete="append")
    assert [window.n for window in found.windows] == [60]
    assert found.notes[-1].endswith("60 of 100 responses")


def test_number_of_windows():
    assert [window.n for window in cut_windows(HOURS[:11], by="/10").windows].count(1) == 9
    assert len(cut_windows(HOURS[:3], by="/10").windows) == 3
    assert [window.n for window in cut_windows(HOURS, by="/4").windows] == [15] * 4


def test_responses_without_a_time_are_counted_and_in_no_period():
    times = HOURS.copy()
    times[:5] = np.datetime64("NaT", "us")
    found = cut_windows(times, by="day")
    assert "5 of 60 responses have no time" in found.notes[0]
    assert (found.place[:5] == -1).all()


def test_sizes_need_no_times():
    found = cut_windows(np.full(4, np.datetime64("NaT", "us")), by="2")
    assert found.place.tolist() == [0, 0, 1, 1]
    assert "order of the files" in found.notes[1]
    assert found.windows[0].start is None


@pytest.mark.parametrize("by", ["fortnight", "0", "/0", ""])
def test_unknown_windows_are_refused(by):
    with pytest.raises(ConfigError, match="`by` must"):
        cut_windows(HOURS, by=by)


def test_periods_need_times_and_incomplete_is_a_word():
    with pytest.raises(ConfigError, match="no response has a time"):
        cut_windows(np.full(4, np.datetime64("NaT", "us")), by="day")
    with pytest.raises(ConfigError, match="`incomplete` must be keep, append or drop"):
        cut_windows(HOURS, by="day", incomplete="half")
