import contextlib
import io
import json
import subprocess
import sys

import pyarrow as pa
import pytest

from nilometer.cli import main
from nilometer.traces import corpus_path, read_traces, write_traces


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """One report of a recording: its folder with the page, its exit code and its JSON."""
    folder, out = tmp_path_factory.mktemp("smollm2"), io.StringIO()
    words = ["report", str(corpus_path("smollm2")), "--by", "domain", "--json", "--out", str(folder / "report.html")]
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as left:
        main(words)
    return folder / "report.html", left.value.code, out.getvalue()


def _line(i, *, correct=None, logprob=-0.1):
    token = {
        "token": "4",
        "logprob": logprob,
        "top_logprobs": [{"token": "4", "logprob": logprob}, {"token": "5", "logprob": -3.0}],
    }
    choice = {"index": 0, "message": {"content": "4"}, "finish_reason": "stop", "logprobs": {"content": [token]}}
    line = {"id": f"r{i}", "model": "m", "choices": [choice], "metadata": {"domain": "ab"[i % 2]}}
    return json.dumps(line if correct is None else {**line, "correct": correct})


def test_report_of_recorded_traces_writes_a_page(capsys, tmp_path):
    page = tmp_path / "report.html"
    code, out, err = run(capsys, "report", corpus_path("smollm2"), "--by", "domain", "--out", page)
    assert code == 0, err
    assert "rests on" in out
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<svg" in text
    assert "http:" not in text.split("<svg")[0]
    assert "https:" not in text


def test_gate_falls_with_exit_3(capsys):
    code, _, err = run(capsys, "report", corpus_path("specialist"), "--by", "domain", "--fail-under", "0.9")
    assert code == 3
    assert "Below 0.9" in err


def test_json_is_one_document(smollm2):
    _, code, out = smollm2
    assert code == 0
    assert json.loads(out)["by"] == ["domain"]


def test_without_labels_slices_are_only_ranked(capsys, tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(_line(i) for i in range(20)))
    code, out, _ = run(capsys, "report", file, "--by", "domain")
    assert code == 0
    assert "uncalibrated" in out


def test_fit_then_estimate_and_profile(capsys, tmp_path):
    saved, profiles = tmp_path / "s.nilo", tmp_path / "p.parquet"
    assert run(capsys, "fit", corpus_path("specialist"), "--by", "domain", "--out", saved)[0] == 0
    assert run(capsys, "profile", corpus_path("specialist"), "--out", profiles)[0] == 0
    code, out, _ = run(capsys, "estimate", profiles, "--sentinel", saved, "--by", "domain", "--json")
    assert code == 0
    assert len(json.loads(out)) == 12


def test_labels_of_one_kind_give_the_interval_of_the_labels_alone(capsys, tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(_line(i, correct=True if i < 10 else None) for i in range(20)))
    code, out, _ = run(capsys, "report", file, "--by", "domain", "--json")
    assert code == 0
    assert "all 10 labels are correct" in " ".join(json.loads(out)["notes"])
    for row in json.loads(out)["estimates"]:
        assert (row["accuracy"], row["basis"], row["n_labels"]) == (1.0, "labels", 5)
        assert 0.4 < row["low"] < 0.8


def test_labels_that_match_nothing_are_named(capsys, tmp_path):
    file, labels = tmp_path / "t.jsonl", tmp_path / "l.csv"
    file.write_text("\n".join(_line(i) for i in range(20)))
    labels.write_text("trace_id,correct\nzz,1\n")
    code, _, err = run(capsys, "report", file, "--labels", labels, "--by", "domain")
    assert code == 2
    assert "none of the 1 labels matches a response: labels have ids like zz" in err


