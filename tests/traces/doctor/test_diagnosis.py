import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nilometer.errors import ConfigError
from nilometer.signals import profile_traces
from nilometer.traces import CUT_OFF_REASONS, TRACE_SCHEMA, diagnose, read_traces

TOP = [-0.5, -2.0, -3.0]


def _rows(n=60, **columns):
    plain = {"model": "m", "k": 3, "n_tokens": 1, "chosen_logprobs": [-0.5], "top_logprobs": TOP, "answer": "4"}
    return [{"trace_id": f"t{i}", **plain, **columns} for i in range(n)]


def _diagnose(rows, **options):
    return diagnose(pa.Table.from_pylist(rows, schema=TRACE_SCHEMA).to_batches(max_chunksize=7), **options)


def _messages(diagnosis, severity):
    return " ".join(finding.message for finding in diagnosis.findings if finding.severity == severity)


BARE = {"chosen_logprobs": None, "top_logprobs": None, "k": None}


def test_traces_without_logprobs_are_unusable_and_name_the_flags():
    diagnosis = _diagnose(_rows(**BARE))
    assert not diagnosis.usable
    assert "--max-logprobs 20" in diagnosis.findings[0].cure


def test_no_traces_are_unusable():
    assert not diagnose([]).usable


def test_listed_traces_are_usable():
    assert _diagnose(_rows()).usable


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"finish_reason": "tool_calls"}, "tool call"),
        ({"answer": "", "n_tokens": 0}, "empty answer"),
        ({"model": "openai/o3-mini"}, "reasoning model"),
        ({"model": "claude-x"}, "provider without logprobs"),
        ({}, "not asked for, or lost on the way"),
    ],
)
def test_the_reason_for_missing_logprobs_is_told(columns, reason):
    bare = [{**row, "trace_id": f"b{i}"} for i, row in enumerate(_rows(3, **BARE, **columns))]
    diagnosis = _diagnose(_rows() + bare)
    assert dict(diagnosis.reasons) == {reason: 3}
    assert diagnosis.usable


def test_certain_best_token_at_temperature_zero_means_processed():
    model = _diagnose(_rows(temperature=0.0, top_logprobs=[0.0, np.nan, np.nan])).models[0]
    assert model.logprobs_mode == "processed"
    assert "exactly 1" in model.mode_evidence


def test_renormalised_lists_mean_processed():
    model = _diagnose(_rows(temperature=0.7, top_logprobs=np.log([0.5, 0.3, 0.2]).tolist())).models[0]
    assert (model.logprobs_mode, "sum to 1" in model.mode_evidence) == ("processed", True)


def test_a_declared_mode_is_taken():
    assert _diagnose(_rows(logprobs_mode="raw")).models[0].logprobs_mode == "raw"


def test_sglang_above_temperature_zero_is_processed():
    model = _diagnose(_rows(provider="sglang", temperature=0.7)).models[0]
    assert model.logprobs_mode == "processed"


@pytest.mark.parametrize(("column", "value"), [("k", 1), ("temperature", 0.5), ("model_fingerprint", "g")])
def test_mixtures_within_a_model_are_warned_of(column, value):
    first = {"temperature": 1.0, "model_fingerprint": "f"}
    other = [{**row, "trace_id": f"b{i}", column: value} for i, row in enumerate(_rows(**first))]
    if column == "k":
        other = [{**row, "top_logprobs": [-0.5]} for row in other]
    assert "mixed" in _messages(_diagnose(_rows(**first) + other), "warning")


def test_tail_mass_is_what_the_list_leaves_out():
    tail = _diagnose(_rows()).models[0].tail_mass
    assert tail["q50"] == pytest.approx(1 - np.exp(TOP).sum(), rel=0.06)


def test_duplicates_truncation_and_single_tokens_are_counted():
    diagnosis = _diagnose(_rows(5, finish_reason="length") + _rows(5, finish_reason="stop"))
    assert (diagnosis.n_duplicates, diagnosis.n_truncated, diagnosis.n_one_token) == (5, 5, 10)


CASES = Path(__file__).parents[1] / "wire" / "cases"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("33_lost_logprobs.jsonl", "100.0% (4) of the responses list fewer tokens than were counted: 20 tokens have"),
        ("32_speculative_all_zero.jsonl", "100.0% (8) of the responses give every token probability 1."),
    ],
)
def test_numbers_that_cannot_be_right_are_flagged(name, message):
    assert message in _messages(diagnose(read_traces(CASES / name)), "warning")


def test_answers_that_repeat_text_and_numbers_are_flagged():
    long = {"n_tokens": 4, "chosen_logprobs": [-0.5] * 4, "top_logprobs": TOP * 4, "answer": "four"}
    assert "98.3% (59) of the responses repeat" in _messages(_diagnose(_rows(**long)), "warning")
    different = [{**row, "answer": str(i)} for i, row in enumerate(_rows(**long))]
    assert "repeat text" not in _messages(_diagnose(different), "warning")


