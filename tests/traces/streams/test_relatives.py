"""Relatives of the streamed cases: log-probabilities in other places, other protocols, growing and cut streams."""

from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from wire_shapes import (
    ANSWER,
    CHOSEN,
    COHERE,
    CONTENT,
    GEMINI,
    LEGACY,
    TOKEN_LIST,
    TOKENS,
    TRIPLES,
    check_row,
    chunk,
    gemini,
    lines,
    rows_of,
    sse,
    start,
    stream,
)

from nilometer.traces import read_traces

WIRE = Path(__file__).parents[1] / "wire"


def _parts(*, listed=None, finish=None, **options):
    """All chunks of an answer whose log-probabilities stand where `options` of each token say."""
    own = {name: [place(i) for i in range(3)] for name, place in options.items()}
    bodies = [chunk(i, listed=listed, **{name: values[i] for name, values in own.items()}) for i in range(3)]
    return [start(), *bodies, chunk(finish="stop", listed=finish)]


def _in_choice(**fields):
    chunks = [start(), *(chunk(i, listed=None) for i in range(3)), chunk(finish="stop")]
    for place in range(3):
        chunks[place + 1]["choices"][0].update({name: value(place) for name, value in fields.items()})
    return chunks


def _arrays(place):
    return {name: [values[place]] for name, values in LEGACY.items()}


CHAT = {
    "beside the choices": _parts(completion_probabilities=lambda i: [TOKEN_LIST[i]]),
    "in the choice": _in_choice(completion_probabilities=lambda i: [TOKEN_LIST[i]]),
    "in the delta": _parts(delta=lambda i: {"logprobs": {"content": [TOKEN_LIST[i]]}}),
    "as a list": _in_choice(logprobs=lambda i: [TOKEN_LIST[i]]),
    "as arrays": _in_choice(logprobs=_arrays),
    "as triples": _in_choice(meta_info=lambda i: {name: [values[i]] for name, values in TRIPLES.items()}),
    "all with the end": _parts(finish=CONTENT),
    "all after the end": [*_parts(), chunk(listed=CONTENT)],
    "growing texts, lists in pieces": [
        {**one, "choices": [{**one["choices"][0], "delta": {"content": ANSWER[:n]}}]}
        for one, n in zip(stream()[1:], (3, 8, 11, 11), strict=True)
    ],
    "texts in pieces, growing lists": _in_choice(logprobs=lambda i: {"content": TOKEN_LIST[: i + 1]}),
}


@pytest.mark.parametrize("name", CHAT)
def test_log_probabilities_of_chunks_are_found_wherever_they_stand(tmp_path, name):
    rows, report = rows_of(tmp_path, sse(CHAT[name]), "t.sse")
    assert (len(rows), report.n_bad, report.n_cut) == (1, 0, 0)
    check_row(rows[0])
    assert rows[0]["finish_reason"] == "stop"


def test_a_single_number_a_chunk_is_the_one_of_its_token(tmp_path):
    rows, _ = rows_of(tmp_path, lines(_in_choice(logprobs=lambda i: CHOSEN[i])))
    check_row(rows[0], k=0)


def test_numbers_of_chunks_that_no_joiner_finds_are_said(tmp_path):
    chunks = _parts(extra=lambda i: {"token_scores": [{"piece": TOKENS[i], "logprob": CHOSEN[i]}]})
    rows, report = rows_of(tmp_path, lines(chunks))
    assert rows[0]["chosen_logprobs"] is None
    assert list(report.unread) == ["`extra.token_scores` (a list of objects with the keys piece, logprob)"]


def _text(place, finish=None, **options):
    choice = {"index": 0, "text": TOKENS[place], "logprobs": _arrays(place), "finish_reason": finish}
    return {"id": "t", "object": "text_completion", "choices": [{**choice, **options}]}


def _sglang(place, *, texts, lists):
    said = "".join(TOKENS[: place + 1]) if texts else TOKENS[place]
    listed = {name: values[: place + 1] if lists else [values[place]] for name, values in TRIPLES.items()}
    finish = {"type": "stop"} if place == 2 else None
    return {"text": said, "meta_info": {"id": "s", "finish_reason": finish, "completion_tokens": place + 1, **listed}}


