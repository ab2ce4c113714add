"""States of LangGraph: every answer of a model in them is a response."""

import json

import pytest

from nilometer.traces import read_traces

TOP = [{"token": "4", "logprob": -0.5}, {"token": "5", "logprob": -2}]
LISTED = {"content": [{**TOP[0], "top_logprobs": TOP}]}
ASKED = {"type": "human", "content": "2+2?", "additional_kwargs": {}, "response_metadata": {}}


def _said(name):
    metadata = {"model_name": "m", "finish_reason": "stop", "logprobs": LISTED}
    return {"type": "ai", "content": "4", "id": name, "additional_kwargs": {}, "response_metadata": metadata}


def _dumped(message):
    kind = "AIMessage" if message["type"] == "ai" else "HumanMessage"
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", kind], "kwargs": message}


def _read(tmp_path, *lines):
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    stream = read_traces(tmp_path / "t.jsonl")
    return stream.read_all(), stream.report


@pytest.mark.parametrize(
    ("line", "names", "prompt"),
    [
        ({"messages": [ASKED, _said("a"), ASKED, _said("b")]}, ["a", "b"], "2+2?"),
        ({"messages": [_dumped(ASKED), _dumped(_said("a"))]}, ["a"], "2+2?"),
        ({"values": {"messages": [ASKED, _said("a")]}, "next": [], "config": {}}, ["a"], "2+2?"),
        ({"agent": {"messages": [_said("a")]}}, ["a"], None),
    ],
)
def test_every_answer_of_a_state_is_a_response(tmp_path, line, names, prompt):
    table, report = _read(tmp_path, line)
    assert table["trace_id"].to_pylist() == names
    assert set(table["prompt"].to_pylist()) == {prompt}
    assert table["top_logprobs"].to_pylist() == [[-0.5, -2.0]] * len(names)
    assert (report.files[0].format, report.n_bad) == ("langgraph", 0)


def test_a_state_before_the_first_answer_holds_none(tmp_path):
    table, report = _read(tmp_path, {"messages": [ASKED, _said("a")]}, {"messages": [ASKED]})
    assert (table.num_rows, report.n_skipped, report.n_bad) == (1, 1, 0)


def test_messages_of_a_request_beside_its_answer_are_no_state(tmp_path):
    answer = {"choices": [{"message": {"content": "5"}, "finish_reason": "stop"}], "id": "x", "model": "m"}
    table, report = _read(tmp_path, {"messages": [ASKED, _said("a")], "response": answer})
    assert table["trace_id"].to_pylist() == ["x"]
    assert report.files[0].format == "openai_chat"


def test_states_that_repeat_a_message_are_counted_as_repeated(tmp_path):
    states = [{"messages": [ASKED, _said("a")]}, {"messages": [ASKED, _said("a"), ASKED, _said("b")]}]
    table, report = _read(tmp_path, *states)
    assert (table.num_rows, report.n_duplicates) == (3, 1)
