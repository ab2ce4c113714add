"""A team's month of traffic, written once for all tests of the verbs."""

import shlex

import pytest
from month import write_month

from nilometer.cli import main


@pytest.fixture(scope="session")
def month_folder(tmp_path_factory):
    """Daily files of OpenAI responses, labels of the first days, all true labels, and profiles of the whole."""
    folder = tmp_path_factory.mktemp("month")
    write_month(folder)
    with pytest.raises(SystemExit):
        main(["profile", str(folder / "traces"), "--out", str(folder / "profiles.parquet")])
    return folder


@pytest.fixture
def call(capsys, monkeypatch, month_folder):
    """Run a command in the folder of the month; its exit code, output and errors."""
    monkeypatch.chdir(month_folder)

    def run(command):
        with pytest.raises(SystemExit) as left:
            main(shlex.split(command.removeprefix("nilometer ")))
        out = capsys.readouterr()
        return left.value.code, out.out, out.err

    return run
