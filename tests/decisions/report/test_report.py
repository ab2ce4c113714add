"""What the report estimates with, and that no label counts twice."""

import numpy as np
import pytest

from nilometer.decisions import build_report
from nilometer.estimators import cut_responses, fit_sentinel
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces


@pytest.fixture(scope="module")
def halves():
    table = profile_traces(read_traces(corpus_path("specialist")))
    correct = table["correct"].to_numpy().astype(float)
    first = np.arange(len(table)) % 2 == 0
    sentinel, _ = fit_sentinel(cut_responses(table.filter(first), ["domain"], correct=correct[first]))
    return table, correct, first, sentinel


def _methods(report):
    return {row.method for row in report.estimates}


def test_new_traffic_without_labels_is_estimated_by_the_labels_of_the_fit(halves):
    table, _, first, sentinel = halves
    unknown = np.full(int((~first).sum()), np.nan)
    report = build_report(table.filter(~first), by=["domain"], correct=unknown, sentinel=sentinel)
    assert _methods(report) == {"own labels"}


def test_labels_of_the_fit_that_come_with_the_traffic_again_do_not_count_twice(halves):
    table, correct, first, sentinel = halves
    again = build_report(table.filter(first), by=["domain"], correct=correct[first], sentinel=sentinel)
    in_place = build_report(table.filter(first), by=["domain"], correct=correct[first])
    assert _methods(again) == {"combined[monotone]"}
    for one, other in zip(again.best_estimates, in_place.best_estimates, strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)
