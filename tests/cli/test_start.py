"""What a verb loads before it is asked to work."""

import runpy
import subprocess
import sys
from importlib.metadata import version

import pytest

HEAVY = ("sklearn", "scipy", "altair", "duckdb", "pandas", "torch")


@pytest.mark.parametrize("verb", ["report", "fit", "estimate", "watch", "quickstart", "profile", "plan"])
def test_help_of_a_verb_loads_nothing_that_only_its_work_needs(verb):
    code = (
        "import sys\nfrom nilometer.cli import main\n"
        f"try: main([{verb!r}, '--help'])\n"
        f"except SystemExit: print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_the_package_runs_as_a_module(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["nilometer", "--version"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("nilometer", run_name="__main__")
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"{version('nilometer')}\n"
