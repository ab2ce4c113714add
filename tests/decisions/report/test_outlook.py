import numpy as np
import pyarrow as pa
import pytest

from nilometer.decisions import build_report
from nilometer.estimators import Estimate
from nilometer.pages import render_html
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces


@pytest.fixture(scope="module")
def corpus():
    table = profile_traces(read_traces(corpus_path("specialist"))).take(pa.array(np.arange(0, 7200, 5)))
    return table, table["correct"].to_numpy()


@pytest.fixture(scope="module")
def partly_labelled(corpus):
    return _report(corpus, 0.2)


def _report(corpus, share):
    table, truth = corpus
    shown = np.random.default_rng(0).random(len(truth)) < share
    return build_report(table, by=("domain",), correct=np.where(shown, truth, np.nan).astype(np.float32))


def test_labels_narrow_the_estimates_and_the_next_are_planned(corpus, partly_labelled):
    report = partly_labelled
    before = {row.slice: row for row in report.label_free if isinstance(row, Estimate)}
    after = {row.slice: row for row in report.estimates}
    widths = [(after[name].high - after[name].low) / (row.high - row.low) for name, row in before.items()]
    assert np.median(widths) < 0.7
    table, truth = corpus
    tasks = np.array([dict(row)["domain"] for row in table["attributes"].to_pylist()])
    realized = {name: truth[tasks == name].mean() for name in before}
    errors = [np.mean([abs(rows[name].accuracy - a) for name, a in realized.items()]) for rows in (before, after)]
    assert errors[1] < 0.7 * errors[0]
    assert sum(row.n_new for row in report.outlook.plan) == 100
    assert "What to label next" in render_html(report)
    assert report.to_dict()["outlook"]["plan"][0]["n_new"] >= 0


def test_no_label_is_planned_where_everything_is_labelled_but_data_is(corpus):
    report = _report(corpus, 2.0)
    assert report.outlook.plan == ()
    assert "What to label next" not in render_html(report)
    best = report.outlook.acquisition[0]
    assert best.n_new > 0
    assert best.accuracy < np.median([row.accuracy for row in report.estimates])
    assert "What to acquire next" in render_html(report)
    assert report.to_dict()["outlook"]["acquisition"][0]["slice"] == best.slice


def _timed(table, days):
    start = np.datetime64("2026-11-02T09:00:00", "us")
    times = start + days.astype("timedelta64[D]") + np.arange(len(days)).astype("timedelta64[s]")
    place = table.schema.get_field_index("time")
    return table.set_column(place, table.schema.field(place), pa.array(times).cast(table.schema.field(place).type))


def test_times_give_windows_and_an_alert_where_one_day_is_other_than_the_first(corpus):
    table, truth = corpus
    days = np.random.default_rng(1).integers(0, 4, len(truth))
    hard = np.array([dict(row)["level"] in {"5", "6"} for row in table["attributes"].to_pylist()])
    quiet = build_report(_timed(table, days), by=("domain",), correct=truth)
    days = np.where(hard & (days < 3), 3, days)
    report = build_report(_timed(table, days), by=("domain",), correct=truth)
    assert report.watch.windows == ("2026-11-03", "2026-11-04", "2026-11-05")
    assert quiet.watch.alerts == ()
    assert {alert.window for alert in report.watch.alerts} == {"2026-11-05"}
    assert any(alert.kind == "accuracy changed" for alert in report.watch.alerts)
    page = render_html(report)
    assert "Over time" in page
    assert "accuracy fell" in page
    assert report.to_dict()["watch"]["alerts"]


def test_without_times_the_report_says_why_there_are_no_alerts(partly_labelled):
    assert partly_labelled.watch is None
    assert any("no response has a time" in note for note in partly_labelled.notes)
