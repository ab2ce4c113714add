"""What a verb loads before it is asked to work."""

import gzip
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

from nilometer.cli import VERBS, main
from nilometer.cli.common import about_responses

HEAVY = (
    *("numpy", "pyarrow", "duckdb", "sklearn", "scipy", "pandas", "altair", "vl_convert", "jinja2", "torch", "rich"),
    *("starlette", "uvicorn", "httpx"),
)
HELP_OF_ALL = f"""
import contextlib, io, json, sys
import typer
from nilometer.cli import VERBS, app, main

pages = {{}}

def show(*words):
    with contextlib.redirect_stdout(io.StringIO()) as page, contextlib.suppress(SystemExit):
        main([*words, "--help"])
    pages[" ".join(words)] = (page.getvalue(), [name for name in {HEAVY!r} if name in sys.modules])

show()
root = typer.main.get_command(app)
for verb in VERBS:
    show(verb)
    for name in getattr(root.get_command(None, verb), "commands", ()):
        show(verb, name)
print(json.dumps(pages))
"""


def test_no_help_page_loads_what_only_work_needs():
    out = subprocess.run([sys.executable, "-c", HELP_OF_ALL], capture_output=True, text=True, check=True)
    pages = json.loads(out.stdout)
    assert {words: loaded for words, (_, loaded) in pages.items() if loaded} == {}
    assert len(pages) > len(VERBS) + 10
    assert all(page.startswith(f"Usage: nilometer{' ' if words else ''}{words} ") for words, (page, _) in pages.items())


def test_the_help_of_all_gives_each_verb_a_line_that_is_not_cut(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    for verb, summary in VERBS.items():
        assert f"  {verb:10}  {summary}\n" in out


def test_the_package_runs_as_a_module(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["nilometer", "--version"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("nilometer", run_name="__main__")
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"{version('nilometer')}\n"


def test_responses_are_counted_about_before_they_are_read(tmp_path):
    lines = [f'{{"trace_id": "{i}", "answer": "{"x" * (i % 7)}"}}\n' for i in range(30_000)]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    assert about_responses([tmp_path / "a.jsonl"]) == pytest.approx(len(lines), rel=0.05)
    (tmp_path / "b.gz").write_bytes(gzip.compress("".join(lines).encode()))
    assert about_responses([tmp_path / "a.jsonl", tmp_path / "b.gz"]) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "offered"),
    [("nilometer rep", "report"), ("nilometer plan la", "label"), ("nilometer report --lab", "--labels")],
)
def test_a_shell_completes_verbs_and_options(typed, offered):
    told = {"_NILOMETER_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    code = "from nilometer.cli import main; main()"
    out = subprocess.run([sys.executable, "-c", code], env={**os.environ, **told}, capture_output=True, text=True)
    assert offered in out.stdout.split(), out.stderr


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["report", "watch --every day", "profile", "fit"])
def test_ctrl_c_leaves_the_old_file_and_no_half_one(month_folder, tmp_path, verb):
    name, *more = verb.split()
    files = [] if name == "profile" else ["--labels", "labels.csv", "--by", "tenant"]
    out = tmp_path / "old"
    code = "from nilometer.cli import main; main()"
    command = [sys.executable, "-c", code, name, "traces", *files, *more, "--out", str(out)]
    for wait in (0.7, 1.5, 2.5):
        with subprocess.Popen(command, cwd=month_folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1].decode()
        assert "Traceback" not in said
        if process.returncode == 130:
            assert list(tmp_path.iterdir()) == []
        elif process.returncode == -signal.SIGINT:  # Python was starting, or leaving
            assert list(tmp_path.iterdir()) in ([], [out])
            out.unlink(missing_ok=True)
        else:  # it was done before
            assert process.returncode in {0, 3}
            assert [path.name for path in tmp_path.iterdir()] == ["old"]
            out.unlink()
