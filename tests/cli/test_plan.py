import json
import re

import numpy as np
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
def folder(tmp_path_factory):
    """Every fourth response of the corpus, a fifth of them labelled; all labels stand in a file."""
    folder = tmp_path_factory.mktemp("plan")
    table = read_traces(corpus_path("specialist")).read_all().take(pa.array(np.arange(0, 7200, 4)))
    truth = table["correct"].to_numpy()
    shown = np.where(np.random.default_rng(0).random(len(truth)) < 0.2, truth, np.nan)
    place = table.column_names.index("correct")
    write_traces(
        folder / "few.parquet", table.set_column(place, "correct", pa.array(shown, pa.float32(), from_pandas=True))
    )
    none = pa.nulls(len(truth), pa.float32())
    write_traces(folder / "none.parquet", table.set_column(place, "correct", none))
    rows = zip(table["trace_id"].to_pylist(), truth, strict=True)
    (folder / "labels.csv").write_text("trace_id,correct\n" + "".join(f"{a},{int(b)}\n" for a, b in rows))
    return folder


def test_plan_label_then_measure(capsys, folder, tmp_path):
    plan, tasks = tmp_path / "plan.jsonl", tmp_path / "tasks.json"
    code, out, _ = run(
        capsys,
        "plan",
        "label",
        folder / "few.parquet",
        "--by",
        "domain",
        "--budget",
        "100",
        "--out",
        plan,
        "--label-studio",
        tasks,
        "--argilla",
        tmp_path / "records.jsonl",
        "--json",
    )
    assert code == 0
    assert sum(row["n_new"] for row in json.loads(out)["slices"]) == 100
    assert json.loads(tasks.read_text())[0]["data"]["prompt"]
    code, out, err = run(capsys, "plan", "measure", plan, "--labels", folder / "labels.csv", "--json")
    assert code == 0
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in json.loads(out) if row["accuracy"] is not None)
    assert "100 of 100 planned responses have labels" in err


def test_plan_label_without_any_label_spreads_them(capsys, folder, tmp_path):
    plan = tmp_path / "plan.csv"
    code, out, err = run(
        capsys, "plan", "label", folder / "none.parquet", "--by", "domain", "--budget", "48", "--out", plan
    )
    assert code == 0
    assert "All slices without labels count as unknown" in err
    assert "expected" in out
    assert plan.read_text().startswith("trace_id,slice,")


def test_plan_acquire_with_costs(capsys, folder, tmp_path):
    costs = tmp_path / "costs.csv"
    code, out, _ = run(capsys, "plan", "acquire", folder / "few.parquet", "--by", "domain", "--budget", "500", "--json")
    rows = json.loads(out)
    assert code == 0
    assert sum(row["n_new"] for row in rows) <= 500
    assert len(rows[0]["examples"]) == 5
    lines = [f"{row['slice']},{1 + 9 * (row['slice'] == rows[0]['slice'])}\n" for row in rows]
    costs.write_text("slice,cost\nnowhere,1\n" + "".join(lines))
    shared = ("plan", "acquire", folder / "few.parquet", "--by", "domain", "--budget", "500", "--cost", costs)
    code, out, err = run(capsys, *shared)
    assert code == 0
    assert "No response is in the slice nowhere" in err
    assert "a learning curve of exponent 0.3" in err
    assert re.search(r"with 0\.2, \d+%; with 0\.5, \d+%", err)
    costs.write_text("slice,cost\n" + lines[0])
    code, _, err = run(capsys, *shared)
    assert code == 2
    assert "must name every slice" in err


def test_plan_slices_needs_no_labels(capsys, folder):
    code, out, _ = run(capsys, "plan", "slices", folder / "none.parquet", "--by", "domain", "--k", "3", "--json")
    assert code == 0
    scores = [row["mean_largest_entropy"] for row in json.loads(out)]
    assert scores[0] < scores[1] < scores[2]


def test_plan_weak_finds_the_hard_levels_and_bears_embeddings(capsys, folder, tmp_path):
    np.save(tmp_path / "e.npy", np.random.default_rng(0).random((1800, 4)))
    code, out, _ = run(
        capsys, "plan", "weak", folder / "few.parquet", "--by", "domain", "--embeddings", tmp_path / "e.npy", "--json"
    )
    assert code == 0
    found = {row["slice"]: row["confirmed"] for row in json.loads(out)}
    assert found["level=6"] == "confirmed"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("label", "few.parquet", "--by", "domain", "--budget", "5000", "--out", "p.jsonl"),
            "`budget` must lie in 1 to",
        ),
        (("label", "few.parquet", "--by", "domain", "--budget", "0", "--out", "p.jsonl"), "Invalid value"),
        (("acquire", "none.parquet", "--by", "domain", "--budget", "5"), "no accuracy is known without labels"),
        (("acquire", "few.parquet", "--by", "domain", "--budget", "-5"), "`budget` must be > 0"),
        (("weak", "none.parquet", "--by", "domain"), "no accuracy is known without labels"),
        (("slices", "none.parquet", "--by", "domain", "--k", "99"), "99 slices cannot be chosen of 12"),
        (("measure", "labels.csv", "--labels", "labels.csv"), "labels.csv:2: not a line of a label plan"),
        ((), "Missing command"),
    ],
)
def test_mistakes_exit_2(capsys, folder, monkeypatch, arguments, text):
    monkeypatch.chdir(folder)
    code, _, err = run(capsys, "plan", *arguments)
    assert code == 2
    assert text in err


def test_plan_slices_by_columns_that_profiles_do_not_keep(capsys):
    code, out, err = run(capsys, "plan", "slices", corpus_path("smollm2"), "--k", "2", "--by", "length(answer) > 40")
    assert code == 0, err
    assert "true" in out


def test_plan_measure_shows_a_table_and_refuses_labels_of_others(capsys, folder, tmp_path):
    plan = tmp_path / "plan.jsonl"
    shared = ("plan", "label", folder / "few.parquet", "--by", "domain", "--budget", "100", "--out", plan)
    assert run(capsys, *shared)[0] == 0
    code, out, _ = run(capsys, "plan", "measure", plan, "--labels", folder / "labels.csv")
    assert code == 0
    assert re.search(r"0\.\d\d to \d\.\d\d +both", out)
    (tmp_path / "others.csv").write_text("trace_id,correct\nnobody,1\n")
    code, _, err = run(capsys, "plan", "measure", plan, "--labels", tmp_path / "others.csv")
    assert (code, "none of the 1 labels belongs to a response of" in err) == (2, True)


def test_plan_weak_shows_what_is_confirmed_and_what_to_label(capsys, folder):
    code, out, _ = run(capsys, "plan", "weak", folder / "few.parquet", "--by", "domain")
    assert code == 0
    assert re.search(r"level=6 +\d+ +0\.\d\d +0\.\d\d \(\d+\) +confirmed", out)
    code, out, err = run(capsys, "plan", "weak", folder / "few.parquet", "--by", "domain", "--least", "1700")
    assert (code, "No slice is worse than all traffic" in err) == (0, True)
