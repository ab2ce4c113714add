"""What is kept of traces while they go by."""

import json

import pytest

from nilometer.cli.inputs import read_inputs
from nilometer.decisions import build_report, report_features
from nilometer.estimators import Sentinel
from nilometer.signals import FEATURE_NAMES
from nilometer.traces import corpus_path

CORPUS = str(corpus_path("specialist"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("nilometer.traces.wire.parallel._LEAST_BYTES", 0)
    monkeypatch.setattr("nilometer.cli.inputs.n_processes", lambda: 2)
    top = [{"token": f"t{i}", "logprob": -0.5 - i} for i in range(20)]
    choice = {"message": {"content": "4"}, "logprobs": {"content": [{**top[0], "top_logprobs": top}] * 200}}
    for name in ("a", "b"):
        lines = [json.dumps({"id": f"{name}{i}", "model": "m", "choices": [choice]}) for i in range(20)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    return tmp_path


def _held(table):
    """Bytes of memory that a table keeps from being given back, by address."""
    held = {}
    for column in table.columns:
        for buffer in (one for chunk in column.chunks for one in chunk.buffers() if one is not None):
            while buffer.parent is not None:
                buffer = buffer.parent
            held[buffer.address] = buffer.size
    return sum(held.values())


@pytest.mark.slow
def test_profiles_do_not_hold_on_to_the_memory_of_the_traces(folder):
    profiles = read_inputs([str(folder)]).profiles
    assert profiles.num_rows == 40
    assert _held(profiles) < 2 * profiles.nbytes + 10_000


def test_only_features_that_are_needed_or_named_are_kept():
    kept = read_inputs([CORPUS], features={"max"}, by=["domain", "SLOPE > 0"]).profiles.column_names
    assert set(kept) & set(FEATURE_NAMES) == {"max", "slope"}


@pytest.mark.parametrize("labelled", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_report_is_the_same_without_the_features_that_it_does_not_read(labelled):
    whole = read_inputs([CORPUS])
    part = read_inputs([CORPUS], features=report_features(Sentinel()))
    assert len(part.profiles.column_names) < len(whole.profiles.column_names)
    results = [
        build_report(one.profiles, by=["domain"], correct=one.profiles["correct"] if labelled else None)
        for one in (whole, part)
    ]
    assert results[0].to_dict() == results[1].to_dict()
    assert whole.least_confident == part.least_confident


def test_a_report_of_a_saved_sentinel_keeps_the_features_that_it_reads():
    profiles = read_inputs([CORPUS]).profiles
    sentinel = Sentinel(features=["slope", "q90"]).fit(profiles, profiles["correct"], groups="domain")
    assert {"slope", "q90"} <= report_features(sentinel)
