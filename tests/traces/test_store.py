"""Trace files on disk: whole or not there, and checked when they are read."""

import os
import resource
import signal
import stat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nilometer.errors import TraceFormatError
from nilometer.traces import TRACE_SCHEMA, Trace, read_traces, trace_batch, write_traces


def _table(n=3, answer="4"):
    one = np.full(4, -0.5, np.float32)
    traces = [
        Trace(trace_id=f"{answer}{i}", answer=answer, k=1, n_tokens=4, chosen_logprobs=one, top_logprobs=one[:, None])
        for i in range(n)
    ]
    return pa.Table.from_batches([trace_batch(traces)])


def _answers(path):
    return set(read_traces(path).read_all()["answer"].to_pylist())


STEPS = ("os.fdopen", "os.fsync", "pathlib.Path.replace", "pyarrow.parquet.ParquetWriter.write_table")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_after", [False, True])
def test_a_writer_killed_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch, step, is_after):
    path = tmp_path / "t.parquet"
    write_traces(path, _table(answer="old"))
    child = os.fork()
    if not child:
        _die_at(monkeypatch, step, is_after=is_after)
        write_traces(path, _table(answer="new"))
        os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert _answers(path) in ({"old"}, {"new"})
    assert _answers(tmp_path) == _answers(path)
    write_traces(path, _table(answer="later"))
    assert _answers(path) == {"later"}


def _die_at(monkeypatch, step, *, is_after):
    holder, _, name = step.rpartition(".")
    owner = {"os": os, "pathlib.Path": type(os), "pyarrow.parquet.ParquetWriter": pq.ParquetWriter}[holder]
    if holder == "pathlib.Path":
        from pathlib import Path as owner
    own = getattr(owner, name)

    def dying(*args, **options):
        if is_after:
            own(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(owner, name, dying)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.parquet"
    write_traces(path, _table(answer="old"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_traces(path, _table(5000, answer="new"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert _answers(path) == {"old"}
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_two_writers_of_one_name_leave_one_whole_file(tmp_path):
    path = tmp_path / "t.parquet"
    children = []
    for answer in ("one", "two", "three"):
        child = os.fork()
        if not child:
            for _ in range(5):
                write_traces(path, _table(200, answer=answer))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert _answers(path) in ({"one"}, {"two"}, {"three"})


def test_a_link_under_the_name_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "t.parquet").symlink_to(tmp_path / "victim")
    write_traces(tmp_path / "t.parquet", _table())
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_new_file_is_its_owners_alone(tmp_path):
    write_traces(tmp_path / "t.parquet", _table())
    assert stat.S_IMODE((tmp_path / "t.parquet").stat().st_mode) == 0o600


def _bad_table(**columns):
    row = {"trace_id": "a", "k": 2, "n_tokens": 1, "chosen_logprobs": [-0.5], "top_logprobs": [-0.5, -2.0]}
    return pa.Table.from_pylist([{**row, **columns}, {**row, "trace_id": "b"}], schema=TRACE_SCHEMA)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"chosen_logprobs": [7.0]}, "a `logprob` must be <= 0, got 7"),
        ({"top_logprobs": [float("inf"), -1.0]}, "a `logprob` must be <= 0, got inf"),
        ({"top_logprobs": [-1.0]}, r"must hold tokens \* k values, got 1 for 1 tokens and k = 2"),
        ({"k": 2**31 - 1}, r"must hold tokens \* k values"),
        ({"k": -1}, "k = -1"),
        ({"k": None}, "k = 0"),
    ],
)
def test_rows_that_cannot_be_right_are_bad_and_the_others_read(tmp_path, columns, reason):
    pq.write_table(_bad_table(**columns), tmp_path / "t.parquet")
    stream = read_traces(tmp_path / "t.parquet")
    assert stream.read_all()["trace_id"].to_pylist() == ["b"]
    assert stream.report.n_bad == 1
    with pytest.raises(TraceFormatError, match=rf"t\.parquet:1: .*{reason}"):
        read_traces(tmp_path / "t.parquet", strict=True).read_all()


def test_a_table_of_something_else_is_refused(tmp_path):
    pq.write_table(pa.table({"customer": ["c"], "amount": [1]}), tmp_path / "t.parquet")
    with pytest.raises(TraceFormatError, match="it has the columns customer, amount"):
        read_traces(tmp_path / "t.parquet").read_all()


def test_labels_beside_traces_in_a_folder_are_left_out_and_named(tmp_path):
    write_traces(tmp_path / "t.parquet", _table())
    pq.write_table(pa.table({"trace_id": ["a"], "correct": [1.0]}), tmp_path / "labels.parquet")
    stream = read_traces(tmp_path)
    assert stream.read_all().num_rows == 3
    assert "labels.parquet: a Parquet file of traces must have" in stream.report.left_out[0]


def test_a_flipped_bit_in_a_page_is_found_or_changes_nothing(tmp_path):
    path = tmp_path / "t.parquet"
    table = _table(50)
    write_traces(path, table)
    whole, data = read_traces(path).read_all(), path.read_bytes()
    rng = np.random.default_rng(0)
    n_found = 0
    for place in rng.integers(4, len(data) - 8 - int.from_bytes(data[-8:-4], "little"), 300):
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        stream = read_traces(path)
        try:
            read = stream.read_all()
        except TraceFormatError:
            n_found += 1
            continue
        assert read == whole
    assert n_found > 100


def _listed(lengths):
    """Responses with so many listed log-probabilities, one alternative a token."""
    values = pa.array(np.full(sum(lengths), -1.0, dtype=np.float32))
    column = pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), values)
    columns = {name: pa.nulls(len(lengths), TRACE_SCHEMA.field(name).type) for name in TRACE_SCHEMA.names}
    columns |= {"trace_id": pa.array([str(i) for i in range(len(lengths))]), "top_logprobs": column}
    return pa.table(columns, schema=TRACE_SCHEMA)


def test_long_responses_are_written_in_smaller_groups(tmp_path):
    """16 million values fill a group; 1,000 responses are in it at least."""
    file = tmp_path / "t.parquet"
    write_traces(file, _listed([16_000_000] + [1] * 2999))
    groups = pq.ParquetFile(file).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [1000, 2000]


def test_a_file_of_a_newer_version_is_refused(tmp_path):
    file = tmp_path / "t.parquet"
    metadata = {**TRACE_SCHEMA.metadata, b"nilometer.format_version": b"99"}
    pq.write_table(_listed([1]).replace_schema_metadata(metadata), file)
    with pytest.raises(TraceFormatError, match=r"format version must be <= \d+, got 99\. Update nilometer"):
        list(read_traces(file))
