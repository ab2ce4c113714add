"""Files read by several processes give what one process reads."""

import json

import pytest

from nilometer.errors import TraceFormatError
from nilometer.traces import read_traces


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("nilometer.traces.wire.parallel._LEAST_BYTES", 0)
    token = {"token": "4", "logprob": -0.5, "top_logprobs": [{"token": "4", "logprob": -0.5}]}
    for n in range(5):
        choice = {"message": {"content": "4"}, "logprobs": {"content": [token] * (n + 1)}}
        lines = [json.dumps({"id": f"{n}-{i}", "model": "m", "choices": [choice]}) for i in range(20)]
        (tmp_path / f"{n}.jsonl").write_text("\n".join([*lines, "{broken" if n == 3 else "", ""]))
    (tmp_path / "empty.jsonl").write_text("")
    return tmp_path


def test_the_same_rows_in_the_same_order_and_the_same_report(folder):
    one, many = read_traces(folder), read_traces(folder).in_parallel(2)
    assert one.read_all() == many.read_all()
    assert one.report == many.report
    assert many.report.n_bad == 1


def test_strict_raises_what_one_process_raises(folder):
    with pytest.raises(TraceFormatError, match=r"3\.jsonl:21: not a JSON object"):
        read_traces(sorted(folder.glob("?.jsonl")), strict=True).in_parallel(2).read_all()