def test_tokens_that_do_not_spell_the_answer_are_flagged():
    own = {"tokens": ["<s>", " fo", "ur"], "answer": "four"}
    assert "do not spell" not in _messages(_diagnose(_rows(**own)), "warning")
    assert "do not spell" not in _messages(_diagnose(_rows(**{**own, "tokens": ["token_id:7"]})), "warning")
    other = _messages(_diagnose(_rows(**{**own, "tokens": [" fi", "ve"]})), "warning")
    assert "The tokens of 100.0% (60) of the responses compared do not spell the answer." in other


def test_numbers_that_could_not_be_read_are_said_with_their_place(tmp_path):
    file = tmp_path / "t.jsonl"
    scored = {"pieces": [{"piece": "4", "logprob": -0.1}]}
    file.write_text(json.dumps({"choices": [{"message": {"content": "4"}, "scores": scored}]}) + "\n")
    diagnosis = diagnose(read_traces(file))
    said = _messages(diagnosis, "error")
    assert "they stand at `choices[*].scores.pieces[*].logprob` (a number in each of a list of objects)." in said
    assert "No response carries" not in said
    assert not diagnosis.usable


def test_sums_and_prompts_are_no_log_probabilities_of_tokens(tmp_path):
    file = tmp_path / "t.jsonl"
    line = {"choices": [{"message": {"content": "4"}}], "cumulative_logprob": -3.5, "prompt_logprobs": [-0.5, -0.1]}
    file.write_text(json.dumps(line) + "\n")
    assert "No response carries log-probabilities." in _messages(diagnose(read_traces(file)), "error")


def test_coverage_counts_labels_per_slice():
    rows = [{**row, "attributes": [("domain", "a" if i % 2 else "b")]} for i, row in enumerate(_rows(10))]
    labels = pa.table({"trace_id": ["t1", "t3", "zz"], "correct": [1.0, 0.0, 1.0]})
    diagnosis = _diagnose(rows, labels=labels, by="domain")
    assert [dataclasses.astuple(item) for item in diagnosis.coverage] == [("a", 5, 2), ("b", 5, 0)]
    assert diagnosis.n_unmatched_labels == 1


def test_labels_that_match_nothing_are_an_error():
    labels = pa.table({"trace_id": ["zz"], "correct": [1.0]})
    assert "None of the labels matches" in _messages(_diagnose(_rows(), labels=labels), "error")


def test_an_unknown_slice_key_is_refused():
    with pytest.raises(ConfigError, match="domian"):
        _diagnose(_rows(), by="domian")


def test_it_does_not_depend_on_the_batches():
    table = pa.Table.from_pylist(_rows(), schema=TRACE_SCHEMA)
    assert diagnose(table) == diagnose(table.to_batches(max_chunksize=7))


def test_it_survives_json():
    diagnosis = _diagnose(_rows())
    assert json.loads(json.dumps(diagnosis.to_dict()))["usable"] is True


@pytest.mark.parametrize(("temperature", "warns"), [(1.0, False), (0.7, True), (None, True)])
def test_processed_logprobs_matter_unless_every_temperature_is_known_to_be_one(temperature, warns):
    found = _messages(_diagnose(_rows(logprobs_mode="processed", temperature=temperature)), "warning")
    assert ("log-probabilities are processed" in found) == warns


def test_an_attribute_of_many_values_is_no_slice_key():
    rows = [
        {"trace_id": f"t{i}", "attributes": {"request": f"r{i}", "tenant": None if i % 2 else "a"}} for i in range(1001)
    ]
    keys = {key.key: key for key in diagnose(pa.Table.from_pylist(rows, schema=TRACE_SCHEMA)).keys}
    assert (keys["request"].n, keys["request"].values) == (1001, None)
    assert [(value.slice, value.n) for value in keys["tenant"].values] == [("a", 501)]


@pytest.mark.parametrize("reason", CUT_OFF_REASONS)
def test_an_answer_is_cut_off_for_the_doctor_exactly_where_it_is_for_its_profile(reason):
    rows = _rows(20, finish_reason=reason) + [{**row, "trace_id": f"s{i}"} for i, row in enumerate(_rows(20))]
    profiles = profile_traces(pa.Table.from_pylist(rows, schema=TRACE_SCHEMA))
    assert pa.compute.sum(profiles["truncated"]).as_py() == 20
    assert "50" in _messages(_diagnose(rows), "warning") + _messages(_diagnose(rows), "note")


def test_the_first_moment_of_1970_is_a_time_like_others():
    rows = [{"trace_id": str(i), "model": "m", "time": datetime.fromtimestamp(60 * i, UTC)} for i in range(3)]
    batches = [pa.Table.from_pylist([row], schema=TRACE_SCHEMA) for row in rows]
    found = diagnose(pa.concat_tables(batches))
    assert (found.first_time, found.last_time) == ("1970-01-01T00:00:00+00:00", "1970-01-01T00:02:00+00:00")