def test_file_without_logprobs_exits_2(capsys, tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text('{"id": "a", "choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}\n')
    code, _, err = run(capsys, "report", file)
    assert code == 2
    assert "log-probabilities" in err


@pytest.mark.parametrize("content", ["", "not json\n", '{"id": "a", "choices": [{"mess'])
def test_unreadable_file_exits_2_with_its_name(capsys, tmp_path, content):
    file = tmp_path / "t.jsonl"
    file.write_text(content)
    code, _, err = run(capsys, "report", file)
    assert code == 2
    assert "t.jsonl" in err


def test_empty_folder_exits_2(capsys, tmp_path):
    assert run(capsys, "report", tmp_path)[0] == 2


def test_unknown_key_exits_2_with_a_hint(capsys):
    code, _, err = run(capsys, "report", corpus_path("smollm2"), "--by", "domian")
    assert code == 2
    assert "domain" in err


def test_quickstart_runs(capsys, tmp_path):
    code, out, _ = run(capsys, "quickstart", "--out", tmp_path)
    assert code == 0
    assert "contain the realised accuracy" in out
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("key", ["length(answer) > 40", "provider"])
def test_slices_may_use_columns_that_profiles_do_not_keep(capsys, tmp_path, key):
    profiles = tmp_path / "p.parquet"
    code, out, err = run(capsys, "report", corpus_path("smollm2"), "--by", key, "--json")
    assert code == 0, err
    assert sum(row["n"] for row in json.loads(out)["estimates"]) == 1200
    assert run(capsys, "profile", corpus_path("smollm2"), "--by", key, "--out", profiles)[0] == 0
    again = json.loads(run(capsys, "report", profiles, "--by", key, "--json")[1])
    assert again["estimates"] == json.loads(out)["estimates"]


@pytest.mark.parametrize(("key", "n_slices"), [("model", 1), ("domain", 2)])
def test_too_few_slices_for_an_estimate_have_the_interval_of_their_labels(capsys, tmp_path, key, n_slices):
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(_line(i, correct=bool(i % 3) if i % 2 or i < 30 else None) for i in range(40)))
    code, out, _ = run(capsys, "report", file, "--by", key, "--json")
    assert code == 0
    found = json.loads(out)
    assert len(found["estimates"]) == n_slices
    for row in (*found["estimates"], found["overall"]):
        assert row["basis"] == "labels"
        assert 0 < row["low"] <= row["accuracy"] <= row["high"] < 1


