import json

import pytest

from nilometer.cli import main

TOKEN = {
    "token": "4",
    "logprob": -0.1,
    "top_logprobs": [{"token": "4", "logprob": -0.1}, {"token": "5", "logprob": -3}],
}


def _line(name, logprobs):
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "4"},
        "finish_reason": "stop",
        "logprobs": logprobs,
    }
    return json.dumps({"id": name, "object": "chat.completion", "model": "m", "choices": [choice]})


def _code(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["doctor", *map(str, arguments)])
    return left.value.code


@pytest.fixture
def traces(tmp_path):
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(_line(f"t{i}", {"content": [TOKEN]}) + "\n" for i in range(3)))
    return path


def test_good_traces_leave_with_0(traces, capsys):
    assert _code(traces) == 0
    assert "3 responses" in capsys.readouterr().out


def test_traces_without_logprobs_leave_with_3(tmp_path, capsys):
    path = tmp_path / "bare.jsonl"
    path.write_text(_line("a", None) + "\n")
    assert _code(path) == 3
    assert "No response carries" in capsys.readouterr().out


def test_json_holds_the_diagnosis(traces, capsys):
    assert _code(traces, "--json", "--by", "model") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["usable"], document["coverage"][0]["slice"]) == (True, "m")


def test_a_missing_file_leaves_with_2(tmp_path):
    assert _code(tmp_path / "none.jsonl") == 2


def test_an_empty_file_leaves_with_2(tmp_path, capsys):
    path = tmp_path / "empty.jsonl"
    path.touch()
    assert _code(path) == 2
    assert "empty" in capsys.readouterr().err


def test_more_than_one_bad_line_in_a_hundred_leaves_with_2(traces, capsys):
    traces.write_text(traces.read_text() + '{"id": "cut\n')
    assert _code(traces) == 2
    assert f"{traces}:4: not a JSON object" in capsys.readouterr().err


def test_labels_that_match_nothing_leave_with_3(traces, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("trace_id,correct\nzz,1\n")
    assert _code(traces, "--labels", labels) == 3


def test_coverage_of_slices_is_a_table_that_ends(tmp_path, capsys):
    path = tmp_path / "traces.jsonl"
    row = {"answer": "4", "chosen_logprobs": [-0.1], "top_logprobs": [-0.1, -3.0]}
    lines = [{"trace_id": f"t{i}", "tenant": f"t{i % 70}", **row} for i in range(140)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert _code(path, "--by", "tenant") == 0
    out = capsys.readouterr().out
    assert "and 10 more (--json lists all)" in out
    assert "t1" in out


def test_profiles_are_judged_as_their_traces_are(call):
    command = "doctor {} --labels labels.csv --by tenant --json"
    found, wanted = (json.loads(call(command.format(given))[1]) for given in ("profiles.parquet", "traces"))
    for name in wanted.keys() - {"n_copies", "n_prompts", "models", "findings"}:  # profiles do not keep these
        assert found[name] == wanted[name], name
    for one, other in zip(found["models"], wanted["models"], strict=True):
        assert {**one, "tail_mass": {}} == {**other, "tail_mass": {}}
    assert found["n_prompts"] is None
    assert any("Profiles do not keep" in finding["message"] for finding in found["findings"])


def test_profiles_without_a_number_are_not_usable(call, tmp_path):
    path = tmp_path / "bare.jsonl"
    path.write_text(_line("a", None) + "\n")
    assert call(f"profile {path} --out {tmp_path}/p.parquet")[0] == 0
    code, out, _ = call(f"doctor {tmp_path}/p.parquet")
    assert code == 3
    assert "No response carries log-probabilities" in out


def test_dates_and_slice_keys_are_listed_with_values_and_labels(call):
    _, out, _ = call("doctor traces --labels labels.csv")
    assert "2026-09-01 08:00 to 2026-09-12 15:27 UTC; 0 with their prompt" in out
    found = json.loads(call("doctor traces --labels labels.csv --json")[1])
    keys = {key["key"]: key for key in found["keys"]}
    assert list(keys) == ["tenant", "tier"]
    assert keys["tier"]["values"] == [
        {"slice": "free", "n": 1200, "n_labels": 268},
        {"slice": "paid", "n": 600, "n_labels": 132},
    ]
    assert "free 1,200 (268), paid 600 (132)" in out
    assert sum(value["n_labels"] for value in keys["tenant"]["values"]) == found["n_labels"] == 400
    assert "fp_a1d03e55 2026-09-01 to 2026-09-08; fp_b2c90f71 2026-09-09 to 2026-09-12" in out


def test_bad_lines_of_labels_are_named(traces, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text("trace_id,correct\nt0,1\nt1,perhaps\n")
    assert _code(traces, "--labels", labels) == 0
    assert "labels.csv:3: " in capsys.readouterr().err
