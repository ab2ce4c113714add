"""What a verb loads before it is asked to work."""

import json
import runpy
import subprocess
import sys
from importlib.metadata import version

import pytest

from nilometer.cli import VERBS, main

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
