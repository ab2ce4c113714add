"""Responses in envelopes: found where they are usual, named with ``at`` elsewhere, rows read by their columns."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.traces import Layout, read_traces

TOKEN = {
    "token": " 4",
    "logprob": -0.1,
    "top_logprobs": [{"token": " 4", "logprob": -0.1}, {"token": "5", "logprob": -3}],
}
CHAT = {
    "id": "chat-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"content": "4"}, "logprobs": {"content": [TOKEN]}, "finish_reason": "stop"}],
}


def _read(tmp_path, *lines, name="t.jsonl", **options):
    file = tmp_path / name
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    stream = read_traces(file, **options)
    return stream.read_all(), stream.report


@pytest.mark.parametrize(
    "envelope",
    [
        lambda reply: {"response": reply},
        lambda reply: {"response": {"status_code": 200, "body": reply}},
        lambda reply: {"raw_response": json.dumps(reply)},
        lambda reply: {"data": [reply]},
        lambda reply: {"responses": [{"response": reply}]},
        lambda reply: {"outputs": reply},
        lambda reply: {"results": {"results": [{"output": reply}]}},
        lambda reply: {"q-1": reply},
        lambda reply: json.dumps(reply),
        lambda reply: [reply],
    ],
)
def test_usual_envelopes_are_opened(tmp_path, envelope):
    table, report = _read(tmp_path, envelope(CHAT), envelope(CHAT))
    assert report.n_bad == 0
    assert table["answer"].to_pylist() == ["4", "4"]
    assert [len(row) for row in table["chosen_logprobs"].to_pylist()] == [1, 1]


def test_what_stands_beside_a_response_is_kept(tmp_path):
    line = {"question": "2+2?", "tenant": "a", "raw_response": CHAT, "correct": True}
    table, _ = _read(tmp_path, line)
    assert table["prompt"].to_pylist() == ["2+2?"]
    assert dict(table["attributes"][0].as_py()) == {"tenant": "a"}
    assert table["correct"].to_pylist() == [1.0]


def test_an_export_keyed_by_id_names_its_responses(tmp_path):
    table, _ = _read(tmp_path, {"q-1": CHAT, "q-2": CHAT})
    assert table["trace_id"].to_pylist() == ["q-1", "q-2"]


def test_responses_of_one_list_get_ids_of_their_own(tmp_path):
    bare = {key: value for key, value in CHAT.items() if key != "id"}
    table, _ = _read(tmp_path, {"trace_id": "shared", "data": [bare, bare]})
    assert table["trace_id"].to_pylist() == ["t.jsonl:1.0", "t.jsonl:1.1"]


def test_an_unusual_place_is_proposed_and_read_with_at(tmp_path):
    line = {"call": {"reply": CHAT}, "tenant": "a"}
    _, report = _read(tmp_path, line)
    assert "no known format has these keys: call, tenant. A response stands at `call.reply`" in report.bad_lines[0]
    assert "give `--at call.reply`." in report.bad_lines[0]
    table, report = _read(tmp_path, line, format=Layout(at="call.reply"))
    assert (len(table), report.n_bad) == (1, 0)
    assert dict(table["attributes"][0].as_py()) == {"tenant": "a"}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("$.calls[*].reply", {"calls": [{"reply": CHAT}, {"reply": CHAT}]}),
        ("calls.reply", {"calls": [{"reply": CHAT}, {"reply": CHAT}]}),
        ("calls['a b'].x", {"calls": {"a b": {"x": json.dumps([CHAT, CHAT])}}}),
        ("llm.output", {"llm.output": {"answers": 0, "data": [CHAT, CHAT]}}),
    ],
)
def test_paths_cross_lists_text_and_dotted_keys(tmp_path, path, line):
    table, report = _read(tmp_path, line, format=Layout(at=path))
    assert (len(table), report.n_bad) == (2, 0)


def test_one_place_of_a_list_can_be_named(tmp_path):
    second = {**CHAT, "id": "chat-2"}
    table, _ = _read(tmp_path, {"calls": [CHAT, second]}, format=Layout(at="calls[1]"))
    assert table["trace_id"].to_pylist() == ["chat-2"]


def test_a_place_without_a_response_says_what_is_there(tmp_path):
    _, report = _read(tmp_path, {"call": {"a": 1}}, format=Layout(at="call"))
    assert "`--at` leads to no response: no known format has these keys: a." in report.bad_lines[0]
    _, report = _read(tmp_path, CHAT, format=Layout(at="call[7].x"))
    assert "`--at` leads to no response: nothing of that kind is there." in report.bad_lines[0]


@pytest.mark.parametrize("path", ["", "$", "a[", "a..b"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ConfigError, match="`--at` must be a JSON path"):
        Layout(columns={"answer": path})


@pytest.mark.parametrize(
    "line",
    [
        {"error": {"message": "no"}},
        {"custom_id": "q", "response": None, "error": {"code": "expired"}},
        {"custom_id": "q", "response": {"status_code": 400, "body": {"error": {"message": "no"}}}},
        {"request": {}, "response": {}, "status": "Failed"},
        {"type": "ping"},
        {"choices": [], "usage": {"completion_tokens": 3}},
        {"object": "error", "message": "no"},
    ],
)
def test_lines_without_a_response_by_design_are_skipped(tmp_path, line):
    table, report = _read(tmp_path, CHAT, line)
    assert (len(table), report.n_bad, report.n_skipped) == (1, 0, 1)


def test_messages_show_keys_and_not_content(tmp_path):
    _, report = _read(tmp_path, {"secret\x1b[31m": "x" * 5000, "b" * 100: 1})
    (message,) = report.bad_lines
    assert "\x1b" not in message
    assert len(message) < 250


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("ChatCompletion(id='x', choices=[])", "It is a Python repr: write `response.model_dump_json()`"),
        ("{'id': 'x', 'choices': []}", "It is a printed Python dict: write `json.dumps(...)` instead."),
    ],
)
def test_printed_python_objects_are_named(tmp_path, text, cure):
    file = tmp_path / "t.txt"
    file.write_text(text + "\n")
    stream = read_traces(file)
    stream.read_all()
    assert cure in stream.report.bad_lines[0]


ROW = {
    "output": "4",
    "meta": json.dumps({"lp": {"content": [TOKEN]}}),
    "conversation": [{"role": "user", "content": "2+2?"}],
    "team": "a",
    "ok": 1,
    "when": 1_700_000_000_000,
}
COLUMNS = {
    "answer": "output",
    "logprobs": "meta.lp",
    "prompt": "conversation",
    "team": "team",
    "correct": "ok",
    "time": "when",
}


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_rows_are_read_by_their_columns(tmp_path, kind):
    file = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([ROW]), file)
    elif kind == "csv":
        cells = [value if isinstance(value, str) else json.dumps(value) for value in ROW.values()]
        quoted = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
        file.write_text(",".join(ROW) + "\n" + quoted + "\n")
    else:
        file.write_text(json.dumps(ROW) + "\n")
    row = read_traces(file, format=Layout(columns=COLUMNS)).read_all().to_pylist()[0]
    assert (row["answer"], row["prompt"], row["correct"], row["k"]) == ("4", "2+2?", 1.0, 2)
    assert row["chosen_logprobs"] == pytest.approx([-0.1])
    assert row["time"].year == 2023
    assert dict(row["attributes"]) == {"team": "a"}


def test_numbers_alone_are_chosen_log_probabilities(tmp_path):
    line = {"text": "4!", "lp": [-0.1, -0.2], "best": [[-0.1, -3.0], [-0.2, -2.0]]}
    layout = Layout(columns={"answer": "text", "logprobs": "lp", "top_logprobs": "best"})
    row = _read(tmp_path, line, format=layout)[0].to_pylist()[0]
    assert row["chosen_logprobs"] == pytest.approx([-0.1, -0.2])
    assert row["top_logprobs"] == pytest.approx([-0.1, -3.0, -0.2, -2.0])


def test_a_column_of_whole_responses_is_read_with_at(tmp_path):
    pq.write_table(pa.table({"n": [1], "reply": [json.dumps(CHAT)]}), tmp_path / "rows.parquet")
    table = read_traces(tmp_path / "rows.parquet", format=Layout(at="reply")).read_all()
    assert table["trace_id"].to_pylist() == ["chat-1"]


def test_tables_of_others_are_refused_with_a_proposal(tmp_path):
    (tmp_path / "rows.csv").write_text("question,model_answer,token_logprobs\n1,2,3\n")
    with pytest.raises(TraceFormatError, match="`--columns answer=model_answer,logprobs=token_logprobs`"):
        read_traces(tmp_path / "rows.csv").read_all()
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(TraceFormatError, match="not a readable Parquet file"):
        read_traces(tmp_path / "rows.parquet").read_all()


def test_columns_that_lead_nowhere_or_to_no_shape_cost_their_line(tmp_path):
    _, report = _read(tmp_path, {"a": 1}, format=Layout(columns={"answer": "b"}))
    assert "nothing stands where `--columns` points; the keys are a." in report.bad_lines[0]
    _, report = _read(tmp_path, {"b": "4", "c": "high"}, format=Layout(columns={"answer": "b", "logprobs": "c"}))
    assert "`logprobs` must have a shape that a server lists, got 'high'." in report.bad_lines[0]


def test_layouts_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="`--columns` must name at least `answer` or `logprobs`, got model"):
        Layout(columns={"model": "m"})
    with pytest.raises(ConfigError, match="`columns` must be given without `format`"):
        Layout(format="plain", columns={"answer": "a"})
