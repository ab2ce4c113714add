"""Labels as annotation tools export them."""

import json

import pytest

from nilometer.errors import TraceFormatError
from nilometer.traces import LabelReport, read_labels


def _task(name, *verdicts, control="verdict", cancelled=False, more=()):
    annotations = [
        {
            "id": i,
            "completed_by": 1,
            "was_cancelled": cancelled,
            "created_at": "2026-09-20T08:00:00.000000Z",
            "updated_at": f"2026-09-2{i}T08:00:00.000000Z",
            "result": [
                {
                    "from_name": control,
                    "to_name": "answer",
                    "type": "choices",
                    "origin": "manual",
                    "value": {"choices": [word]},
                },
                *more,
            ],
        }
        for i, word in enumerate(verdicts)
    ]
    return {"id": 7, "data": {"trace_id": name, "answer": "4"}, "annotations": annotations, "predictions": []}


def _record(name, **responses):
    given = {question: [{"value": word, "user_id": "u"} for word in words] for question, words in responses.items()}
    return {
        "id": "0b",
        "fields": {"answer": "4"},
        "metadata": {"trace_id": name},
        "suggestions": {},
        "responses": given,
    }


def _read(path, rows, *, lines=False):
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows, indent=1))
    report = LabelReport()
    table = read_labels(path, report=report)
    return list(zip(table["trace_id"].to_pylist(), table["correct"].to_pylist(), strict=True)), report


def test_label_studio_json_gives_one_label_for_each_annotation(tmp_path):
    rows = [_task("a", "Correct"), _task("b", "wrong", "correct"), _task("c", "Correct", cancelled=True)]
    found, _ = _read(tmp_path / "project.json", rows)
    assert found == [("a", 1.0), ("b", 0.0), ("b", 1.0)]
    assert str(read_labels(tmp_path / "project.json")["time"][2])[:10] == "2026-09-21"


def test_label_studio_short_json_is_flat_rows(tmp_path):
    rows = [{"trace_id": "a", "answer": "4", "correct": "yes", "annotator": 1, "annotation_id": 3, "id": 9}]
    assert _read(tmp_path / "min.json", rows)[0] == [("a", 1.0)]


@pytest.mark.parametrize("lines", [False, True])
def test_argilla_records_give_one_label_for_each_response(tmp_path, lines):
    rows = [_record("a", verdict=["correct"]), _record("b", label=["no", "yes"], comment=["hm"]), _record("c")]
    assert _read(tmp_path / "records.json", rows, lines=lines)[0] == [("a", 1.0), ("b", 0.0), ("b", 1.0)]


def test_of_several_controls_the_label_must_be_named(tmp_path):
    other = {"from_name": "language", "type": "choices", "value": {"choices": ["en"]}}
    found, report = _read(
        tmp_path / "p.json", [_task("a", "yes", more=[other]), _task("b", "yes", control="correct", more=[other])]
    )
    assert found == [("b", 1.0)]
    assert "p.json:1: one of language, verdict must be named correct to be the label." in report.bad_lines[0]


def test_a_list_that_is_no_json_is_named(tmp_path):
    (tmp_path / "p.json").write_text('[{"a": 1},')
    with pytest.raises(TraceFormatError, match=r"p.json: not a JSON list of objects"):
        read_labels(tmp_path / "p.json")


@pytest.mark.parametrize(
    "row",
    [
        {"data": {"trace_id": "a"}, "annotations": ["x"]},
        {"data": {"trace_id": "a"}, "annotations": [{"result": [{"from_name": "v", "type": ["x"], "value": {}}]}]},
        {"fields": {}, "metadata": "x", "responses": {"verdict": [{"value": "yes"}]}},
    ],
    ids=["annotation", "type", "metadata"],
)
def test_a_field_of_another_type_costs_its_row(tmp_path, row):
    found, report = _read(tmp_path / "p.json", [row, _task("b", "yes")])
    assert found == [("b", 1.0)]
    assert "p.json:1: the row must be as Label Studio or Argilla exports it" in report.bad_lines[0]
