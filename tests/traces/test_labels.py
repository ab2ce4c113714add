import gzip
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nilometer.errors import TraceFormatError
from nilometer.traces import LABEL_SCHEMA, LabelReport, join_labels, parse_correct, read_labels


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", "YES", "Correct", "pass", "right", "good", "thumbs up", "👍"])
def test_every_usual_yes_is_one(value):
    assert parse_correct(value) == 1.0


@pytest.mark.parametrize("value", [False, 0, "0", "No", "incorrect", "FAIL", "wrong", "bad", "thumbs-down", "👎"])
def test_every_usual_no_is_zero(value):
    assert parse_correct(value) == 0.0


@pytest.mark.parametrize("value", [None, "", " ", "null", float("nan"), "n/a", "-"])
def test_no_verdict_is_none(value):
    assert parse_correct(value) is None


@pytest.mark.parametrize("value", ["85%", 85, "85", -1, float("inf")])
def test_percentages_and_other_numbers_are_refused_with_the_cure(value):
    with pytest.raises(TraceFormatError, match="got"):
        parse_correct(value)


def test_percentages_name_the_cure():
    with pytest.raises(TraceFormatError, match=r"got '85%'\. Divide percentages by 100"):
        parse_correct("85%")


ROWS = [{"trace_id": "a", "correct": 1.0}, {"trace_id": "b", "correct": 0.0}]


def _write(tmp_path, kind):
    path = tmp_path / f"labels.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif kind == "jsonl":
        path.write_text('{"trace_id": "a", "passed": true}\n\n{"trace_id": "b", "passed": "no"}\n')
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(b"trace_id,label\na,yes\nb,no\n"))
    else:
        path.write_text("trace_id\tscore\na\t1\nb\t0\n")
    return path


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv.gz", "tsv"])
def test_every_kind_of_file_gives_the_same_labels(tmp_path, kind):
    labels = read_labels(_write(tmp_path, kind))
    assert labels.schema == LABEL_SCHEMA
    assert labels.select(["trace_id", "correct"]).to_pylist() == ROWS


