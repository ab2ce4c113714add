import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from nilometer.errors import TraceFormatError
from nilometer.service.capture import Frame
from nilometer.service.store.answers import frame_traces, join_stream
from nilometer.traces import read_traces, trace_batch

WIRE = Path(__file__).parents[2] / "traces" / "wire"


def _frame(body, **changes):
    given = {"id": "r", "time": 1_795_000_000_000_000, "outcome": "served", "model": "m", "k": 5, **changes}
    return Frame(body=body, **given)


@pytest.mark.parametrize("name", ["vllm_chat.sse", "llama_cpp_python_stream.jsonl"])
def test_stream_gives_the_trace_that_the_reader_of_files_gives(name):
    (trace,) = frame_traces(_frame((WIRE / name).read_bytes(), stream=True, k=None))
    wanted = read_traces(WIRE / name).read_all().to_pylist()[0]
    got = trace_batch([trace]).to_pylist()[0]
    for column in ("trace_id", "model", "k", "n_tokens", "finish_reason", "tokens", "answer"):
        assert got[column] == wanted[column], column
    for column in ("chosen_logprobs", "top_logprobs"):
        np.testing.assert_array_equal(got[column], wanted[column])


def test_whole_answer_with_two_choices_gives_two_traces():
    traces = frame_traces(_frame((WIRE / "vllm_chat_two_choices.jsonl").read_bytes()))
    assert [trace.trace_id.rpartition("#")[2] for trace in traces] == ["0", "1"]
    assert traces[0].prompt_id == traces[1].prompt_id


def test_what_the_capture_knows_is_in_the_trace():
    body = (WIRE / "vllm_chat.jsonl").read_bytes().splitlines()[0]
    frame = _frame(body, attributes={"tenant": "a"}, temperature=0.5, logprobs_mode="raw")
    (trace,) = frame_traces(frame)
    assert (trace.attributes, trace.temperature, trace.logprobs_mode, trace.time) == (
        {"tenant": "a"},
        0.5,
        "raw",
        frame.time,
    )


def test_stream_of_text_completions_is_joined():
    chunks = [
        {
            "id": "a",
            "choices": [
                {
                    "index": 0,
                    "text": t,
                    "logprobs": {"tokens": [t], "token_logprobs": [-0.5], "top_logprobs": [{t: -0.5, "z": -2.0}]},
                    "finish_reason": r,
                }
            ],
        }
        for t, r in (("x", None), ("y", "stop"))
    ]
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)
    (trace,) = frame_traces(_frame(body, stream=True, api="completions", k=2))
    assert (trace.answer, trace.n_tokens, trace.top_logprobs.shape) == ("xy", 2, (2, 2))


def test_stream_that_broke_off_gives_what_came():
    body = (WIRE / "vllm_chat.sse").read_bytes()
    joined = json.loads(join_stream(body[: len(body) // 2]))
    assert joined["choices"][0]["finish_reason"] is None
    assert 1 <= len(joined["choices"][0]["logprobs"]["content"]) < 8


@pytest.mark.parametrize("damage", [b'"delta"', b"{"])
def test_stream_with_a_damaged_event_is_not_read_as_a_whole_answer(damage):
    events = (WIRE / "vllm_chat.sse").read_bytes().split(b"\n\n")
    events[2] = events[2].replace(damage, b"\xff", 1)
    with pytest.raises(TraceFormatError, match="event 3 of a stream must be a part of an answer"):
        frame_traces(_frame(b"\n\n".join(events), stream=True))


@pytest.mark.parametrize("body", [b"", b": ping\n\n", b"<html></html>", gzip.compress(b"data: {}", mtime=0)])
def test_stream_without_an_answer_is_refused(body):
    with pytest.raises(TraceFormatError, match="at least one part of an answer"):
        join_stream(body)


@pytest.mark.parametrize(
    "body", [b"<html></html>", b"[]", b'{"choices":[{"message":{"content":7},"logprobs":3}]}', b"\xff"]
)
def test_answer_of_another_shape_is_refused(body):
    with pytest.raises(TraceFormatError):
        frame_traces(_frame(body))


def test_an_answer_without_a_choice_is_no_answer():
    body = json.dumps({"id": "a", "object": "chat.completion", "model": "m", "choices": []}).encode()
    with pytest.raises(TraceFormatError, match="the answer to f1"):
        frame_traces(Frame(id="f1", time=1, outcome="served", body=body))
