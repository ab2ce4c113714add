"""Streams of servers that run models themselves, and pieces in forms that are seldom seen."""

import json

import pytest

from nilometer.traces import read_traces


def _read(tmp_path, lines):
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    stream = read_traces(file, keep=["top_tokens"])
    return stream.read_all().to_pylist(), stream.report


def _tgi(text, logprob, *, top=(), special=False, whole=None, details=None):
    token = {"id": 1, "text": text, "logprob": logprob, "special": special}
    listed = [{"id": 2, "text": name, "logprob": value, "special": False} for name, value in top]
    return {"token": token, "top_tokens": listed, "generated_text": whole, "details": details}


def test_a_stream_of_tgi_is_joined(tmp_path):
    lines = [
        _tgi("4", -0.1, top=[("4", -0.1), ("5", -2.5)]),
        _tgi(" ok", -0.2, top=[(" ok", -0.2), (" no", -2.0)]),
        _tgi("</s>", -0.3, top=[("</s>", -0.3), ("x", -3.0)], special=True, whole="4 ok", details=_DETAILS),
    ]
    (row, again), report = _read(tmp_path, lines * 2)
    assert (report.files[0].format, report.n_bad) == ("tgi", 0)
    assert (row["answer"], row["finish_reason"]) == ("4 ok", "stop")
    assert row["chosen_logprobs"] == pytest.approx([-0.1, -0.2, -0.3])
    assert row["top_tokens"] == ["4", "5", " ok", " no", "</s>", "x"]
    assert again["answer"] == "4 ok"


_DETAILS = {"finish_reason": "eos_token", "generated_tokens": 3}


def test_a_stream_of_tgi_without_alternatives_that_breaks_off_is_cut(tmp_path):
    (row,), report = _read(tmp_path, [_tgi("4", -0.1), _tgi("2", -0.2)])
    assert (row["answer"], row["finish_reason"], report.n_cut) == ("42", None, 1)
    assert row["chosen_logprobs"] == pytest.approx([-0.1, -0.2])


def _chunk(delta, *, finish=None, logprobs=None, id="a", **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs, **more}
    return {"id": id, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def test_a_refusal_that_comes_in_pieces_is_the_answer(tmp_path):
    lines = [
        _chunk({"role": "assistant", "content": None}),
        _chunk({"refusal": "I can"}),
        _chunk({"refusal": "not."}),
        _chunk({}, finish="stop"),
    ]
    (row,), _ = _read(tmp_path, lines)
    assert row["answer"] == "I cannot."


def test_content_that_comes_as_parts_is_spelled(tmp_path):
    parts = [[{"type": "text", "text": "4"}, {"type": "image"}], [{"type": "text", "text": "2"}]]
    lines = [_chunk({"role": "assistant", "content": ""}), *(_chunk({"content": part}) for part in parts)]
    (row,), _ = _read(tmp_path, [*lines, _chunk({}, finish="stop")])
    assert row["answer"] == "42"


def test_log_probabilities_written_as_a_text_are_read(tmp_path):
    token = {"token": "4", "logprob": -0.5, "top_logprobs": [{"token": "4", "logprob": -0.5}]}
    written = json.dumps({"content": [token]})
    (row,), _ = _read(tmp_path, [_chunk({"content": "4"}, logprobs=written), _chunk({}, finish="stop")])
    assert row["chosen_logprobs"] == pytest.approx([-0.5])


def test_a_piece_whose_text_is_no_text_damages_its_answer(tmp_path):
    line = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "response": "4", "done": False}
    rows, report = _read(tmp_path, [line, {**line, "response": 4}, {**line, "response": "", "done": True}])
    assert (rows, report.n_damaged) == ([], 1)
    assert "t.jsonl:2: " in report.bad_lines[0]
    assert "the text of a piece must be a text, got 4" in report.bad_lines[0]


