"""What broke the readers once: the smallest inputs that fuzzing found, and lines made to break them."""

import json
from pathlib import Path

import pytest

from nilometer.errors import NilometerError, TraceFormatError
from nilometer.traces import LabelReport, read_labels, read_traces

FOUND = Path(__file__).parent / "fuzzed"
TOKEN = {"token": "4", "logprob": -0.5, "top_logprobs": [{"token": "4", "logprob": -0.5}]}
CHOICE = {"index": 0, "message": {"content": "4"}, "finish_reason": "stop", "logprobs": {"content": [TOKEN]}}
CHAT = {"id": "x", "created": 1700000000, "model": "m", "choices": [CHOICE]}


def _good(n):
    return json.dumps({**CHAT, "id": f"good-{n}"}).encode()


def _read(path, data):
    path.write_bytes(b"\n".join([_good(0), data, _good(1)]) + b"\n")
    stream = read_traces(path)
    table = stream.read_all()
    (file,) = stream.report.files
    assert file.n_lines == file.n_read + file.n_skipped + file.n_bad + file.n_lost
    ids = table["trace_id"].to_pylist()
    assert {"good-0", "good-1"} <= set(ids)
    assert len(table["top_logprobs"].combine_chunks().flatten()) < 1000 + 300 * len(data)
    return len(ids) - 2, file


@pytest.mark.parametrize("path", sorted(FOUND.glob("[frs]*")), ids=lambda path: path.name)
def test_a_found_line_costs_itself_alone(tmp_path, path):
    _read(tmp_path / "t.jsonl", path.read_bytes())


@pytest.mark.parametrize("path", sorted(FOUND.glob("[frs]*")), ids=lambda path: path.name)
def test_a_found_file_ends_in_one_clear_line_or_is_read(path):
    try:
        read_traces(path).read_all()
    except NilometerError as exc:
        message = str(exc)
    else:
        message = str(path)
    assert message.startswith(str(path))


@pytest.mark.parametrize("path", sorted(FOUND.glob("l*.csv")), ids=lambda path: path.name)
def test_found_label_files_end_in_one_clear_line_or_are_counted(path):
    report = LabelReport()
    try:
        n_labels = read_labels(path, report=report).num_rows
    except TraceFormatError as exc:
        n_labels = str(exc).count(str(path))
    assert n_labels + report.n_bad + report.n_empty > 0


DEEP = "[" * 100_000
LINES = {
    "model of another type": json.dumps({**CHAT, "model": [5]}),
    "fingerprint of another type": json.dumps({**CHAT, "system_fingerprint": {"a": 1}}),
    "answer of another type": '{"trace_id":"x","answer":{"a":1}}',
    "tokens of another type": '{"trace_id":"x","answer":"b","tokens":5,"chosen_logprobs":[-1]}',
    "count in words": '{"trace_id":"x","answer":"b","n_tokens":"many"}',
    "temperature in words": '{"trace_id":"x","answer":"b","temperature":"hot"}',
    "deep nesting in a field of no use": json.dumps(CHAT)[:-1] + ', "zz": ' + DEEP + "]" * 100_000 + "}",
    "deep nesting": DEEP,
    "half a surrogate beside NaN": json.dumps(CHAT).replace('"content": "4"', r'"content": "\ud800"')[:-1]
    + ', "a": NaN}',
    "a number of 400 digits as label": json.dumps(CHAT)[:-1] + ', "correct": ' + "9" * 400 + "}",
    "a negative probability": '{"content":"a","completion_probabilities":[{"prob":-1,"token":"a"}]}',
    "k of a billion": '{"trace_id":"x","answer":"b","k":1000000000,"chosen_logprobs":[-1],"top_logprobs":[[-1]]}',
    "k of a billion asked for": json.dumps({"request": {"top_logprobs": 10**9}, "response": CHAT}),
    "count of a billion": json.dumps({**CHAT, "usage": {"completion_tokens": 10**9}}),
    "an open chunk with a wrong number": '{"id":"a","object":"chat.completion.chunk","choices":[{"index":0,'
    '"delta":{"content":"x"},"logprobs":{"content":[{"token":"a","logprob":5}]}}]}',
    "a chunk that holds nothing": '{"id":"zz","object":"chat.completion.chunk"}',
    "indexes of two types": '{"id":"a","choices":[{"index":0,"text":"x"},{"index":"y","text":"x"}]}',
    "eval_count in words": '{"model":"m","response":"4","done":true,"eval_count":"x"}',
    "1e400": '{"trace_id":"x","answer":"b","temperature":1e400}',
    "no UTF-8": b'{"trace_id":"x","answer":"\xff"}'.decode("latin-1"),
    "NUL": "\0" * 100,
}


@pytest.mark.parametrize("kind", LINES)
def test_a_line_made_to_break_the_reader_costs_itself_alone(tmp_path, kind):
    n, file = _read(tmp_path / "t.jsonl", LINES[kind].encode("latin-1"))
    assert n + file.n_bad + file.n_skipped >= 1


@pytest.mark.parametrize("value", ["1e308", "NaN", "Infinity", "-1e308", '"x"', "1e30", "10000000000000000000000"])
def test_a_time_that_no_calendar_holds_costs_at_most_its_line(tmp_path, value):
    line = json.dumps(CHAT).replace("1700000000", value)
    n, file = _read(tmp_path / "t.jsonl", line.encode())
    assert n + file.n_bad == 1


def test_a_line_of_many_megabytes_beside_others_is_read(tmp_path):
    assert _read(tmp_path / "t.jsonl", json.dumps({**CHAT, "pad": {"a": "x" * 8_000_000}}).encode())[0] == 1
