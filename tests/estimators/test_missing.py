"""Responses without log-probabilities are not average answers: left out, bounded, and refused where they differ."""

import re

import numpy as np
import pyarrow as pa
import pytest

from nilometer.estimators import Estimate, NotEnoughData, Sentinel

N = 250
HARD = np.repeat(np.linspace(0.1, 1.2, 9), N)
SLICES = np.repeat(list("abcdefghi"), N)


def _data(seed=0):
    rng = np.random.default_rng(seed)
    entropy = rng.gamma(2.0, HARD)
    correct = (rng.random(len(HARD)) < np.exp(-entropy)).astype(float)
    days = rng.integers(0, 30 * 86_400, len(HARD))
    columns = {
        "max": entropy,
        "nll_sum": entropy * 2,
        "log_length": np.log1p(rng.integers(5, 60, len(HARD))),
        "truncated": (rng.random(len(HARD)) < 0.1).astype(float),
        "time": np.datetime64("2026-01-01", "us") + days.astype("timedelta64[s]"),
    }
    return columns, correct


def _without(columns, missing):
    kept = {name: columns[name] for name in ("log_length", "truncated", "time")}
    return pa.table({**{name: np.where(missing, np.nan, columns[name]) for name in ("max", "nll_sum")}, **kept})


@pytest.fixture(scope="module")
def sentinel():
    columns, correct = _data()
    return Sentinel(bootstraps=0).fit(pa.table(columns), correct, groups=SLICES)


def _estimate(sentinel, missing, slice_name="a"):
    """Estimate the easiest slice, far above the labelled accuracy."""
    columns, _ = _data(1)
    table = _without(columns, missing)
    return next(row for row in sentinel.estimate(table, by=SLICES) if row.slice == slice_name)


def test_a_third_missing_at_random_does_not_pull_a_slice_towards_the_labelled_accuracy(sentinel):
    whole = _estimate(sentinel, np.zeros(len(HARD), dtype=bool))
    thinned = _estimate(sentinel, np.random.default_rng(2).random(len(HARD)) < 1 / 3)
    assert whole.accuracy - sentinel.fitted_.rule.accuracy > 0.2
    assert thinned.accuracy == pytest.approx(whole.accuracy, abs=0.02)


def test_share_and_bound_say_what_the_missing_leave_open(sentinel):
    row = _estimate(sentinel, np.random.default_rng(2).random(len(HARD)) < 1 / 3)
    share = row.missing_share
    assert 0.25 < share < 0.42
    assert row.bound_low == pytest.approx((1 - share) * row.low)
    assert row.bound_high == pytest.approx((1 - share) * row.high + share)
    assert f"{share:.0%} of the responses have no log-probabilities: {row.bound_low:.2f} to" in row.note


def test_nothing_is_said_where_nothing_is_missing(sentinel):
    row = _estimate(sentinel, np.zeros(len(HARD), dtype=bool))
    assert (row.missing_share, row.bound_low, row.bound_high) == (0.0, None, None)
    assert "log-probabilities" not in row.note


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("log_length", r"differ from the others in length \(\d+ tokens against \d+\)"),
        ("time", r"differ from the others in time \(on average 2026-01-\S+ against 2026-01-\S+\)"),
        ("truncated", r"differ from the others in how they end \(\d+% cut off against 0%\)"),
    ],
)
def test_a_slice_whose_missing_responses_differ_in_what_can_be_seen_is_refused(sentinel, column, said):
    values = _data(1)[0][column]
    rng = np.random.default_rng(3)
    order = np.argsort(np.argsort(values.astype(np.float64), kind="stable"), kind="stable")
    missing = (order > 0.75 * len(values)) & (rng.random(len(values)) < 0.9)
    if column == "truncated":
        missing = (values == 1) | (rng.random(len(values)) < 0.1)
    row = _estimate(sentinel, missing)
    assert isinstance(row, NotEnoughData)
    assert re.search(said, row.reason)
    assert "slice by it" in row.needed


def test_few_missing_responses_may_differ_and_it_is_said(sentinel):
    length = _data(1)[0]["log_length"]
    row = _estimate(sentinel, length > np.quantile(length, 0.93))
    assert isinstance(row, Estimate)
    assert 0 < row.missing_share <= 0.1
    assert "have no log-probabilities and differ in length" in row.note


def test_sums_of_parts_say_the_same_of_what_is_missing(sentinel):
    table = _without(_data(1)[0], np.random.default_rng(2).random(len(HARD)) < 1 / 3)
    parts = [sentinel.sum_up(table.slice(i, 500), by=SLICES[i : i + 500]) for i in range(0, len(HARD), 500)]
    whole = sentinel.estimate(table, by=SLICES)
    added = sentinel.finish(sum(parts, start=sentinel.zero()))
    for row, other in zip(whole, added, strict=True):
        assert row.missing_share == pytest.approx(other.missing_share, abs=1e-12)
        assert row.bound_low == pytest.approx(other.bound_low, abs=1e-12)
