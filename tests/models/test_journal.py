"""Answers that are kept as they come."""

import resource
import signal

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
    with Journal(tmp_path / "j.jsonl"), pytest.raises(ConfigError, match="another run writes to it"):
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


def test_what_a_full_disk_took_a_part_of_is_taken_back(tmp_path):
    path = tmp_path / "j.jsonl"
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with Journal(path) as journal:
            journal.add("a", {"x": 1})
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
            with pytest.raises(OSError, match=r"File too large.*j\.jsonl"):
                journal.add("b", {"x": "y" * 100})
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            journal.add("c", {"x": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    with Journal(path) as journal:
        assert [journal.find(key) for key in "abc"] == [{"x": 1}, None, {"x": 3}]
