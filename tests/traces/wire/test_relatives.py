"""Relatives of the cases: other combinations of envelope, object and file, the numbers compared by hand."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wire_shapes import (
    ANSWER,
    CHOSEN,
    CONTENT,
    LISTED,
    TOKEN_LIST,
    TOKENS,
    TRIPLES,
    chat,
    check_row,
    lines,
    one_of,
    rows_of,
    sse,
    stream,
    text,
)


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize(("envelope", "finish"), [(chat, "stop"), (text, "length")], ids=["chat", "text"])
def test_every_object_is_read_under_every_kind_of_completion(tmp_path, name, envelope, finish):
    row = one_of(tmp_path, lines([envelope(LISTED[name])]))
    check_row(row)
    assert row["finish_reason"] == finish


PLACES = {
    "beside the choices": chat(None, completion_probabilities=TOKEN_LIST),
    "in the choice under another name": chat(None, choice={"completion_probabilities": TOKEN_LIST}),
    "in the message": chat(None, choice={"message": {"content": ANSWER, "logprobs": CONTENT}}),
    "in the message, beside an empty list": chat([], choice={"message": {"content": ANSWER, "logprobs": CONTENT}}),
    "as triples in the choice": chat(None, choice={"meta_info": TRIPLES}),
    "as arrays in the choice": chat(None, choice=LISTED["arrays"]),
    "as JSON text": chat(json.dumps(CONTENT)),
    "as JSON text one level down": chat({"content": json.dumps(TOKEN_LIST)}),
}


@pytest.mark.parametrize("place", PLACES)
def test_log_probabilities_are_found_wherever_they_stand(tmp_path, place):
    check_row(one_of(tmp_path, lines([PLACES[place]])))


ENVELOPES = {
    "batch": {"custom_id": "c1", "response": {"status_code": 200, "body": chat()}, "error": None},
    "list": {"object": "list", "data": [chat()]},
    "JSON text in an object": {"response": {"body": json.dumps(chat())}},
    "JSON text of JSON text": json.dumps(json.dumps(chat())),
    "list of JSON texts": [json.dumps(chat())],
    "results of responses": {"results": [{"response": chat()}]},
    "keyed by id": {"q1": chat()},
    "keyed by id, in an envelope": {"q1": {"request": {"messages": []}, "response": chat()}},
    "result of a batch": {"custom_id": "x", "result": {"type": "succeeded", "message": chat()}},
    "records": {"records": [{"response": chat()}]},
    "items": {"items": [chat()]},
    "a log of Bedrock": {
        "schemaType": "ModelInvocationLog",
        "output": {"outputBodyJson": chat(), "outputTokenCount": 3},
    },
    "a stream as one text": {"request_id": "q", "response": sse(stream())},
    "a list of chunks": {"chunks": stream()},
    "an array of chunks": stream(),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_response_is_found_in_every_envelope(tmp_path, name):
    row = one_of(tmp_path, lines([ENVELOPES[name]]))
    check_row(row)
    assert row["finish_reason"] == "stop"


WHOLE, OTHER_WHOLE = json.dumps(chat()), json.dumps(text(), indent=2)
FILES = {
    "documents one after the other": json.dumps(chat(), indent=2) + "\n" + OTHER_WHOLE + "\n",
    "documents without a line feed between": json.dumps(chat(), indent=2) + OTHER_WHOLE,
    "a document between lines": f"{WHOLE}\n{OTHER_WHOLE}\n",
    "a line after a document": f"{OTHER_WHOLE}\n{WHOLE}\n",
    "blank lines between": f"{OTHER_WHOLE}\n\n\n{WHOLE}\n",
    "carriage returns alone": f"{WHOLE}\r{json.dumps(text())}\r",
    "two objects in a line": f"{WHOLE}{json.dumps(text())}\n",
    "commas between lines": f"{WHOLE},\n{json.dumps(text())}\n",
    "a JSON text sequence": f"\x1e{WHOLE}\n\x1e{json.dumps(text())}\n",
    "lists in a list": json.dumps([[chat()], [text()]], indent=1),
}


@pytest.mark.parametrize("name", FILES)
def test_two_responses_are_read_however_they_follow_each_other(tmp_path, name):
    rows, report = rows_of(tmp_path, FILES[name], "t.json")
    assert (len(rows), report.n_bad) == (2, 0)
    for row in rows:
        check_row(row)


def test_what_begins_like_a_document_and_is_none_costs_its_own_lines(tmp_path):
    rows, report = rows_of(tmp_path, f'{WHOLE}\n{{\n "answer": 1,\n{WHOLE}\n{{\n}}\n{WHOLE}\n{{\n')
    assert (len(rows), report.n_bad, report.n_skipped) == (3, 4, 0)


def test_objects_in_a_line_count_one_byone_of(tmp_path):
    rows, report = rows_of(tmp_path, f'{WHOLE}{{"answer": 1}}{WHOLE}\n{WHOLE} and more\n')
    assert (len(rows), report.n_bad, report.files[0].n_lines) == (2, 2, 4)


@pytest.mark.parametrize("line", [{"object": "list", "data": []}, {"results": []}, {"data": [], "has_more": False}])
def test_an_empty_page_is_skipped(tmp_path, line):
    rows, report = rows_of(tmp_path, lines([line, chat()]))
    assert (len(rows), report.n_bad, report.n_skipped) == (1, 0, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"choices_text": 1, "log": {"entries": [{"content": json.dumps(chat())}]}}, "--at log.entries[*].content"),
        ({"generation": "4", "logprobs": [{"19": -0.1}]}, "stand at `logprobs` (a list of objects"),
        ({"said": "4"}, "Name the format with --format."),
    ],
)
def test_what_is_not_recognised_says_what_to_do(tmp_path, line, words):
    rows, report = rows_of(tmp_path, lines([line]))
    assert rows == []
    assert words in report.bad_lines[0]


def _table(path, columns):
    pq.write_table(pa.table(columns), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("columns", "layout", "k"),
    [
        ({"r": [WHOLE]}, {"at": "r"}, 2),
        ({"r": [WHOLE.encode()]}, {"at": "r"}, 2),
        ({"r": [json.dumps({"x": {"y": [chat()]}})]}, {"at": "r.x.y[0]"}, 2),
        ({"r": [{"choices": chat()["choices"]}]}, {"at": "r"}, 2),
        (
            {"o": [ANSWER], "l": [CHOSEN], "t": [TOKENS]},
            {"columns": {"answer": "o", "logprobs": "l", "tokens": "t"}},
            0,
        ),
        ({"o": [ANSWER], "l": [json.dumps(CONTENT)]}, {"columns": {"answer": "o", "logprobs": "l"}}, 2),
        ({"o": [ANSWER], "l": [TOKEN_LIST]}, {"columns": {"answer": "o", "logprobs": "l"}}, 2),
        ({"o": [ANSWER], "l": [json.dumps(LISTED["arrays"])]}, {"columns": {"answer": "o", "logprobs": "l"}}, 2),
    ],
    ids=["text", "bytes", "path", "struct", "numbers", "JSON objects", "objects", "JSON arrays"],
)
def test_tables_of_others_are_read_where_it_is_said(tmp_path, columns, layout, k):
    data = _table(tmp_path / "in.parquet", {"q": ["a"], **columns})
    check_row(one_of(tmp_path, data, "t.parquet", **layout), k=k)