def test_a_piece_without_a_list_leaves_room_for_its_tokens(tmp_path):
    def piece(text, logprobs):
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": None}
        return {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}

    lists = {"tokens": ["4"], "token_logprobs": [-0.1], "top_logprobs": [{"4": -0.1}], "text_offset": [0]}
    short = {"tokens": ["2", "!"], "token_logprobs": [-0.2, -0.4], "top_logprobs": None, "text_offset": [1, 2]}
    end = piece("", None)
    end["choices"][0]["finish_reason"] = "stop"
    (row,), _ = _read(tmp_path, [piece("4", lists), piece("2!", short), end])
    assert row["tokens"] == ["4", "2", "!"]
    assert row["chosen_logprobs"] == pytest.approx([-0.1, -0.2, -0.4])


def test_a_last_piece_that_repeats_all_lists_is_the_whole(tmp_path):
    def token(text):
        return {"token": text, "logprob": -0.5, "top_logprobs": [{"token": text, "logprob": -0.5}]}

    pieces = [_chunk({"content": text}, logprobs={"content": [token(text)]}) for text in "42!"]  # commas with spaces
    last = _chunk({"content": "42!"}, logprobs={"content": [token(text) for text in "42!"]}, finish="stop")
    (row,), _ = _read(tmp_path, [*pieces, last])
    assert (row["answer"], len(row["chosen_logprobs"])) == ("42!", 3)


def test_a_last_piece_that_repeats_all_lists_more_tightly_is_the_whole(tmp_path):
    def piece(text, numbers, finish=None):
        lists = {"tokens": list(text), "token_logprobs": numbers, "top_logprobs": None, "text_offset": [0] * len(text)}
        choice = {"index": 0, "text": text, "logprobs": lists, "finish_reason": finish}
        return {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}

    pieces = [json.dumps(piece("42", [-0.1, -0.2])), json.dumps(piece("7!", [-0.3, -0.4]))]
    last = json.dumps(piece("427!", [-0.1, -0.2, -0.3, -0.4], finish="stop"), separators=(",", ":"))
    (tmp_path / "t.jsonl").write_text("\n".join([*pieces, last]), encoding="utf-8")
    (row,) = read_traces(tmp_path / "t.jsonl").read_all().to_pylist()
    assert (row["answer"], len(row["chosen_logprobs"])) == ("427!", 4)


def test_a_response_whose_first_event_is_lost_is_read_from_its_texts(tmp_path):
    delta = {"type": "response.output_text.delta", "item_id": "i", "content_index": 0}
    lines = [{**delta, "delta": "4"}, {**delta, "delta": "2"}]
    (row,), report = _read(tmp_path, lines)
    assert (row["answer"], report.n_cut) == ("42", 1)


def test_a_response_whose_last_event_holds_no_output_is_read_from_its_texts(tmp_path):
    head = {"id": "r", "object": "response", "model": "m", "status": "in_progress", "output": []}
    delta = {"type": "response.output_text.delta", "item_id": "i", "content_index": 0}
    logprobs = [{"token": "42", "logprob": -0.5, "top_logprobs": []}]
    lines = [
        {"type": "response.created", "response": head},
        {**delta, "delta": "42", "logprobs": logprobs},
        {"type": "response.completed", "response": {**head, "status": "completed"}},
    ]
    (row,), _ = _read(tmp_path, lines)
    assert row["answer"] == "42"
    assert row["chosen_logprobs"] == pytest.approx([-0.5])


def test_a_response_that_begins_and_says_nothing_is_skipped(tmp_path):
    head = {"id": "r", "object": "response", "model": "m", "status": "in_progress", "output": []}
    rows, report = _read(tmp_path, [{"type": "response.created", "response": head}])
    assert (rows, report.n_skipped) == ([], 1)


def test_many_streams_that_never_end_do_not_pile_up(tmp_path, monkeypatch):
    monkeypatch.setattr("nilometer.traces.streams.joiner._KEPT_OPEN", 10)
    lines = [_chunk({"role": "assistant", "content": str(i)}, id=f"s{i}") for i in range(50)]
    rows, report = _read(tmp_path, lines)
    assert len(rows) == report.n_cut == 50
