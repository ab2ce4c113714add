"""No output destroys what is there: inputs, files of another kind, and a half-written page."""

import json
import re
import shutil
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer

from nilometer.cli import app, main
from nilometer.cli.outputs import check_outputs
from nilometer.errors import ConfigError
from nilometer.service import Store
from nilometer.traces import corpus_path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


@pytest.fixture
def traces(tmp_path):
    return shutil.copy(corpus_path("smollm2"), tmp_path / "traces.parquet")


NOBODY = "--model openai:http://127.0.0.1:9 --model-name m"
OUTPUTS = {
    ("quickstart", "out"): "quickstart --out {folder}",
    ("report", "out"): "report {traces} --out {out}",
    ("fit", "out"): "fit {traces} --out {out}",
    ("profile", "out"): "profile {traces} --out {out}",
    ("second", "out"): "second {traces} --out {out} --journal {new} " + NOBODY,
    ("second", "journal"): "second {traces} --out {new} --journal {out} " + NOBODY,
    ("route fit", "out"): "route fit {traces} {traces2} --out {out}",
    ("route fit", "html"): "route fit {traces} {traces2} --html {out}",
    ("watch", "out"): "watch {traces} --every /3 --out {out}",
    ("canary record", "file"): "canary record {out} " + NOBODY,
    ("plan label", "out"): "plan label {traces} --budget 3 --out {out}",
    ("plan label", "label_studio"): "plan label {traces} --budget 3 --out {new} --label-studio {out}",
    ("plan label", "argilla"): "plan label {traces} --budget 3 --out {new} --argilla {out}",
    ("decide", "out"): "decide {samples} --metric mae --out {out}",
    (
        "decide",
        "journal",
    ): "decide {prompts} --metric mae --live openai:http://127.0.0.1:9 --model-name m --journal {out}",
    ("sampler", "out"): "sampler {traces} --out {out}",
    ("tokens", "out"): "tokens {traces} --out {out}",
    ("tokens", "learn"): "tokens {traces} --learn {out}",
    ("store export", "out"): "store export {store} --what labels --out {out}",
}
"""A command for every option that names a file to write."""
READ = (
    *("sentinel", "cost", "costs", "router", "prompts", "against", "sampler", "plans", "embeddings", "confidence"),
    *("config", "canary", "tls_cert", "tls_key", "logs", "cache"),
)
FOLDERS = {(verb, "folder") for verb in ("demo", "serve", "status")} | {
    *((f"store {act}", "folder") for act in ("token", "revoke", "check", "compact", "rescore", "refit", "export")),
    *(("ship", "to"), ("tail", "to"), ("proxy", "spool"), ("record", "out")),
}
"""Folders of stores, spools and recordings: files in them have names of their own."""


def _verbs(command, words=()):
    if not hasattr(command, "list_commands"):
        return [(" ".join(words), command.callback)]
    names = command.list_commands(None)
    return [verb for name in names for verb in _verbs(command.get_command(None, name), (*words, name))]


@pytest.mark.slow
def test_every_option_that_names_a_file_to_write_is_in_the_table():
    found = {
        (verb, name)
        for verb, function in _verbs(typer.main.get_command(app))
        for name, hint in get_type_hints(function).items()
        if (hint is Path or Path in get_args(hint)) and name not in READ and (verb, name) != ("canary check", "file")
    }
    assert found == {*OUTPUTS, *FOLDERS}


@pytest.fixture
def given(traces, tmp_path):
    shutil.copy(corpus_path("gemma3"), tmp_path / "traces2.parquet")
    (tmp_path / "samples.jsonl").write_text('{"id": "a", "samples": ["1", "2"]}\n')
    (tmp_path / "prompts.jsonl").write_text('{"id": "a", "prompt": "1 + 1?"}')
    Store(tmp_path / "store", keys=()).close()
    places = {name: next(tmp_path.glob(f"{name}.*")) for name in ("traces", "traces2", "samples", "prompts")}
    return {
        **places,
        "store": tmp_path / "store",
        "new": tmp_path / "new.jsonl",
        "folder": tmp_path,
        "nobody": "openai:http://127.0.0.1:9",
    }


@pytest.mark.parametrize("option", OUTPUTS, ids=" ".join)
@pytest.mark.parametrize("other", ["a note of mine\nwithout an end", '{"key": "mine", "value": 1}\n["of others"'])
def test_no_output_replaces_a_file_of_another_kind(capsys, given, tmp_path, option, other):
    note = tmp_path / ("report.html" if option[0] == "quickstart" else "note.txt")
    note.write_text(other)
    code, _, err = run(capsys, *OUTPUTS[option].format(**given, out=note).split())
    assert code == 2, err
    assert note.name in err
    assert note.read_text() == other


@pytest.mark.parametrize("option", [one for one in OUTPUTS if one[0] != "quickstart"], ids=" ".join)
def test_no_output_replaces_an_input(capsys, given, tmp_path, option):
    command = OUTPUTS[option]
    if option == ("canary record", "file"):
        command = "canary record {out} --prompts {prompts} " + NOBODY
    first = next(name for name in re.findall(r"\{(\w+)\}", command) if name != "out")
    read = given["store"] / "nilometer.db" if first == "store" else given[first]
    before = read.read_bytes()
    code, _, err = run(capsys, *command.format(**given, out=read).split())
    assert code == 2, err
    assert read.name in err
    assert read.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "plan label {traces} --budget 3 --out {new} --argilla {new}",
        "route fit {traces} {traces2} --out {new} --html {new}",
        "second {traces} --out {new} --journal {new} " + NOBODY,
    ],
)
def test_two_outputs_need_two_names(capsys, given, command):
    code, _, err = run(capsys, *command.format(**given).split())
    assert code == 2
    assert "new.jsonl cannot hold both the" in err


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
        check_outputs({kind: other}, [], force=False)
    check_outputs({kind: other}, [], force=True)
    other.write_text("")
    if kind not in {"profiles", "sentinel"}:
        check_outputs({kind: other}, [], force=False)


@pytest.mark.slow
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


def test_decisions_are_written_again(capsys, given):
    for _ in range(2):
        code, _, err = run(capsys, *"decide {samples} --metric mae --out {new}".format(**given).split())
        assert code == 0
        assert "1 of 1 prompts decided by mae (the rule absolute)." in err
    assert json.loads(given["new"].read_text())["prompt_id"] == "a"


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


def test_a_folder_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("nilometer.cli.outputs.os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(ConfigError, match=r"r.html cannot be written: permission denied"):
        check_outputs({"page": tmp_path / "r.html"}, [], force=False)
