import json

import numpy as np
import pyarrow as pa
import pytest

from nilometer.decisions import WatchOptions, build_watch
from nilometer.decisions.watch.alerts import disagreement, mix_p_value
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import Estimate, Sentinel, labelled_mean
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces, slice_names


@pytest.fixture(scope="module")
def corpus():
    table = profile_traces(read_traces(corpus_path("specialist")))
    return table, np.asarray(slice_names(table, ["level"]).to_pylist())


def _with_days(table, days):
    start = np.datetime64("2026-03-01T12:00", "us")
    times = pa.array(start + np.asarray(days) * np.timedelta64(1, "D"), pa.timestamp("us")).cast(
        pa.timestamp("us", "UTC")
    )
    return table.set_column(table.column_names.index("time"), "time", times)


def _traffic(corpus, *, later, seed=0):
    """Day 0: levels 1 to 3 in equal shares; days 1 and 2: levels as ``later`` says."""
    table, levels = corpus
    rng = np.random.default_rng(seed)
    rows, days = [], []
    for day, mix in enumerate([("1", "2", "3"), later, later]):
        for level in mix:
            rows.append(rng.choice(np.flatnonzero(levels == level), 200, replace=False))
            days.append(np.full(200, day))
    rows = np.concatenate(rows)
    return _with_days(table.take(rows), np.concatenate(days)), table["correct"].to_numpy()[rows].astype(float)


def _fit(profiles, correct):
    own = np.arange(len(correct)) < 600
    names = slice_names(profiles.slice(0, 600), ["domain"]).to_pylist()
    return Sentinel().fit(profiles.slice(0, 600), correct[own], groups=names)


def _watch(corpus, later, *, by=("domain",), labels=False, **options):
    profiles, correct = _traffic(corpus, later=later)
    shown = correct if labels else np.full(len(correct), np.nan)
    return build_watch(
        profiles, None, by=by, correct=shown, sentinel=_fit(profiles, correct), options=WatchOptions(**options)
    )


def test_harder_traffic_of_the_same_slices_alerts(corpus):
    found = _watch(corpus, ("4", "5", "6"))
    kinds = {alert.kind for alert in found.alerts}
    assert {"accuracy changed", "scores drifted"} <= kinds
    assert all(alert.p_value <= 0.05 for alert in found.alerts if alert.kind == "accuracy changed")
    assert found.windows == ("2026-03-02", "2026-03-03")
    _, change = found.changes[0]
    assert change.within < -0.2
    assert change.mix + change.within == pytest.approx(change.after - change.before)


def test_the_same_traffic_does_not_alert_and_values_are_plain(corpus):
    found = _watch(corpus, ("1", "2", "3"))
    assert found.alerts == ()
    assert json.loads(json.dumps(found.to_dict()))["by"] == ["domain"]


def test_a_change_of_mix_is_told_from_a_change_within(corpus):
    found = _watch(corpus, ("1", "1", "2"), by=("level",))
    assert {alert.kind for alert in found.alerts} == {"mix changed"}


def test_labels_prove_a_fall_and_show_the_realised_accuracy(corpus):
    found = _watch(corpus, ("4", "5", "6"), labels=True, below=0.5)
    fallen = [alert for alert in found.alerts if alert.kind == "accuracy fell"]
    assert len(fallen) >= 8
    assert all(row.realized.n_labels == row.n for row in found.rows)


def test_without_a_sentinel_scores_and_mix_are_compared(corpus):
    profiles, correct = _traffic(corpus, later=("5", "6", "6"))
    found = build_watch(
        profiles, None, by=("domain",), correct=np.full(len(correct), np.nan), sentinel=None, options=WatchOptions()
    )
    assert {alert.kind for alert in found.alerts} == {"scores drifted"}
    assert "no sentinel" in found.notes[-1]


def test_one_window_leaves_nothing_to_compare(corpus):
    table, _ = corpus
    with pytest.raises(NotEnoughDataError, match="0 are to be watched"):
        build_watch(
            _with_days(table, np.zeros(len(table), dtype=int)),
            None,
            by=("domain",),
            correct=np.full(len(table), np.nan),
            sentinel=None,
            options=WatchOptions(),
        )


def test_several_answers_to_a_prompt_count_once(corpus):
    profiles, correct = _traffic(corpus, later=("1", "1", "2"))
    copies = profiles.take(pa.array(np.repeat(np.arange(len(profiles)), 3)))
    once, thrice = (
        build_watch(
            table, None, by=("level",), correct=np.full(len(table), np.nan), sentinel=None, options=WatchOptions()
        )
        for table in (profiles, copies)
    )
    assert len(correct) == 1800
    assert [alert.p_value for alert in thrice.alerts] == pytest.approx([alert.p_value for alert in once.alerts])


def test_a_change_below_the_least_one_is_no_alert(corpus):
    kinds = {alert.kind for alert in _watch(corpus, ("4", "5", "6"), least_change=1.0).alerts}
    assert kinds == {"scores drifted"}


def test_labels_that_contradict_an_estimate_are_reported_and_others_not():
    estimate = Estimate(slice="a", n=100, accuracy=0.8, low=0.7, high=0.9, confidence_level=0.95, method="pcc")
    apart, near = (labelled_mean(np.tile(values, 40), confidence_level=0.95) for values in ([0.0, 0.0], [1.0, 0.0]))
    assert disagreement(estimate, apart).startswith("a: labels say 0.00 to")
    assert "the estimate 0.70 to 0.90" in disagreement(estimate, apart)
    wide = Estimate(slice="a", n=9, accuracy=0.6, low=0.4, high=0.8, confidence_level=0.95, method="pcc")
    assert disagreement(wide, near) == ""
    assert disagreement(wide, None) == ""


@pytest.mark.parametrize(("before", "after"), [([5], [3]), ([5, 0], [3, 0]), ([5, 2], [0, 0]), ([0, 0], [0, 0])])
def test_a_mix_of_one_slice_or_of_nothing_does_not_change(before, after):
    assert mix_p_value(np.array(before), np.array(after)) == 1.0


def test_two_labels_of_a_window_are_enough_and_no_note_is_empty(corpus):
    profiles, correct = _traffic(corpus, later=("1", "2", "3"))
    names = np.asarray(slice_names(profiles, ["domain"]).to_pylist())
    last = np.flatnonzero((np.arange(len(correct)) >= 1200) & (names == names[-1]))[:2]
    shown = np.full(len(correct), np.nan)
    shown[:600], shown[last] = correct[:600], correct[last]
    found = build_watch(profiles, None, by=("domain",), correct=shown, sentinel=_fit(profiles, correct))
    (row,) = [row for row in found.rows if row.window == found.windows[-1] and row.slice == names[-1]]
    assert row.realized.n_labels == 2
    assert all(found.notes)