def _watsonx(place):
    reason = "eos_token" if place == 2 else "not_finished"
    result = {"generated_text": TOKENS[place], "stop_reason": reason, "generated_tokens": [TOKEN_LIST[place]]}
    return {"model_id": "m", "created_at": "2026-01-01T00:00:00Z", "results": [result]}


COHERE_EVENTS = [
    {"type": "message-start", "id": "z", "delta": {"message": {"role": "assistant"}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    *(
        {
            "type": "content-delta",
            "index": 0,
            "delta": {"message": {"content": {"text": TOKENS[i]}}},
            "logprobs": COHERE[i],
        }
        for i in range(3)
    ),
    {"type": "content-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"output_tokens": 3}}}},
]


def _langchain(place=None):
    metadata = {"finish_reason": "stop"} if place is None else {"logprobs": {"content": [TOKEN_LIST[place]]}}
    said = "" if place is None else TOKENS[place]
    return {"type": "AIMessageChunk", "content": said, "id": "run-1", "response_metadata": metadata}


NATIVE = {
    "SGLang, all pieces": ([_sglang(i, texts=False, lists=False) for i in range(3)], 2),
    "SGLang, all wholes": ([_sglang(i, texts=True, lists=True) for i in range(3)], 2),
    "SGLang, texts grow": ([_sglang(i, texts=True, lists=False) for i in range(3)], 2),
    "SGLang, lists grow": ([_sglang(i, texts=False, lists=True) for i in range(3)], 2),
    "text completions": ([_text(0), _text(1, ""), _text(2, "stop")], 2),
    "text completions, content list": (
        [_text(i, "stop" if i == 2 else None, logprobs={"content": [TOKEN_LIST[i]]}) for i in range(3)],
        2,
    ),
    "Gemini": ([gemini(i) for i in range(3)], 2),
    "watsonx": ([_watsonx(i) for i in range(3)], 2),
    "Cohere": (COHERE_EVENTS, 0),
    "LangChain": ([*(_langchain(i) for i in range(3)), _langchain()], 2),
    "LangChain, as objects": (
        [
            {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessageChunk"], "kwargs": _langchain(i)}
            for i in (0, 1, 2, None)
        ],
        2,
    ),
}


@pytest.mark.parametrize("name", NATIVE)
def test_an_answer_of_every_protocol_is_one_trace(tmp_path, name):
    pieces, k = NATIVE[name]
    rows, report = rows_of(tmp_path, lines(pieces))
    assert (len(rows), report.n_bad, report.n_cut) == (1, 0, 0)
    check_row(rows[0], k=k)
    assert rows[0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", NATIVE)
def test_two_answers_after_each_other_are_two(tmp_path, name):
    pieces, _ = NATIVE[name]
    rows, report = rows_of(tmp_path, lines([*pieces, *pieces]))
    assert ([row["answer"] for row in rows], report.n_bad) == ([ANSWER, ANSWER], 0)


@pytest.mark.parametrize("name", [name for name in NATIVE if name != "text completions"])
def test_a_stream_that_breaks_off_says_so(tmp_path, name):
    pieces, _ = NATIVE[name]
    kept = [piece for piece in pieces[:-1] if piece.get("type") != "content-end"]
    rows, report = rows_of(tmp_path, lines(kept))
    assert (len(rows), rows[0]["finish_reason"], report.n_cut) == (1, None, 1)
    assert ANSWER.startswith(rows[0]["answer"])


def test_a_native_stream_of_llama_cpp_that_breaks_off_has_no_reason(tmp_path):
    pieces = [{"index": 0, "content": t, "stop": False, "tokens_predicted": i} for i, t in enumerate(TOKENS)]
    rows, report = rows_of(tmp_path, lines(pieces))
    assert (rows[0]["answer"], rows[0]["finish_reason"], report.n_cut) == (ANSWER, None, 1)


def test_answers_of_gemini_under_ids_of_their_own_may_be_interleaved(tmp_path):
    pieces = [gemini(i, responseId=name) for i in range(3) for name in "RS"]
    rows, _ = rows_of(tmp_path, lines(pieces))
    assert [row["trace_id"] for row in rows] == ["R", "S"]
    for row in rows:
        check_row(row)


def test_whole_answers_of_gemini_stay_apart(tmp_path):
    whole = gemini()
    whole["candidates"][0]["logprobsResult"] = GEMINI
    rows, _ = rows_of(tmp_path, lines([whole, gemini(responseId="S"), {**gemini(), "responseId": None}]))
    assert [row["answer"] for row in rows] == [ANSWER] * 3


EVENTS = [
    {"type": "response.created", "response": {"id": "r", "object": "response", "status": "in_progress", "output": []}},
    *(
        {
            "type": "response.output_text.delta",
            "item_id": "i",
            "content_index": 0,
            "delta": TOKENS[i],
            "logprobs": [TOKEN_LIST[i]],
        }
        for i in range(3)
    ),
]


@pytest.mark.parametrize("listed", [{}, {"logprobs": []}, {"logprobs": TOKEN_LIST}])
def test_log_probabilities_of_events_belong_to_the_completed_response(tmp_path, listed):
    content = [{"type": "output_text", "text": ANSWER, **listed}]
    output = [{"type": "message", "content": content}]
    whole = {"id": "r", "object": "response", "status": "completed", "output": output, "usage": {"output_tokens": 3}}
    rows, _ = rows_of(tmp_path, sse([*EVENTS, {"type": "response.completed", "response": whole}]), "t.sse")
    assert len(rows) == 1
    check_row(rows[0])


def test_an_end_without_output_closes_its_response(tmp_path):
    end = {"type": "response.completed", "response": {"id": "r", "object": "response", "status": "completed"}}
    _, report = rows_of(tmp_path, sse([EVENTS[0], end]), "t.sse")
    assert (report.n_bad, report.n_cut) == (0, 0)


def test_pieces_that_grow_by_chance_are_pieces_where_their_tokens_say_so(tmp_path):
    tokens = [{"token": piece, "logprob": -0.5} for piece in ("1", "10", "100")]
    chunks = [chunk(listed={"content": [token]}, delta={"content": token["token"]}) for token in tokens]
    rows, _ = rows_of(tmp_path, lines([start(), *chunks, chunk(finish="stop")]))
    assert rows[0]["answer"] == "110100"


def _shown(table):
    """Every value as text, so that NaN equals NaN."""
    return [repr(row) for row in table.to_pylist()]


FILES = sorted(path for path in WIRE.rglob("*") if path.suffix in {".jsonl", ".sse"} and "utf16" not in path.name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_quick_way_gives_what_the_plain_one_gives_on_every_file(path):
    quick, plain = read_traces(path), read_traces(path, keep=["top_tokens"])
    assert _shown(quick.read_all()) == _shown(plain.read_all().drop_columns("top_tokens"))
    assert quick.report.files[0] == plain.report.files[0]


@given(st.data())
@settings(max_examples=60)
def test_the_quick_way_gives_what_the_plain_one_gives_on_streams_of_every_make(tmp_path_factory, data):
    alternatives = st.lists(st.sampled_from([-0.5, -1.25, -9999.0, None, "-inf"]), max_size=3)
    tokens = st.builds(
        lambda text, value, row: {"token": text, "logprob": value, "top_logprobs": [{"logprob": v} for v in row]},
        st.sampled_from(["1", "10", "100", "a", None]),
        st.sampled_from([-0.5, -1.0, None]),
        alternatives,
    )
    pieces = data.draw(
        st.lists(st.tuples(st.sampled_from(["1", "10", "100", "a", ""]), st.lists(tokens, max_size=3)), max_size=5)
    )
    chunks = [
        start(),
        *(chunk(listed={"content": listed} if listed else None, delta={"content": said}) for said, listed in pieces),
        chunk(finish="stop"),
    ]
    file = tmp_path_factory.mktemp("t") / "t.jsonl"
    file.write_text(lines(chunks))
    quick, plain = read_traces(file), read_traces(file, keep=["top_tokens"])
    assert _shown(quick.read_all()) == _shown(plain.read_all().drop_columns("top_tokens"))
    assert quick.report.n_damaged == plain.report.n_damaged
