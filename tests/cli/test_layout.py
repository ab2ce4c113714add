"""``--at`` and ``--columns`` on every verb that reads traces."""

import json
from pathlib import Path

import pytest

from nilometer.cli import main

CASES = Path(__file__).parents[1] / "traces" / "wire" / "cases"


def _code(*arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code


@pytest.fixture
def nested(tmp_path):
    lines = (CASES / "27_batch_output.jsonl").read_text().splitlines()
    file = tmp_path / "nested.jsonl"
    file.write_text("\n".join(json.dumps({"call": {"reply": json.loads(line)["response"]["body"]}}) for line in lines))
    return file


@pytest.mark.parametrize(
    "verb",
    [
        ["doctor"],
        ["profile"],
        ["report"],
        ["fit"],
        ["estimate"],
        ["watch"],
        ["tokens"],
        ["sampler"],
        ["plan", "label"],
        ["plan", "slices"],
        ["plan", "weak"],
        ["plan", "acquire"],
        ["decide"],
        ["route", "fit"],
        ["route", "eval"],
    ],
    ids=" ".join,
)
def test_every_verb_that_reads_traces_takes_them(verb, capsys):
    assert not _code(*verb, "--help")
    shown = capsys.readouterr().out
    assert "--at" in shown
    assert "--columns" in shown


def test_doctor_proposes_the_place_and_reads_it(nested, capsys):
    assert _code("doctor", nested) == 2
    assert "A response stands at `call.reply`: give `--at call.reply`." in " ".join(capsys.readouterr().err.split())
    assert not _code("doctor", nested, "--at", "call.reply", "--json")
    assert json.loads(capsys.readouterr().out)["n_tokens"] == 15


def test_doctor_refuses_a_foreign_table_and_reads_its_columns(capsys):
    table = CASES / "48_foreign.parquet"
    assert _code("doctor", table) == 2
    assert "--columns answer=response" in " ".join(capsys.readouterr().err.split())
    assert _code("doctor", table, "--columns", "answer=response,prompt=prompt", "--json") == 3
    assert json.loads(capsys.readouterr().out)["n_traces"] == 3


def test_columns_without_a_path_are_refused(nested, capsys):
    assert _code("doctor", nested, "--columns", "answer") == 2
    assert "`--columns` must be NAME=PATH, comma-separated, got 'answer'." in " ".join(capsys.readouterr().err.split())
