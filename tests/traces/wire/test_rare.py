"""Shapes that few files have: the parts of formats that no recorded answer holds."""

import json

import numpy as np
import pytest

from nilometer.traces import read_traces


def _rows(tmp_path, *lines, **options):
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_traces(file, strict=True, **options).read_all().to_pylist()


RUN = {"id": "a", "run_type": "llm", "inputs": {"prompt": "2 + 2?"}}


@pytest.mark.parametrize(
    "outputs",
    [
        {"output": {"content": "4", "type": "ai"}},
        {"message": {"content": "4", "type": "ai"}},
        {"content": "4"},
    ],
)
def test_a_run_of_langsmith_may_hold_its_message_in_several_places(tmp_path, outputs):
    (row,) = _rows(tmp_path, {**RUN, "outputs": outputs})
    assert (row["trace_id"], row["answer"], row["prompt"]) == ("a", "4", "2 + 2?")


def test_a_run_of_langsmith_without_an_answer_is_none(tmp_path):
    runs = [{**RUN, "outputs": {"content": "4"}, "inputs": 4}, {**RUN, "outputs": {"score": 1}}]
    (row,) = _rows(tmp_path, *runs)
    assert row["prompt"] is None
    (row,) = _rows(tmp_path, {**RUN, "outputs": {"content": "4"}, "inputs": {"prompts": ["first", "second"]}})
    assert row["prompt"] == "first"


RESPONSE = {
    "object": "response",
    "id": "r",
    "status": "completed",
    "model": "m",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}],
}


def test_of_the_events_of_a_response_only_the_completing_one_is_read(tmp_path):
    events = [
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}},
        {"type": "response.other"},
        {"type": "response.completed", "response": RESPONSE},
    ]
    assert [row["answer"] for row in _rows(tmp_path, *events)] == ["4"]


def test_flat_alternatives_of_a_plain_line_are_rows_of_k(tmp_path):
    line = {"trace_id": "a", "answer": "4", "chosen_logprobs": [-0.1, -0.2], "top_logprobs": [-0.1, -2.5, -0.2, -3.5]}
    nested = {**line, "top_logprobs": [[-0.1, -2.5], [-0.2, -3.5]]}
    (flat,), (rows,) = _rows(tmp_path, line), _rows(tmp_path, nested)
    assert flat["k"] == 2
    assert flat["top_logprobs"] == rows["top_logprobs"] == pytest.approx([-0.1, -2.5, -0.2, -3.5])


def test_numbers_written_as_text_are_numbers(tmp_path):
    (row,) = _rows(tmp_path, {"trace_id": "a", "answer": "4", "n_tokens": " 12 ", "temperature": "0.5"})
    assert (row["n_tokens"], row["temperature"]) == (12, 0.5)


def test_an_answer_that_begins_with_a_bracket_is_a_text(tmp_path):
    (row,) = _rows(tmp_path, {"trace_id": "a", "answer": "[4, of course"})
    assert row["answer"] == "[4, of course"


def test_a_message_whose_content_holds_parts_is_their_text(tmp_path):
    choice = {"message": {"content": {"parts": [{"text": "4"}, {"text": "2"}]}}}
    (row,) = _rows(tmp_path, {"id": "a", "object": "chat.completion", "choices": [choice]})
    assert row["answer"] == "42"


@pytest.mark.parametrize(("value", "correct"), [("C", 1.0), ("I", 0.0), (0.25, 0.25)])
def test_the_first_score_of_inspect_ai_is_the_label(tmp_path, value, correct):
    output = {"model": "m", "choices": [{"message": {"role": "assistant", "content": "4"}, "stop_reason": "stop"}]}
    sample = {"id": 1, "epoch": 1, "uuid": "u", "input": "2 + 2?", "target": "4", "output": output}
    (row,) = _rows(tmp_path, {**sample, "scores": {"match": {"value": value}}, "messages": []})
    assert np.isclose(row["correct"], correct)
    assert row["trace_id"] == "u"
