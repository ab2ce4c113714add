"""No output destroys what is there: inputs, files of another kind, and a half-written page."""

import re
import shutil

import pytest

from nilometer.cli import main
from nilometer.cli.outputs import check_outputs
from nilometer.errors import ConfigError
from nilometer.traces import corpus_path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


@pytest.fixture
def traces(tmp_path):
    return shutil.copy(corpus_path("smollm2"), tmp_path / "traces.parquet")


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("report", ()),
        ("watch", ("--every", "/3")),
        ("profile", ()),
        ("fit", ()),
        ("plan label", ("--budget", "3")),
        ("tokens", ()),
    ],
)
def test_no_output_replaces_an_input(capsys, traces, verb, more):
    before = traces.read_bytes()
    code, _, err = run(capsys, *verb.split(), traces, "--out", traces, *more)
    assert code == 2
    assert "traces.parquet is an input" in err
    assert traces.read_bytes() == before


def test_no_output_replaces_labels_or_a_file_of_a_folder_that_is_read(capsys, traces, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("trace_id,correct\na,1\n")
    code, _, err = run(capsys, "report", traces, "--labels", labels, "--out", labels)
    assert code == 2
    assert "labels.csv is an input" in err
    assert run(capsys, "profile", tmp_path, "--out", traces)[0] == 2
    assert labels.read_text() == "trace_id,correct\na,1\n"


@pytest.mark.parametrize("kind", ["page", "Markdown", "JUnit", "plan", "tasks", "records", "profiles", "sentinel"])
def test_a_file_of_another_kind_stays_unless_forced(tmp_path, kind):
    other = tmp_path / "notes.txt"
    other.write_text("what I must not forget")
    with pytest.raises(ConfigError, match=rf"notes.txt exists and is no {kind} of nilometer"):
        check_outputs({other: kind}, [], force=False)
    check_outputs({other: kind}, [], force=True)
    other.write_text("")
    if kind not in {"profiles", "sentinel"}:
        check_outputs({other: kind}, [], force=False)


def test_what_a_verb_wrote_before_is_replaced(capsys, traces, tmp_path):
    for verb, name, more in (
        ("report", "r.html", ()),
        ("report", "r.md", ()),
        ("report", "gate.xml", ("--fail-under", "0")),
        ("profile", "p.parquet", ()),
        ("fit", "s.nilo", ()),
    ):
        for _ in range(2):
            code, _, err = run(capsys, *verb.split(), traces, "--out", tmp_path / name, "--by", "domain", *more)
            assert code == 0, err


@pytest.mark.parametrize(
    ("name", "said"),
    [("no/such/r.html", "folder .*/no/such does not exist"), (".", "is a folder. Give the name of a file in it")],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_traces_are_read(capsys, tmp_path, name, said):
    code, _, err = run(capsys, "report", tmp_path / "missing.jsonl", "--out", tmp_path / name)
    assert code == 2
    assert "missing.jsonl" not in err

    assert re.search(said, err)


def test_a_page_appears_whole_or_not_at_all(capsys, traces, tmp_path, monkeypatch):
    page = tmp_path / "r.html"
    page.write_text("<!doctype html>the old one")
    monkeypatch.setattr("nilometer.pages.render_html", _interrupted)
    assert run(capsys, "report", traces, "--by", "domain", "--out", page)[0] == 130
    assert page.read_text() == "<!doctype html>the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "traces.parquet"]


def _interrupted(*_, **__):
    raise KeyboardInterrupt
