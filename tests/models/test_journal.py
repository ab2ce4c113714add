"""Answers that are kept as they come."""

import pytest

from nilometer.errors import ConfigError
from nilometer.models import Journal


def test_a_half_written_line_is_cut_off(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.add("a", {"x": 1})
        journal.add("b", {"x": 2})
    path.write_bytes(path.read_bytes()[:-5])
    with Journal(path) as journal:
        assert (journal.find("a"), journal.find("b")) == ({"x": 1}, None)
        journal.add("c", {"x": 3})
    with Journal(path) as journal:
        assert (len(journal), journal.find("c")) == (2, {"x": 3})


def test_two_runs_cannot_hold_one_journal(tmp_path):
    with Journal(tmp_path / "j.jsonl"), pytest.raises(ConfigError, match="another run writes to this file"):
        Journal(tmp_path / "j.jsonl")


def test_a_file_of_another_kind_is_refused_and_kept(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a journal\n")
    with pytest.raises(ConfigError, match=r"notes.txt:1: not a line of a journal"):
        Journal(path)
    assert path.read_text() == "not a journal\n"


def test_only_the_owner_may_read_it(tmp_path):
    with Journal(tmp_path / "j.jsonl"):
        assert (tmp_path / "j.jsonl").stat().st_mode & 0o077 == 0
