import json
from pathlib import Path

import pytest

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.service import Frame, Spool, Store, Tail, spool_traces
from nilometer.service.store.tables import frame_table, table_frame
from nilometer.traces import corpus_path, read_traces

WIRE = Path(__file__).parents[2] / "traces" / "wire"


def _outcomes(store):
    query = "SELECT outcome, sum(n) FROM requests WHERE slice_key='all' GROUP BY outcome"
    return dict(store.reader().execute(query).fetchall())


def test_shipped_traces_give_the_estimates_of_the_sentinel(gemma, tmp_path):
    _, profiles, domains, sentinel = gemma
    spool = Spool(tmp_path / "spool")
    assert spool_traces(spool, read_traces(corpus_path("gemma3"))) == 1200
    spool.close()
    store = Store(tmp_path, keys=("domain",), sentinel=sentinel)
    while store.step():
        pass
    assert _outcomes(store) == {"scored": 1200}
    found = {row.slice: row.belief for row in store.estimates("domain", first_hour=0, last_hour=10**7)}
    for one in sentinel.estimate(profiles, by=domains):
        assert abs(found[one.slice].accuracy - one.accuracy) < 1e-12


def test_trace_without_a_time_gets_that_of_the_frame_and_others_keep_theirs(gemma):
    batch = gemma[0].slice(0, 2).to_batches()[0]
    frame = table_frame(batch)
    assert frame_table(frame)["time"].cast("int64").to_pylist() == [frame.time] * 2
    dated = read_traces(WIRE / "vllm_chat.jsonl").read_all().to_batches()[0]
    assert frame_table(table_frame(dated))["time"].to_pylist() == dated["time"].to_pylist()


def test_frame_without_traces_is_refused_and_counted(tmp_path):
    frame = Frame(id="x", time=5, outcome="table", body=b"no arrow")
    with pytest.raises(TraceFormatError, match="the frame x holds no traces"):
        frame_table(frame)
    spool = Spool(tmp_path / "spool")
    spool.write(frame)
    spool.close()
    store = Store(tmp_path)
    store.step()
    assert _outcomes(store) == {"unreadable": 1}


def test_spool_that_cannot_be_written_is_an_error(gemma, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(OSError, match="the spool cannot be written; 0 traces are in it"):
        spool_traces(Spool(tmp_path / "spool"), gemma[0].slice(0, 1).to_batches())


def test_tail_takes_whole_lines_once_and_goes_on_after_a_restart(tmp_path):
    logs, root = tmp_path / "logs", tmp_path / "store"
    logs.mkdir()
    store = Store(root)
    lines = (WIRE / "vllm_chat.jsonl").read_bytes().splitlines(keepends=True)
    log = logs / "a.jsonl"
    log.write_bytes(lines[0] + lines[1][:50])
    assert Tail(logs, root).step().n_traces == 1
    assert Tail(logs, root).step().n_traces == 0
    log.write_bytes(lines[0] + lines[1])
    assert Tail(logs, root).step().n_traces == 1
    log.write_bytes(lines[1])
    assert Tail(logs, root).step().n_traces == 1
    store.step()
    assert _outcomes(store) == {"scored": 3}


def test_tail_names_a_bad_line_by_its_file_and_goes_on(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (tmp_path / "store").mkdir()
    good = (WIRE / "vllm_chat.jsonl").read_bytes().splitlines(keepends=True)[0]
    (logs / "a.jsonl").write_bytes(good + b"{broken\n\n" + good)
    found = Tail(logs, tmp_path / "store").step()
    assert found.n_traces == 2
    assert len(found.bad_lines) == 1
    assert found.bad_lines[0].startswith("a.jsonl:2:")


def test_tail_needs_a_folder(tmp_path):
    with pytest.raises(ConfigError, match="must be a folder of logs"):
        Tail(tmp_path / "none", tmp_path)


def test_tail_file_is_json(tmp_path):
    logs, root = tmp_path / "logs", tmp_path / "store"
    logs.mkdir()
    root.mkdir()
    line = (WIRE / "vllm_chat.jsonl").read_bytes().splitlines(keepends=True)[0]
    (logs / "a.jsonl").write_bytes(line)
    Tail(logs, root).step()
    assert json.loads((root / "tail.json").read_text()) == {"a.jsonl": len(line)}
