import numpy as np
import pyarrow as pa
import pytest

from nilometer.decisions import build_report, render_html
from nilometer.estimators import Estimate
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces


@pytest.fixture(scope="module")
def corpus():
    table = profile_traces(read_traces(corpus_path("specialist"))).take(pa.array(np.arange(0, 7200, 5)))
    return table, table["correct"].to_numpy()


def _report(corpus, share):
    table, truth = corpus
    shown = np.random.default_rng(0).random(len(truth)) < share
    return build_report(table, by=("domain",), correct=np.where(shown, truth, np.nan).astype(np.float32))


def test_labels_narrow_the_estimates_and_the_next_are_planned(corpus):
    report = _report(corpus, 0.2)
    before = {row.slice: row for row in report.estimates if isinstance(row, Estimate)}
    after = {row.slice: row for row in report.outlook.estimates}
    widths = [(after[name].high - after[name].low) / (row.high - row.low) for name, row in before.items()]
    assert np.median(widths) < 0.7
    table, truth = corpus
    tasks = np.array([dict(row)["domain"] for row in table["attributes"].to_pylist()])
    realized = {name: truth[tasks == name].mean() for name in before}
    errors = [np.mean([abs(rows[name].accuracy - a) for name, a in realized.items()]) for rows in (before, after)]
    assert errors[1] < 0.7 * errors[0]
    assert sum(row.n_new for row in report.outlook.plan) == 100
    assert "With the labels counted in" in render_html(report)
    assert report.to_dict()["outlook"]["plan"][0]["n_new"] >= 0


def test_nothing_is_planned_where_everything_is_labelled(corpus):
    report = _report(corpus, 2.0)
    assert report.outlook is None
    assert "With the labels counted in" not in render_html(report)