def test_a_folder_is_read_as_its_files(capsys, tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.jsonl").write_text(_line(i))
    code, out, _ = run(capsys, "report", tmp_path, "--json")
    assert code == 0
    assert json.loads(out)["n"] == 2


def test_a_sentinel_that_is_not_there_is_named(capsys, tmp_path):
    code, _, err = run(capsys, "estimate", corpus_path("smollm2"), "--sentinel", tmp_path / "no.nilo")
    assert code == 2
    assert "no.nilo: no such file" in err


def test_a_label_file_with_one_label_says_how_many_are_needed(capsys, tmp_path):
    file, labels = tmp_path / "t.jsonl", tmp_path / "l.csv"
    file.write_text("\n".join(_line(i) for i in range(20)))
    labels.write_text("trace_id,correct\nr1,1\n")
    code, _, err = run(capsys, "report", file, "--labels", labels, "--by", "domain")
    assert code == 2
    assert "1 labels are not enough to fit. Label at least 10 responses." in err


def test_labels_of_other_models_stand_in_where_they_are_closer(capsys, tmp_path):
    for name in ("smollm2", "gemma3"):
        assert run(capsys, "fit", corpus_path(name), "--by", "domain", "--out", tmp_path / name)[0] == 0
    others = ["--others", tmp_path / "smollm2", "--others", tmp_path / "gemma3"]
    code, out, err = run(capsys, "report", corpus_path("specialist"), "--by", "domain", "--json", *others)
    assert code == 0, err
    document = json.loads(out)
    assert any("predicted from 2 other models" in note for note in document["notes"])
    alone = json.loads(run(capsys, "report", corpus_path("specialist"), "--by", "domain", "--json")[1])
    assert document["estimates"] == alone["estimates"]  # two weak models say nothing about a competent one
    code, out, err = run(capsys, "report", corpus_path("gemma3"), "--by", "domain", *others[:2])
    assert code == 0
    assert "from the labels of one other model" in out


def test_terminal_names_what_to_label_and_acquire_and_the_commands(capsys, tmp_path):
    file = tmp_path / "few.parquet"
    table = read_traces(corpus_path("specialist")).read_all().take(list(range(0, 7200, 5)))
    few = pa.array([value if i % 3 else None for i, value in enumerate(table["correct"].to_pylist())], pa.float32())
    write_traces(file, table.set_column(table.column_names.index("correct"), "correct", few))
    code, out, err = run(capsys, "report", file, "--by", "domain")
    assert code == 0, err
    words = " ".join(out.split())
    assert "Label next, of 100:" in words
    assert f"  nilometer plan label {file} --by domain --budget 100 --out plan.jsonl" in out.splitlines()
    assert "among the worst 3" in words
    assert "No response has a time" in err


def test_prompts_and_answers_are_shown_only_when_asked_for(capsys, smollm2, tmp_path):
    page = tmp_path / "report.html"
    words = ("--by", "domain", "--json", "--out", page, "--examples")
    _, out, _ = run(capsys, "report", corpus_path("smollm2"), *words)
    unasked, shown = smollm2[0].read_text(encoding="utf-8"), json.loads(out)["examples"]
    assert json.loads(smollm2[2])["examples"] == []
    assert "<mark" not in unasked
    assert shown
    assert "<mark" in page.read_text(encoding="utf-8")
    assert shown[0]["trace_id"] not in unasked


def test_markdown_and_junit_are_printed_or_written_by_their_ending(capsys, tmp_path):
    files = (corpus_path("smollm2"), "--by", "domain", "--fail-under", "0.1")
    code, out, _ = run(capsys, "report", *files, "--format", "md", "--out", tmp_path / "gate.xml")
    assert code == 3
    assert out.startswith("### Accuracy per slice\n")
    assert "<testsuite" in (tmp_path / "gate.xml").read_text(encoding="utf-8")
    code, out, _ = run(capsys, "report", *files, "--format", "junit", "--out", tmp_path / "r.md")
    assert out.startswith("<?xml")
    assert (tmp_path / "r.md").read_text(encoding="utf-8").startswith("### Accuracy per slice\n")


def test_junit_without_a_least_accuracy_is_refused_before_any_work(capsys, tmp_path):
    for asked in (("--format", "junit"), ("--out", tmp_path / "gate.xml")):
        code, _, err = run(capsys, "report", tmp_path / "missing.jsonl", *asked)
        assert code == 2
        assert "JUnit output needs `--fail-under`" in err


def test_suggested_commands_name_the_files_and_options(smollm2):
    page = smollm2[0].read_text(encoding="utf-8")
    assert f"nilometer plan acquire {corpus_path('smollm2')} --by domain --budget 1000" in page


def test_a_closed_pipe_does_not_cost_the_page(tmp_path):
    page = tmp_path / "report.html"
    code = "import sys; from nilometer.cli import main; sys.argv[0] = 'nilometer'; main()"
    words = ["report", str(corpus_path("smollm2")), "--by", "domain", "--out", str(page)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        process.stdout.close()
        process.wait(timeout=120)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_labels_that_contradict_each_other_are_counted_and_the_rule_is_said(call, tmp_path):
    ids = ["chatcmpl-00001", "chatcmpl-00002", "chatcmpl-00003"]
    rows = [f"{ids[0]},1", f"{ids[0]},0", f"{ids[1]},1", f"{ids[1]},1", f"{ids[2]},0", "nobody,1"]
    (tmp_path / "l.csv").write_text("trace_id,correct\n" + "\n".join(rows) + "\n")
    _, _, err = call(f"report profiles.parquet --labels {tmp_path}/l.csv --labels labels.csv --by tenant")
    assert "labelled ids match a response" in err
    assert "1 match none, for example nobody." in err
    assert (
        "1 ids have labels that contradict each other: the latest label by `time` counts, without times the last" in err
    )


def test_every_suggested_command_is_one_whole_line_that_runs_whatever_the_terminal(call, monkeypatch, tmp_path):
    from nilometer.cli import common

    monkeypatch.setattr(common, "_PIPE_WIDTH", 40)
    monkeypatch.setenv("NO_COLOR", "1")
    _, out, _ = call("report profiles.parquet --labels labels.csv --by tenant --confidence-level 0.9")
    commands = [line.strip() for line in out.splitlines() if line.startswith("  nilometer ")]
    assert [command.split(" profiles")[0] for command in commands] == [
        "nilometer watch",
        "nilometer plan label",
        "nilometer plan acquire",
    ]
    for command in commands:
        assert "--labels labels.csv --confidence-level 0.9 --by tenant" in command
        safe = command.replace("--out ", f"--out {tmp_path}/")
        code, _, err = call(safe)
        assert code in {0, 3}, err
    assert "\x1b" not in out


def test_the_terminal_shows_the_worst_twenty_slices_and_says_how_to_see_the_rest(capsys, tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(_line(i, correct=True) for i in range(90)))
    shared = ("report", file, "--by", "trace_id[2:]::int % 30")
    _, out, _ = run(capsys, *shared)
    rows = [line for line in out.splitlines() if line.split() and line.split()[0].isdigit()]
    assert "10 more slices with fewer errors: --all prints them, --json too." in out
    _, whole, _ = run(capsys, *shared, "--all")
    assert len(whole.splitlines()) == len(out.splitlines()) + 9
    assert len([row for row in rows if "more slices" not in row]) == 20


def test_bad_labels_and_repeated_responses_are_said(capsys, tmp_path):
    file, labels = tmp_path / "t.jsonl", tmp_path / "l.csv"
    file.write_text("\n".join([*(_line(i) for i in range(20)), _line(3)]))
    labels.write_text("trace_id,correct\nr1,1\nr2,perhaps\n")
    code, _, err = run(capsys, "report", file, "--labels", labels)
    assert code == 2
    assert "1 labels are not enough to fit" in err
    assert "1 responses repeat a trace_id; all are kept." in err
    assert f"{labels}:3: " in err


def test_gate_leaves_out_slices_that_cannot_be_known(capsys, tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(_line(i, correct=True if i % 2 else None) for i in range(20)))
    code, out, err = run(capsys, "report", file, "--by", "domain", "--fail-under", "0.5", "--parts")
    assert code == 0
    assert "1 slices cannot be known and were not compared with 0.5." in err
    assert "by labels" in out


def test_profiles_have_no_examples_to_show(capsys, tmp_path):
    file, profiles, page = tmp_path / "t.jsonl", tmp_path / "p.parquet", tmp_path / "r.html"
    file.write_text("\n".join(_line(i) for i in range(20)))
    code, out, _ = run(capsys, "profile", file, "--out", profiles, "--json")
    assert (code, json.loads(out)["n"]) == (0, 20)
    assert run(capsys, "report", profiles, "--examples", "--out", page)[0] == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_most_unsure_twenty_slices_are_ranked(capsys, tmp_path):
    file = tmp_path / "t.jsonl"
    rows = [{**json.loads(_line(i, logprob=-0.01 * (i + 1))), "metadata": {"domain": f"d{i}"}} for i in range(25)]
    file.write_text("\n".join(map(json.dumps, rows)))
    code, out, _ = run(capsys, "report", file, "--by", "domain")
    assert code == 0
    assert "5 more slices: --all prints them, --json too." in out
    assert "d24" in out.splitlines()[2]
