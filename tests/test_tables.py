"""Tables of every library give the same numbers wherever a table is taken."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import nilometer.estimators.responses as responses_module
from nilometer.decisions import WatchOptions, build_report, build_watch, mean_scores, plan_labels
from nilometer.estimators import Sentinel, as_profiles, cut_responses, fit_sentinel, is_fitted
from nilometer.signals import FEATURE_NAMES, profile_traces
from nilometer.traces import as_table, as_traces, attribute_keys, corpus_path, read_traces, slice_names

FORMS = {
    "pyarrow": lambda table: table,
    "batch": lambda table: table.combine_chunks().to_batches()[0],
    "pandas": lambda table: table.to_pandas(),
    "polars": pl.from_arrow,
}
KEYS = ("domain", "level::int > 3")


@pytest.fixture(scope="module")
def traces():
    table = read_traces(corpus_path("specialist")).read_all().take(pa.array(np.arange(0, 7200, 12)))
    start = np.datetime64("2026-11-02T09:00:00", "us")
    times = start + np.arange(len(table)) * np.timedelta64(600, "s")
    place = table.schema.get_field_index("time")
    return table.set_column(place, "time", pa.array(times).cast(pa.timestamp("us", "UTC")))


@pytest.fixture(scope="module")
def profiles(traces):
    return profile_traces(traces)


@pytest.fixture(scope="module")
def reported(profiles):
    return build_report(profiles, by=KEYS, correct=profiles["correct"].to_numpy()).to_dict()


def _answers(table, correct):
    """What a table is asked for beside its report."""
    responses = cut_responses(table, KEYS, correct=correct)
    estimates = fit_sentinel(responses)[0].estimate(responses)
    plan = plan_labels(responses, estimates, 40, rng=np.random.default_rng(0))
    watch = build_watch(table, by=("domain",), options=WatchOptions(every="day")).to_dict()
    return estimates, plan, mean_scores(responses), watch


@pytest.fixture(scope="module")
def correct(profiles):
    return np.where(np.arange(len(profiles)) % 3 > 0, np.nan, profiles["correct"].to_numpy())


@pytest.fixture(scope="module")
def answered(profiles, correct):
    return _answers(profiles, correct)


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


def test_profiles_of_a_table_of_traces_are_those_of_the_stream(traces, profiles, form):
    found = profile_traces(form(traces))
    for name in FEATURE_NAMES:
        np.testing.assert_array_equal(found[name].to_numpy(), profiles[name].to_numpy(), err_msg=name)
    assert found["attributes"].to_pylist() == profiles["attributes"].to_pylist()


def test_slices_and_keys_are_the_same(profiles, form):
    frame = form(profiles)
    assert attribute_keys(frame) == attribute_keys(profiles)
    for by in (KEYS, ["n_tokens > 10"], ["date_trunc('hour', time)"], "model"):
        assert slice_names(frame, by).equals(slice_names(profiles, by))


def test_a_report_is_the_same(profiles, reported, form):
    assert build_report(form(profiles), by=KEYS, correct=profiles["correct"].to_numpy()).to_dict() == reported


def test_watch_plans_and_fits_are_the_same(profiles, correct, answered, form):
    assert _answers(form(profiles), correct) == answered


def test_a_report_reads_its_table_once_and_leaves_the_sentinel_alone(profiles, monkeypatch):
    calls = []

    def counted(X, *more):
        calls.append(type(X))
        return as_profiles(X, *more)

    monkeypatch.setattr(responses_module, "as_profiles", counted)
    sentinel = Sentinel(confidence_level=0.8)
    report = build_report(profiles, by=KEYS, correct=profiles["correct"].to_numpy(), sentinel=sentinel)
    assert calls == [pa.Table]
    assert report.confidence_level == 0.8
    assert report.watch is not None
    assert not is_fitted(sentinel)


def test_a_report_needs_no_ids_deciles_or_times(profiles):
    kept = ["max", "nll_sum", "nll_avg", "attributes"]
    report = build_report(profiles.select(kept), by=KEYS, correct=profiles["correct"].to_numpy())
    assert report.entropy_curves == ()
    assert len(report.estimates) == len(set(slice_names(profiles, KEYS).to_pylist()))


def test_dictionaries_of_attributes_are_read_as_maps():
    frame = pd.DataFrame({"max": [0.5, 1.0], "attributes": [{"domain": "gcd"}, None]})
    assert slice_names(frame, "domain").to_pylist() == ["gcd", "(none)"]


def test_what_is_no_table_is_named():
    with pytest.raises(TypeError, match=r"`table` must be a table .*, got int\."):
        as_table(3)


def test_traces_without_a_column_have_nothing_there():
    found = as_traces(pd.DataFrame({"trace_id": ["a"], "answer": ["4"]}))
    assert found["chosen_logprobs"].null_count == 1
    assert found["answer"].to_pylist() == ["4"]
