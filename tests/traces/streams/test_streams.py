"""Answers that arrive in pieces: every protocol, every order, and streams that break off or are damaged."""

import json

import pytest
from hypothesis import given, settings, strategies as st

from nilometer.errors import TraceFormatError
from nilometer.traces import read_traces, traces_from_response

WORDS = ["The", " answer", " is", " NOT", " 4"]


def _token(text, value=-0.5):
    return {"token": text, "logprob": value, "top_logprobs": [{"token": text, "logprob": value}]}


def _chunk(text=None, *, id="a", index=0, finish=None, role=None, tokens=None, **more):
    delta = {} if text is None else {"content": text}
    if role:
        delta["role"] = role
    listed = [_token(text)] if tokens is None and text else tokens
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": listed and {"content": listed}}
    chunk = {"id": id, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return {key: value for key, value in chunk.items() if value is not ...}


def _answer(words=WORDS, **options):
    start = _chunk("", role="assistant", **options)
    return [start, *(_chunk(word, **options) for word in words), _chunk(finish="stop", **options)]


def _read(tmp_path, lines, name="t.jsonl", **options):
    file = tmp_path / name
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    stream = read_traces(file, **options)
    rows = stream.read_all().to_pylist()
    report = stream.report.files[0]
    assert report.n_lines == report.n_read + report.n_skipped + report.n_bad + report.n_lost
    return rows, stream.report


def _texts(rows):
    return [row["answer"] for row in rows]


def test_what_comes_after_the_end_under_the_same_id_belongs_to_the_answer(tmp_path):
    late = [
        _chunk("", role="assistant", usage={"completion_tokens": 5}),
        {"id": "a", "object": "chat.completion.chunk", "choices": [], "usage": {"completion_tokens": 5}},
        _chunk(finish="stop"),
    ]
    rows, report = _read(tmp_path, [*_answer(), *late])
    assert _texts(rows) == ["".join(WORDS)]
    assert report.files[0].n_read == len(WORDS) + 5


def test_late_logprobs_belong_to_the_answer(tmp_path):
    rows, _ = _read(tmp_path, [_chunk("4", tokens=[]), _chunk(finish="stop"), _chunk(tokens=[_token("4", -0.25)])])
    assert [row["chosen_logprobs"] for row in rows] == [[-0.25]]


def test_an_id_used_again_is_another_answer(tmp_path):
    rows, _ = _read(tmp_path, [*_answer(["4"]), *_answer(["5"])])
    assert _texts(rows) == ["4", "5"]


@pytest.mark.parametrize("identity", [None, "", ...])
def test_streams_without_an_id_follow_each_other(tmp_path, identity):
    rows, _ = _read(tmp_path, [*_answer(["4", "2"], id=identity), *_answer(["5"], id=identity)])
    assert _texts(rows) == ["42", "5"]
    assert len({row["trace_id"] for row in rows}) == 2


def test_an_id_for_every_chunk_is_one_answer(tmp_path):
    lines = [{**line, "id": f"c{i}"} for i, line in enumerate(_answer() + _answer(["5", "6"]))]
    assert _texts(_read(tmp_path, lines)[0]) == ["".join(WORDS), "56"]


def test_an_empty_finish_reason_is_not_the_end(tmp_path):
    rows, _ = _read(tmp_path, [_chunk("4", finish=""), _chunk("2", finish="null"), _chunk("0", finish="stop")])
    assert _texts(rows) == ["420"]


def test_a_first_chunk_without_choices_is_skipped(tmp_path):
    first = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": []}
    rows, report = _read(tmp_path, [first, *_answer()])
    assert (_texts(rows), report.n_skipped, report.n_bad) == (["".join(WORDS)], 1, 0)


@given(st.data())
@settings(max_examples=40)
def test_interleaved_streams_and_choices_give_what_they_give_apart(tmp_path_factory, data):
    texts = data.draw(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), min_size=1, max_size=4))
    streams = [_answer(words, id=f"s{i // 2}", index=i % 2) for i, words in enumerate(texts)]
    lines = []
    while any(streams):
        chosen = data.draw(st.sampled_from([stream for stream in streams if stream]))
        lines.append(chosen.pop(0))
    rows, report = _read(tmp_path_factory.mktemp("t"), lines)
    assert sorted(_texts(rows)) == sorted("".join(words) for words in texts)
    assert report.n_damaged == 0


