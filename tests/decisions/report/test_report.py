"""What the report estimates with, and that no label counts twice."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import ndtri

from nilometer.decisions import build_report
from nilometer.decisions.report.curves import calibration_curve, entropy_curves
from nilometer.estimators import Sentinel, cut_responses, fit_sentinel, left_out_probabilities
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
    return {row.method for row in report.label_free}


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
    for one, other in zip(again.estimates, in_place.estimates, strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)


def test_calibration_curve_has_the_mean_label_of_every_bin():
    rng = np.random.default_rng(0)
    groups = np.repeat([f"s{i}" for i in range(6)], 60)
    entropy = rng.gamma(2.0, np.repeat(np.linspace(0.2, 1.2, 6), 60))
    y = (rng.random(360) < np.exp(-entropy)).astype(float)
    sentinel = Sentinel(bootstraps=0).fit(pa.table({"max": entropy}), y, groups=groups)
    curve = calibration_curve(sentinel)
    p, labels = left_out_probabilities(sentinel.labelled_, sentinel.left_out_)
    assert np.mean(curve.x) == pytest.approx(p.mean(), abs=0.02)
    assert np.mean(curve.y) == pytest.approx(labels.mean(), abs=0.02)
    assert list(curve.x) == sorted(curve.x)


def test_the_calibration_is_in_the_json(halves):
    table, correct, first, sentinel = halves
    plain = build_report(table.filter(~first), by=["domain"], correct=correct[~first], sentinel=sentinel).to_dict()
    assert plain["calibration"]["x"]
    assert len(plain["calibration"]["x"]) == len(plain["calibration"]["y"])


def test_the_bands_of_curves_have_the_level_that_was_asked_for(halves):
    table, correct, first, sentinel = halves
    wider = ndtri(0.995) / ndtri(0.9)
    responses = cut_responses(table.filter(first), ["domain"], correct=correct[first])
    low, high = (entropy_curves(responses, confidence_level=level)[0].half for level in (0.8, 0.99))
    np.testing.assert_allclose(np.divide(high, low), wider)
    low, high = (_at(sentinel, level) for level in (0.8, 0.99))
    known = np.array(low.half) > 0
    np.testing.assert_allclose(np.divide(high.half, low.half, where=known, out=np.full(len(known), wider)), wider)
    assert known.any()


def _at(sentinel, level):
    before = sentinel.confidence_level
    try:
        return calibration_curve(sentinel.set_params(confidence_level=level))
    finally:
        sentinel.set_params(confidence_level=before)
