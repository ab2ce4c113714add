"""The quick path and the plain one give the same traces, on generated and on all recorded lines."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from nilometer.traces import read_traces

WIRE = Path(__file__).parent
RECORDED = sorted(path for path in WIRE.glob("*") if path.suffix in {".jsonl", ".sse"})

_number = st.one_of(st.floats(-20, 0), st.sampled_from([0, -1, -9999.0, -3.4e38, None, "-inf", 0.0005, 0.5, "x"]))
_text = st.sampled_from(["4", " 4", "", "é", "\n", None, 7])
_token = st.fixed_dictionaries(
    {"token": _text, "logprob": _number},
    optional={"top_logprobs": st.lists(st.fixed_dictionaries({"token": _text, "logprob": _number}), max_size=4)},
)
_choice = st.fixed_dictionaries(
    {"message": st.fixed_dictionaries({"content": st.sampled_from(["4", "", None])})},
    optional={
        "index": st.sampled_from([0, 1, None]),
        "finish_reason": st.sampled_from(["stop", "length", "", None]),
        "logprobs": st.one_of(st.none(), st.fixed_dictionaries({"content": st.lists(_token, max_size=4)})),
    },
)
_line = st.fixed_dictionaries(
    {"object": st.just("chat.completion"), "choices": st.lists(_choice, min_size=1, max_size=2)},
    optional={
        "id": st.sampled_from(["a", "", None, 5]),
        "created": st.sampled_from([1_700_000_000, 1.5, "x", None, 10**30]),
        "model": st.sampled_from(["m", None, {"id": "m"}]),
        "usage": st.sampled_from([{"completion_tokens": 9}, {"completion_tokens": "x"}, None]),
        "system_fingerprint": st.sampled_from(["vllm-0.1", "f", None, 3]),
        "prompt_logprobs": st.none(),
        "service_tier": st.sampled_from(["auto", None]),
    },
)


def _rows(path, lines):
    path.write_text("\n".join(lines) + "\n")
    stream = read_traces(path)
    table = stream.read_all()
    report = stream.report.files[0]
    return table, [report.n_traces, report.n_read, report.n_bad, report.n_skipped, report.n_lost]


def _plainly(line):
    """Put something before a line that leads to the plain path and means nothing."""
    prefix = "data: " if line.startswith("data: ") else ""
    body = line.removeprefix(prefix)
    return prefix + body.replace("{", '{"zz": {"pad": "' + "x" * 900 + '"}, ', 1) if body.startswith("{") else line


def _same(folder, lines):
    quick, plain = _rows(folder / "t.jsonl", lines), _rows(folder / "t.jsonl", map(_plainly, lines))
    assert quick[0] == plain[0] or quick[0].to_pandas().equals(plain[0].to_pandas())
    assert quick[1] == plain[1]


@given(st.lists(_line, min_size=1, max_size=4))
@settings(max_examples=150)
def test_generated_lines_give_the_same_on_both_paths(tmp_path_factory, lines):
    usual = {"message": {"content": "4"}, "logprobs": {"content": [{"token": "4", "logprob": -1}]}}
    first = {"id": "z", "object": "chat.completion", "created": 1, "model": "m", "choices": [usual]}
    _same(tmp_path_factory.mktemp("t"), [json.dumps(line) for line in (first, *lines)])


@given(st.lists(_token, min_size=1, max_size=6), st.integers(0, 5))
@settings(max_examples=100)
def test_generated_streams_give_the_same_on_both_paths(tmp_path_factory, tokens, late):
    head = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [{"index": 0, "delta": {"content": "4"}, "logprobs": {"content": [token]}} for token in tokens]
    choices.insert(late % len(choices), {"index": 0, "delta": {"role": "assistant", "content": ""}})
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    _same(tmp_path_factory.mktemp("t"), [json.dumps({**head, "choices": [choice]}) for choice in choices])


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_recorded_files_give_the_same_on_both_paths(tmp_path, path):
    lines = path.read_text().splitlines()
    _same(tmp_path, [*lines, *lines])