def test_cumulative_streams_replace_and_incremental_ones_append(tmp_path):
    def growing(n):
        return _chunk("".join(WORDS[:n]), tokens=[_token(word, -0.1 * i) for i, word in enumerate(WORDS[:n])])

    lines = [*(growing(n) for n in range(1, 6)), _chunk(finish="stop")]
    rows, _ = _read(tmp_path, lines)
    assert (_texts(rows), rows[0]["tokens"]) == (["".join(WORDS)], WORDS)
    rows, _ = _read(tmp_path, _answer(["1", "10", "100"][:2]))
    assert _texts(rows) == ["110"]


def test_a_cut_stream_gives_what_arrived_and_is_counted(tmp_path):
    rows, report = _read(tmp_path, _answer()[:-2])
    assert (_texts(rows), rows[0]["finish_reason"], report.n_cut) == (["The answer is NOT"], None, 1)


def test_an_error_in_a_stream_cuts_it_there(tmp_path):
    lines = [*_answer()[:3], {"error": {"message": "overloaded"}}]
    rows, report = _read(tmp_path, lines)
    assert (_texts(rows), report.n_cut, report.n_skipped) == (["The answer"], 1, 1)
    rows, report = _read(tmp_path, [*lines, *_answer()[4:]])
    assert (rows, report.n_damaged) == ([], 1)


DAMAGE = {
    "cut line": lambda line: line[:-5],
    "noise": lambda line: "#" * len(line),
    "content of another type": lambda line: line.replace('" NOT"', "7"),
    "choices of another type": lambda line: json.dumps({**json.loads(line), "choices": "x"}),
    "positive log-probability": lambda line: line.replace("-0.5", "5"),
    "list for an object": lambda line: line.replace('"delta": {"content": " NOT"}', '"delta": [" NOT"]'),
    "id of another stream": lambda line: line.replace('"id": "a"', '"id": "b"'),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("identity", ["a", None])
def test_a_stream_with_a_damaged_chunk_is_left_out_and_counted(tmp_path, kind, identity):
    if identity is None and kind == "id of another stream":
        pytest.skip("has no id")
    lines = [json.dumps(line) for line in _answer(id=identity)]
    lines[4] = DAMAGE[kind](lines[4])
    rows, report = _read(tmp_path, [*lines, *_answer(["5"], id="z")])
    assert "The answer is 4" not in _texts(rows)
    assert "5" in _texts(rows)
    assert report.n_damaged == 1
    with pytest.raises(TraceFormatError, match=r"t\.jsonl:\d"):
        _read(tmp_path, [*lines, *_answer(["5"], id="z")], strict=True)


def test_two_answers_mixed_under_one_id_are_left_out(tmp_path):
    one, two = _answer(), _answer(["The", " answer", " is", " 4"])
    mixed = [line for pair in zip(one, two, strict=False) for line in pair]
    rows, report = _read(tmp_path, mixed)
    assert (rows, report.n_damaged) == ([], 1)


def test_keepalives_errors_and_empty_chunks_are_skipped_and_counted(tmp_path):
    lines = [{"type": "ping"}, {"id": "z", "object": "chat.completion.chunk"}, {"error": "overloaded"}, *_answer(["4"])]
    rows, report = _read(tmp_path, lines)
    assert (_texts(rows), report.n_skipped, report.n_bad) == (["4"], 3, 0)


def test_a_done_sign_ends_streams_without_an_id(tmp_path):
    half = [f"data: {json.dumps(line)}\n" for line in _answer(id=None)[:-2]]
    rows, report = _read(tmp_path, [*half, "data: [DONE]\n", *half], name="t.sse")
    assert (_texts(rows), report.n_cut) == (["The answer is NOT"] * 2, 2)


def _llama(text, *, stop=False, **more):
    listed = [{"id": 1, "token": text, "logprob": -0.5, "top_logprobs": [{"id": 1, "token": text, "logprob": -0.5}]}]
    return {"index": 0, "content": text, "stop": stop, "id_slot": 0, "tokens_predicted": 1, **more} | (
        {"completion_probabilities": listed} if text else {}
    )


def _sglang(words, reason=None, *, grow=True):
    shown = words if grow else words[-1:]
    pairs = [[-0.5 - 0.1 * i, i, word] for i, word in enumerate(words)][-len(shown) :]
    meta = {"id": "s", "finish_reason": reason, "output_token_logprobs": pairs}
    meta |= {"output_top_logprobs": [[pair] for pair in pairs], "completion_tokens": len(words)}
    return {"text": "".join(shown), "meta_info": meta}


def _ollama(text, *, done=False):
    line = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"content": text}, "done": done}
    return {**line, **({"logprobs": [_token(text)]} if text else {"done_reason": "stop"})}


