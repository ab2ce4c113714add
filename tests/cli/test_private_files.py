"""Files that hold answers can be read by their owner alone."""

import stat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nilometer.cli import main
from nilometer.traces import corpus_path, read_traces, write_traces


def _run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code in {0, 3}


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    path = tmp_path_factory.mktemp("private") / "t.parquet"
    table = read_traces(corpus_path("specialist")).read_all()
    table = table.take(pa.array(np.arange(0, len(table), 8)))
    half = pc.if_else(pa.array(np.arange(len(table)) % 2 > 0), table["correct"], None)
    write_traces(path, table.set_column(table.column_names.index("correct"), "correct", half.cast(pa.float32())))
    return path


@pytest.mark.parametrize(
    "verb",
    [
        ("report", "--by", "domain", "--examples", "--out"),
        ("tokens", "--n", "3", "--out"),
        ("plan", "label", "--by", "domain", "--budget", "20", "--out"),
        ("profile", "--out"),
    ],
    ids=" ".join,
)
def test_files_that_hold_answers_are_their_owners_alone(tmp_path, traces, verb, capsys):
    out = tmp_path / ("x.parquet" if verb[0] == "profile" else "x.html" if verb[0] in {"report", "tokens"} else "x.out")
    words, flag = [*verb[:-1]], verb[-1]
    at = 2 if verb[0] == "plan" else 1
    _run(*words[:at], traces, *words[at:], flag, out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
