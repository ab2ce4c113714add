"""Recordings of a browser: answers of language models among everything else that a page asks for."""

import base64
import json

import pytest

from nilometer.traces import read_traces

TOP = [{"token": "4", "logprob": -0.5}, {"token": "5", "logprob": -2}]
TOKEN = {**TOP[0], "top_logprobs": TOP}
ASKED = {"model": "m", "messages": [{"role": "user", "content": "2+2?"}], "logprobs": True, "top_logprobs": 2}


def _chat(name):
    choice = {"index": 0, "message": {"content": "4"}, "finish_reason": "stop", "logprobs": {"content": [TOKEN]}}
    return json.dumps({"id": name, "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


def _stream():
    head = {"id": "streamed", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [({"role": "assistant", "content": ""}, None), ({"content": "4"}, None), ({}, "stop")]
    lists = [None, {"content": [TOKEN]}, None]
    for (delta, reason), listed in zip(deltas, lists, strict=True):
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": listed}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
    yield "data: [DONE]\n\n"


def _entry(asked, text, **content):
    request = {"method": "POST", "url": "https://example.org/v1", "postData": {"text": json.dumps(asked)}}
    return {"startedDateTime": "2026-01-01", "request": request, "response": {"content": {"text": text, **content}}}


@pytest.mark.parametrize("indent", [None, 2])
def test_answers_are_read_and_everything_else_is_skipped(tmp_path, indent):
    picture = {"request": {"method": "GET"}, "response": {"content": {"text": "aGk=", "encoding": "base64"}}}
    entries = [
        _entry(ASKED, _chat("plain")),
        _entry(ASKED, base64.b64encode(_chat("packed").encode()).decode(), encoding="base64"),
        _entry(ASKED, "".join(_stream())),
        picture,
        _entry({"event": "click"}, '{"ok": true}'),
        _entry(ASKED, '{"error": {"message": "overloaded"}}'),
        _entry(ASKED, "not base64", encoding="base64"),
    ]
    (tmp_path / "page.har").write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}, indent=indent))
    stream = read_traces(tmp_path / "page.har")
    table = stream.read_all()
    assert table["trace_id"].to_pylist() == ["plain", "packed", "streamed"]
    assert table["chosen_logprobs"].to_pylist() == [[-0.5]] * 3
    assert (table["k"].to_pylist(), table["prompt"].to_pylist()) == ([2] * 3, ["2+2?"] * 3)
    (file,) = stream.report.files
    assert (file.n_lines, file.n_read, file.n_skipped, file.n_bad) == (9, 5, 4, 0)


def test_an_object_called_log_is_no_recording(tmp_path):
    (tmp_path / "t.jsonl").write_text(f'{{"log": {{"a": 1}}, "response": {_chat("x")}}}\n')
    assert read_traces(tmp_path / "t.jsonl").read_all()["trace_id"].to_pylist() == ["x"]
