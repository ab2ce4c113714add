"""Files and folders that the system does not let read."""

import os
from pathlib import Path

import pytest

from nilometer.errors import TraceFormatError
from nilometer.traces import corpus_path, expand_paths, read_traces, write_traces
from nilometer.traces.sources import json_objects, lines_of, opened

UNREADABLE = Path("/proc/self/mem")
needs_proc = pytest.mark.skipif(not UNREADABLE.exists(), reason="no file here whose bytes cannot be read")


@needs_proc
def test_a_file_whose_bytes_cannot_be_read_is_named_with_the_reason():
    said = r"/proc/self/mem: the file cannot be read \(.*Input/output error\)"
    with pytest.raises(TraceFormatError, match=said):
        read_traces(UNREADABLE).read_all()
    with pytest.raises(TraceFormatError, match=said):
        list(json_objects(UNREADABLE))
    with pytest.raises(TraceFormatError, match=said), opened(UNREADABLE) as file:
        list(lines_of(UNREADABLE, file))


def test_a_folder_that_cannot_be_read_is_left_out_with_the_reason(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"trace_id": "a", "answer": "4"}\n')
    name, fds = "x" * 250, [os.open(tmp_path, os.O_RDONLY)]
    for _ in range(17):  # the path becomes longer than the system takes
        os.mkdir(name, dir_fd=fds[-1])
        fds.append(os.open(name, os.O_RDONLY, dir_fd=fds[-1]))
    for fd in fds:
        os.close(fd)
    found = expand_paths(tmp_path)
    assert [path.name for path in found] == ["t.jsonl"]
    (reason,) = found.left_out
    assert reason.endswith("the folder cannot be read (File name too long).")
    assert read_traces(found).read_all().num_rows == 1


def test_a_name_with_the_home_of_nobody_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("~nobody-here.jsonl").write_text('{"trace_id": "a", "answer": "4"}\n')
    assert [str(path) for path in expand_paths("~nobody-here.jsonl")] == ["~nobody-here.jsonl"]


def test_a_document_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{\n "log": [\n  {"id": "a",\n   "choices": [}\n ]\n}\n')
    with pytest.raises(TraceFormatError, match=r"t\.json.*not a JSON"):
        read_traces(path).read_all()
    path.write_text('{\n "samples": 5\n}\n')
    with pytest.raises(TraceFormatError, match=r"t\.json"):
        read_traces(path).read_all()


def test_a_file_of_traces_with_fewer_rows_than_it_says_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    write_traces(path, read_traces(corpus_path("smollm2")).read_all().slice(0, 50).to_batches())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + data[len(data) // 2 + 64 :])
    with pytest.raises(TraceFormatError, match=r"t\.parquet"):
        read_traces(path).read_all()