def _text(text, reason=None):
    legacy = {"tokens": [text], "token_logprobs": [-0.5], "top_logprobs": [{text: -0.5}]}
    choice = {"index": 0, "text": text, "finish_reason": reason, "logprobs": legacy if text else None}
    return {"id": "c", "object": "text_completion", "model": "m", "choices": [choice]}


def _event(kind, **more):
    return {"type": f"response.{kind}", "item_id": "i", "content_index": 0, **more}


NATIVE = {
    "llama_cpp": [*map(_llama, WORDS), _llama("", stop=True, stop_type="eos")],
    "sglang grows": [*(_sglang(WORDS[:n]) for n in range(1, 5)), _sglang(WORDS, {"type": "stop"})],
    "sglang appends": [
        *(_sglang(WORDS[:n], grow=False) for n in range(1, 5)),
        _sglang(WORDS, {"type": "stop"}, grow=False),
    ],
    "ollama": [*map(_ollama, WORDS), _ollama("", done=True)],
    "openai_text_chunks": [*map(_text, WORDS), _text("", "stop")],
    "openai_responses": [
        {
            "type": "response.created",
            "response": {"id": "r", "object": "response", "status": "in_progress", "model": "m"},
        },
        *(_event("output_text.delta", delta=word, logprobs=[_token(word)]) for word in WORDS),
    ],
}


@pytest.mark.parametrize("name", NATIVE)
def test_every_protocol_gives_all_tokens_of_the_one_answer(tmp_path, name):
    rows, report = _read(tmp_path, NATIVE[name])
    assert report.files[0].format == name.split()[0]
    assert [(row["answer"], row["tokens"], row["n_tokens"], row["k"]) for row in rows] == [
        ("".join(WORDS), WORDS, len(WORDS), 1)
    ]


@pytest.mark.parametrize("name", NATIVE)
def test_every_protocol_leaves_out_a_stream_with_a_damaged_line(tmp_path, name):
    lines = [json.dumps(line) for line in NATIVE[name]]
    lines[3] = lines[3][:-4]
    rows, report = _read(tmp_path, lines)
    assert (rows, report.n_damaged, report.n_bad) == ([], 1, 1)


@pytest.mark.parametrize("name", NATIVE)
def test_every_protocol_keeps_what_arrived_of_a_cut_stream(tmp_path, name):
    rows, report = _read(tmp_path, NATIVE[name][:4])
    assert (len(rows), report.n_cut) == (1, 1)
    assert rows[0]["answer"]
    assert "".join(WORDS).startswith(rows[0]["answer"])


def _events(lines):
    return "".join(f"data: {json.dumps(line)}\n\n" for line in lines).encode() + b"data: [DONE]\n\n"


def test_the_bytes_of_one_captured_stream_are_one_trace():
    (trace,) = traces_from_response(_events(_answer(id=None)), trace_id="r1", k=3)
    assert (trace.trace_id, trace.answer, trace.tokens, trace.k) == ("r1", "".join(WORDS), WORDS, 3)
    crlf = _events(_answer()).replace(b"\n", b"\r\n")
    assert traces_from_response(crlf, trace_id="r1")[0].answer == "".join(WORDS)


def test_a_captured_stream_that_broke_off_gives_what_arrived_and_a_damaged_one_raises():
    (trace,) = traces_from_response(_events(_answer()[:3]), trace_id="r1")
    assert (trace.answer, trace.finish_reason) == ("The answer", None)
    with pytest.raises(TraceFormatError, match=r"r1:\d"):
        traces_from_response(_events(_answer()).replace(b'" NOT"}', b'" NOT'), trace_id="r1")
