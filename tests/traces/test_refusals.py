"""Data that cannot be right is refused with its file, its line, and what was expected."""

import json
import os
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.traces import (
    Layout,
    Trace,
    index_slices,
    read_labels,
    read_traces,
    slice_names,
    trace_batch,
    write_traces,
)
from nilometer.traces.sources import archives, bytes as source_bytes, objects

OWN = {"trace_id": "a", "answer": "4"}
SCORED = {**OWN, "chosen_logprobs": [-0.1, -0.2]}
CHAT = {"id": "a", "object": "chat.completion", "model": "m"}
SGLANG = {"text": "4", "meta_info": {"id": "a"}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({**SCORED, "tokens": ["4", {}]}, "`tokens` must be a list of texts, got {} in it"),
        ({**SCORED, "temperature": "warm"}, "`temperature` must be a number, got 'warm'"),
        ({**SCORED, "temperature": True}, "`temperature` must be a number, got True"),
        ({**OWN, "n_tokens": "1.5"}, "`n_tokens` must be a whole number >= 0, got '1.5'"),
        ({**OWN, "chosen_logprobs": [[-0.1], [-0.2]]}, "`logprob` must be a number or null, got a list"),
        ({**OWN, "chosen_logprobs": "-0.1"}, "`chosen_logprobs` must be a list, got '-0.1'"),
        ({**SCORED, "top_logprobs": [-0.1, -0.2, -0.3]}, r"must hold tokens \* k values, got 3 for 2 tokens"),
        ({**CHAT, "choices": [{"index": "first", "message": {"content": "4"}}]}, "`index` must be a whole number"),
        (
            {
                **CHAT,
                "choices": [{"message": {"content": "4"}, "logprobs": {"content": [{"token": "4", "logprob": -1}, 4]}}],
            },
            "a token must be an object, got 4",
        ),
        (
            {"call_type": "completion", "id": "a", "model_parameters": {}, "status": "success"},
            "without a `response` object",
        ),
        ("4", "not a JSON object"),
    ],
)
def test_a_line_that_cannot_be_right_is_named_with_its_fault(tmp_path, line, reason):
    file = tmp_path / "t.jsonl"
    good = (
        CHAT | {"choices": [{"message": {"content": "4"}}]} if "choices" in line else SGLANG if "text" in line else OWN
    )
    good = {**line, "response": {**CHAT, "choices": [{"message": {"content": "4"}}]}} if "call_type" in line else good
    file.write_text(f"{json.dumps(good)}\n{json.dumps(line)}\n")
    with pytest.raises(TraceFormatError, match=rf"t\.jsonl:2: .*{reason}"):
        read_traces(file, strict=True).read_all()


def test_an_archive_without_samples_is_no_log(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.eval", "w") as archive:
        archive.writestr("header.json", "{}")
    with pytest.raises(TraceFormatError, match="an archive without samples"):
        read_traces(tmp_path / "t.eval").read_all()


def test_a_member_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LONGEST", 1000)
    with zipfile.ZipFile(tmp_path / "t.eval", "w") as archive:
        archive.writestr("samples/1_epoch_1.json", json.dumps({"id": "a", "note": "x" * 2000}))
    with pytest.raises(TraceFormatError, match="a member of an archive must be <= "):
        read_traces(tmp_path / "t.eval").read_all()


def test_a_document_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "LONGEST", 1000)
    (tmp_path / "t.json").write_text(json.dumps([{**OWN, "note": "x" * 20}] * 50, indent=1))
    with pytest.raises(TraceFormatError, match=r"a document must be <= .* Write one response a line"):
        read_traces(tmp_path / "t.json").read_all()


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(TraceFormatError, match="not a file that can be read"):
        source_bytes.opened(tmp_path)


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(source_bytes, "_WAIT_SECONDS", 0)
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        with pytest.raises(TraceFormatError, match="nothing was written to the pipe within 0 seconds"):
            source_bytes.opened(tmp_path / "pipe")
    finally:
        os.close(writer)


def _parquet(tmp_path, *, drop=()):
    write_traces(tmp_path / "whole.parquet", [trace_batch([Trace(trace_id="a", answer="4", n_tokens=1)])])
    table = pq.read_table(tmp_path / "whole.parquet").drop_columns(list(drop))
    pq.write_table(table, tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_a_file_of_ours_that_lacks_a_column_is_damaged(tmp_path):
    with pytest.raises(TraceFormatError, match="the column `temperature` is missing; the file is damaged"):
        read_traces(_parquet(tmp_path, drop=["temperature"])).read_all()


def test_a_row_group_that_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    from nilometer.traces import store

    monkeypatch.setattr(store, "_LARGEST_GROUP", 100)
    with pytest.raises(TraceFormatError, match=r"a row group must be <= 0 GB, got 0\. Write smaller ones"):
        read_traces(_parquet(tmp_path)).read_all()


def test_labels_that_are_no_text_or_no_table_are_named(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"trace_id,correct\n\xff\xfe,1\n")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1nothing here")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "columns.parquet")
    for name, reason in (("labels.csv", "not a readable label file"), ("labels.parquet", "not a readable label file")):
        with pytest.raises(TraceFormatError, match=rf"{name}: {reason}"):
            read_labels(tmp_path / name)
    with pytest.raises(TraceFormatError, match=r"columns\.parquet:1: column `trace_id` is missing"):
        read_labels(tmp_path / "columns.parquet")


def test_slice_names_must_be_there():
    with pytest.raises(ValueError, match="slice names must not be missing, got 1 without one"):
        index_slices(pa.array(["a", None]))


def test_an_expression_that_fails_on_a_row_says_why():
    table = pa.table({"answer": ["four"]})
    with pytest.raises(ConfigError, match=r"`by` must be SQL that DuckDB can run, got .*four"):
        slice_names(table, ["CAST(answer AS INTEGER)"])


def test_a_table_that_is_no_text_is_named(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"answer,trace_id\n\xff\xfe\xfa,a\n")
    layout = Layout(columns={"answer": "answer", "trace_id": "trace_id"})
    with pytest.raises(TraceFormatError, match=r"t\.csv: not a readable table"):
        read_traces(tmp_path / "t.csv", format=layout, strict=True).read_all()


def test_rows_with_impossible_numbers_are_named_with_their_line(tmp_path):
    batch = trace_batch([Trace(trace_id="a", n_tokens=1, chosen_logprobs=np.array([-0.5], np.float32), k=0)])
    wrong = batch.set_column(
        batch.schema.get_field_index("chosen_logprobs"),
        batch.schema.field("chosen_logprobs"),
        pa.array([[0.5]], pa.list_(pa.float32())),
    )
    pq.write_table(pa.Table.from_batches([wrong]), tmp_path / "t.parquet")
    with pytest.raises(TraceFormatError, match=r"t\.parquet:1: "):
        read_traces(tmp_path / "t.parquet", strict=True).read_all()