def test_source_time_and_a_named_key_are_kept(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("prompt_id,correct,source,time\np,1,human,2026-01-02T03:04:05Z\n")
    row = read_labels(path, key="prompt_id").to_pylist()[0]
    assert (row["trace_id"], row["source"], row["time"].hour) == ("p", "human", 3)


def test_bad_rows_are_counted_with_file_and_line(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("trace_id,correct\na,1\nb,perhaps\n,1\nc,\n")
    report = LabelReport()
    assert read_labels(path, report=report).num_rows == 1
    assert (report.n_labels, report.n_bad) == (1, 2)
    assert report.bad_lines[0].startswith(f"{path}:3: a label must be")


def test_without_a_report_the_first_bad_row_raises(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"trace_id": "a", "correct": 1}\n{"trace_id": "b", "corr\n')
    with pytest.raises(TraceFormatError, match=r"labels\.jsonl:2: not a JSON object"):
        read_labels(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,correct\na,1\n", "column `trace_id` is missing; the columns are id, correct"),
        ("trace_id,verdict\na,1\n", "must be named one of correct, label"),
        ("", "the file is empty"),
    ],
)
def test_files_that_hold_no_labels_say_what_is_missing(tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(TraceFormatError, match=message):
        read_labels(path)


def test_last_in_time_wins_and_conflicts_are_counted():
    times = pa.array([3_000_000, 1_000_000, None, None], pa.timestamp("us", tz="UTC"))
    labels = pa.table({"trace_id": ["a", "a", "b", "b"], "correct": [1.0, 0.0, 1.0, 1.0], "time": times})
    correct, report = join_labels(pa.array(["b", "a"]), labels)
    assert correct.tolist() == [1.0, 1.0]
    assert (report.n_duplicates, report.n_conflicts) == (2, 1)


def test_without_times_the_last_row_wins():
    labels = pa.table({"trace_id": ["a", "a"], "correct": [1.0, 0.0]})
    assert join_labels(pa.array(["a"]), labels)[0].tolist() == [0.0]


def test_unmatched_labels_are_counted_with_examples():
    labels = pa.table({"trace_id": [f"z{i}" for i in range(9)] + ["a"], "correct": [1.0] * 10})
    correct, report = join_labels(pa.chunked_array([["a", None], ["c"]]), labels)
    assert np.isnan(correct).tolist() == [False, True, True]
    assert (report.n_matched, report.n_unmatched, report.unmatched) == (1, 9, ["z0", "z1", "z2", "z3", "z4"])


def test_no_labels_leave_every_trace_unlabelled():
    correct, report = join_labels(pa.array(["a"]), LABEL_SCHEMA.empty_table())
    assert np.isnan(correct).all()
    assert report == LabelReport()


def _file(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    report = LabelReport()
    return read_labels(path, report=report), report


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_whatever_ends_the_lines_every_row_is_read(tmp_path, end):
    labels, report = _file(tmp_path, end.join(["trace_id,correct", "a,1", "b,0", ""]))
    assert (labels["trace_id"].to_pylist(), report.n_bad) == (["a", "b"], 0)


def test_a_quote_that_is_not_closed_costs_its_row(tmp_path):
    labels, report = _file(tmp_path, 'trace_id,correct\ng0,1\n"g1,0\ng2,1\ng3,1\n')
    assert labels["trace_id"].to_pylist() == ["g0", "g2", "g3"]
    assert report.n_bad == 1
    assert ":3: a quote is not closed" in report.bad_lines[0]
    labels, report = _file(tmp_path, 'trace_id,correct\n"g1,0\n' + "g,1\n" * 1500 + '"z",1\n')
    assert (labels.num_rows, report.n_bad) == (1501, 1)


def test_a_field_of_any_length_and_one_over_lines_are_read(tmp_path):
    labels, _ = _file(tmp_path, f'trace_id,correct,answer\na,1,{"x" * 200_000}\nb,0,"two\nlines, ""quoted"""\n')
    assert labels["correct"].to_pylist() == [1.0, 0.0]


def test_rows_may_name_their_label_differently(tmp_path):
    text = '{"trace_id":"a","score":0.5}\n{"trace_id":"b","correct":true}\n{"trace_id":"c","label":"good"}\n'
    assert _file(tmp_path, text, "l.jsonl")[0]["correct"].to_pylist() == [0.5, 1.0, 1.0]


def test_rows_of_another_length_are_bad(tmp_path):
    labels, report = _file(tmp_path, "trace_id,correct\na\nb,1,extra\nc,1,\n")
    assert (labels["trace_id"].to_pylist(), report.n_bad) == (["c"], 2)


def test_rows_without_a_verdict_are_counted(tmp_path):
    assert _file(tmp_path, "trace_id,correct\na,\nb,1\n")[1].n_empty == 1


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(TraceFormatError, match="two columns are named `correct`"):
        _file(tmp_path, "trace_id,correct,correct\na,1,0\n")


@pytest.mark.parametrize(
    "row",
    [
        '{"trace_id":"a","correct":' + "9" * 400 + "}",
        '{"trace_id":"a","correct":' + "[" * 100_000,
        '{"trace_id":"a","correct":[1]}',
        '{"trace_id":{"a":1},"correct":1}',
        '{"trace_id":true,"correct":1}',
        '{"trace_id":' + "9" * 400 + ',"correct":1}',
        '{"trace_id":"a","correct":1,"time":1e300}',
        '{"trace_id":"\\ud800","correct":1}',
    ],
)
def test_a_row_of_any_shape_costs_itself_alone(tmp_path, row):
    labels, report = _file(tmp_path, f'{{"trace_id":"g","correct":1}}\n{row}\n', "l.jsonl")
    assert (labels["trace_id"].to_pylist(), report.n_bad) == (["g"], 1)


def test_times_in_any_unit_are_the_same_moment(tmp_path):
    rows = [f'{{"trace_id":"{i}","correct":1,"time":{1_700_000_000 * 1000**i}}}' for i in range(4)]
    labels, _ = _file(tmp_path, "\n".join(rows), "l.jsonl")
    assert {moment.year for moment in labels["time"].to_pylist()} == {2023}


def test_a_parquet_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "l.parquet").write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(TraceFormatError, match="not a readable label file"):
        read_labels(tmp_path / "l.parquet")


@pytest.mark.slow
def test_a_million_labels_join_in_seconds():
    ids = pa.array([f"id-{i}" for i in range(1_000_000)])
    labels = pa.table({"trace_id": ids, "correct": np.ones(1_000_000, np.float32)})
    start = time.perf_counter()
    assert join_labels(ids, labels)[0].sum() == 1_000_000
    assert time.perf_counter() - start < 10


def test_a_parquet_file_with_a_column_twice_is_refused_by_its_rule(tmp_path):
    path = tmp_path / "labels.parquet"
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array([1.0]), pa.array([0.0])], ["trace_id", "correct", "correct"]
    )
    pq.write_table(table, path)
    with pytest.raises(TraceFormatError, match="`correct`") as refused:
        read_labels(path)
    assert "not a readable label file" not in str(refused.value)
