"""A value of a wrong type costs its line, and the message says the rule, what came and the cure."""

import json
import re

import pytest

from nilometer.traces import read_traces

GOOD = {"id": "g", "model": "m", "choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}
CHUNK = {"id": "s", "object": "chat.completion.chunk", "created": 1, "model": "m"}
PLAIN = {"trace_id": "a", "answer": "4", "chosen_logprobs": [-0.5], "top_logprobs": [[-0.5, -2]]}
GEMINI = {"candidates": [{"content": {"parts": [{"text": "4"}]}, "logprobsResult": {"chosenCandidates": 7}}]}


def _read(tmp_path, *lines):
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    stream = read_traces(file)
    return stream.read_all(), stream.report


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({**PLAIN, "k": "many"}, r"`k` must be a whole number >= 0, got 'many'\."),
        ({**PLAIN, "k": [2]}, r"`k` must be a whole number >= 0, got \[2\]\."),
        (
            {**CHUNK, "choices": [{"index": [], "delta": {"content": "4"}}]},
            r"`choices\[0\]\.index` must be a numb",
        ),
        (
            {**CHUNK, "choices": [{"index": 0, "delta": {"content": 4}}]},
            r"`choices\[0\]\.delta\.content` must be a",
        ),
        (
            {**CHUNK, "choices": [{"delta": {"content": "4"}, "logprobs": True}]},
            "a value must be a number, got a truth",
        ),
        (GEMINI, "gemini: a list must stand where a number stands. Repair the line"),
        ({"done": False, "model": "m", "response": 7}, "the text of a piece must be a text, got 7."),
        ({"text": "4", "meta_info": 7, "output_ids": [1]}, "an object must stand where a number stands, 7. Repair"),
    ],
)
def test_a_wrong_type_is_said_in_words(tmp_path, line, said):
    table, report = _read(tmp_path, GOOD, line, GOOD)
    assert table.num_rows == 2
    (message,) = report.bad_lines
    assert message.startswith(f"{tmp_path}/t.jsonl:2: ")
    assert re.search(said, message), message
    assert "Error(" not in message


def test_k_written_as_text_is_the_number(tmp_path):
    table, report = _read(tmp_path, {**PLAIN, "k": "2"})
    assert (table["k"].to_pylist(), report.n_bad) == ([2], 0)
