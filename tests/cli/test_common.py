"""What every verb says of what it read, how it splits keys, and its bar at a terminal."""

import io
import sys

import pytest

from nilometer.cli import main
from nilometer.cli.common import check_bad_lines, progress, split_keys
from nilometer.errors import TraceFormatError
from nilometer.traces import FileReport, ReadReport, corpus_path


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        (["a || ',' || b, c"], ("a || ',' || b", "c")),
        (['"odd, name",b'], ('"odd, name"', "b")),
        (["list[1, 2]", " , d"], ("list[1, 2]", "d")),
        (["f(')', x), y"], ("f(')', x)", "y")),
        (None, ()),
    ],
)
def test_keys_are_split_at_commas_outside_quotes_and_brackets(given, keys):
    assert split_keys(given) == keys


def test_what_was_left_out_is_said_with_its_number(capsys):
    report = ReadReport([FileReport("a", n_traces=9_000, n_bad=50, n_skipped=3, n_damaged=2, n_cut=1)])
    report.bad_lines = [f"a:{i}: not a JSON object." for i in range(50)]
    report.left_out = [f"b{i}: a pipe." for i in range(25)]
    check_bad_lines(report)
    said = capsys.readouterr().err.splitlines()
    assert said[19] == "a:19: not a JSON object."
    assert said[20:23] == [
        "3 lines hold no response (other spans, events of a stream) and were skipped.",
        "2 streamed answers are left out, because a piece of each is bad or missing.",
        "1 streamed answers broke off; what had arrived has no finish reason.",
    ]
    assert said[23] == "Left out: b0: a pipe."
    assert said[43:] == ["… and 5 more files and folders are left out.", "… and 30 more bad lines."]


def test_more_than_one_bad_line_in_a_hundred_is_refused():
    check_bad_lines(ReadReport([FileReport("a", n_traces=99, n_bad=1)]))
    with pytest.raises(TraceFormatError, match="2 of 101 lines are bad, more than 1%"):
        check_bad_lines(ReadReport([FileReport("a", n_traces=99, n_bad=2)]))


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_counts_responses_at_a_terminal_and_goes(monkeypatch):
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress("Reading") as advance:
        advance(1_500)
    assert "Reading 1,500 responses" in screen.getvalue()


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt, 130), (EOFError, 130)])
def test_an_interrupted_verb_leaves_with_130(monkeypatch, raised, code):
    monkeypatch.setattr("nilometer.traces.diagnose", _raising(raised()))
    with pytest.raises(SystemExit) as ended:
        main(["report", str(corpus_path("smollm2"))])
    assert ended.value.code == code


def test_a_fault_of_the_machine_is_no_mistake_of_the_user(monkeypatch):
    monkeypatch.setattr("nilometer.traces.diagnose", _raising(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output error"):
        main(["report", str(corpus_path("smollm2"))])


@pytest.mark.parametrize("verb", [("profile",), ("fit", "--by", "domain"), ("report", "--by", "domain")])
def test_a_full_disk_is_one_line_that_names_the_file_and_leaves_the_old_one(capsys, tmp_path, monkeypatch, verb):
    out = tmp_path / ("old.html" if verb[0] == "report" else "old.parquet")
    out.write_bytes(b"")
    monkeypatch.setattr("os.fsync", _raising(OSError(28, "No space left on device")))
    with pytest.raises(SystemExit, match="1"):
        main([verb[0], str(corpus_path("specialist")), *verb[1:], "--out", str(out)])
    assert capsys.readouterr().err.splitlines()[-1] == f"nilometer: {out}: No space left on device."
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_bytes() == b""


def _raising(error):
    def fails(*_, **__):
        raise error

    return fails


def test_files_are_not_counted_where_no_bar_is_shown():
    with progress("Reading", total=lambda: pytest.fail("nobody sees how many there are")) as advance:
        advance(1)
