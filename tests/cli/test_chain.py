"""One number per slice: report, estimate, watch, plan and measure say the same in JSON, terminal, page and Markdown."""

import contextlib
import csv
import io
import json
import os
import re
import shlex
from pathlib import Path

import pytest

from nilometer.cli import main


def _json(call, command):
    return json.loads(call(f"{command} --json")[1])


REPORT = "report profiles.parquet --labels labels.csv --by tenant"
NUMBERS = ("slice", "n", "accuracy", "low", "high", "confidence_level", "n_labels", "basis")


def _numbers(rows):
    return {row["slice"]: tuple(row[name] for name in NUMBERS) for row in rows}


@pytest.fixture(scope="module")
def report(month_folder):
    here, out = Path.cwd(), io.StringIO()
    os.chdir(month_folder)
    try:
        with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
            main(shlex.split(f"{REPORT} --json"))
    finally:
        os.chdir(here)
    return json.loads(out.getvalue())


def test_terminal_page_and_markdown_show_the_numbers_of_the_report(call, report, tmp_path):
    _, out, _ = call(REPORT)
    _, markdown, _ = call(f"{REPORT} --format md --out {tmp_path}/r.html")
    page = re.sub(r"<[^>]*>", " ", (tmp_path / "r.html").read_text(encoding="utf-8"))
    for row in report["estimates"]:
        ends = f"{row['low']:.2f} to {row['high']:.2f}"
        cells = [row["slice"], str(row["n"]), f"{row['accuracy']:.2f}", ends, row["basis"], str(row["n_labels"])]
        assert " ".join(cells) in re.sub(" +", " ", out)
        assert f"| {' | '.join(cells[:5])} |" in markdown
        assert ends in page
    overall = report["overall"]
    assert f"all traffic 1,800 {overall['accuracy']:.2f}" in re.sub(" +", " ", out)
    assert f"{overall['accuracy']:.0%} of the answers are correct" in markdown


def test_a_saved_sentinel_and_the_same_labels_give_the_same_numbers(call, report, tmp_path):
    call(f"fit profiles.parquet --labels labels.csv --by tenant --out {tmp_path}/s.nilo")
    files = f"profiles.parquet --labels labels.csv --by tenant --sentinel {tmp_path}/s.nilo"
    for rows in (_json(call, f"estimate {files}"), _json(call, f"report {files}")["estimates"]):
        found = _numbers(rows)
        assert set(found) == set(_numbers(report["estimates"]))
        for name, numbers in _numbers(report["estimates"]).items():
            assert found[name][-2:] == numbers[-2:]
            assert found[name][1:6] == pytest.approx(numbers[1:6], abs=1e-5)


def test_the_gate_compares_the_number_of_the_page(call, report, tmp_path):
    least = sorted(row["accuracy"] for row in report["estimates"])[3] - 1e-4
    code, _, err = call(f"{REPORT} --fail-under {least} --out {tmp_path}/gate.xml")
    below = [row["slice"] for row in report["estimates"] if row["accuracy"] < least]
    assert code == 3
    assert set(re.search("Below [0-9.]+: (.*)[.]", err)[1].split(", ")) == set(below)
    assert (tmp_path / "gate.xml").read_text(encoding="utf-8").count("<failure") == len(below) == 3


def test_watch_shows_what_the_report_says_of_time(call, report):
    found = _json(call, report["commands"]["watch"].replace(" --out watch.html", ""))
    assert found["rows"] == report["watch"]["rows"]
    assert found["events"] == report["watch"]["events"]
    assert all(set(NUMBERS) <= set(row["estimate"]) for row in found["rows"])
    assert len(found["events"]) == 1
    said = found["events"][0]["sentence"]
    assert said.startswith("Since 2026-09-09: accuracy fell in ")
    assert "model_fingerprint changed from fp_a1d03e55 to fp_b2c90f71" in said


def test_a_window_of_the_watch_is_a_report_of_its_traffic(call, tmp_path):
    call(f"fit profiles.parquet --labels labels.csv --by tenant --out {tmp_path}/s.nilo")
    sentinel = f"--labels labels.csv --by tenant --sentinel {tmp_path}/s.nilo"
    rows = _json(call, f"watch profiles.parquet {sentinel} --every day")["rows"]
    day = _json(call, f"report traces/2026-09-03.jsonl {sentinel}")
    assert _numbers(row["estimate"] for row in rows if row["window"] == "2026-09-03") == _numbers(day["estimates"])


def test_a_plan_starts_from_the_numbers_of_the_report_and_its_labels_are_measured(call, report, tmp_path):
    command = report["commands"]["label"].replace("plan.jsonl", f"{tmp_path}/plan.jsonl")
    found = _json(call, command)
    assert found["slices"] == report["outlook"]["plan"]
    half = {row["slice"]: (row["high"] - row["low"]) / 2 for row in found["standing"]}
    assert {row["slice"]: row["half_width"] for row in found["slices"]} == half
    assert sum(row["n_new"] for row in found["slices"]) == len(found["labels"]) == 100
    measured = _json(call, f"plan measure {tmp_path}/plan.jsonl --labels truth.csv")
    assert {row["slice"] for row in measured} == {row["slice"] for row in report["estimates"]}
    with Path("truth.csv").open(encoding="utf-8") as file:
        truth = {row["trace_id"]: float(row["correct"]) for row in csv.DictReader(file)}
    planned = {row["trace_id"] for row in found["labels"]}
    assert sum(row["n_labels"] for row in measured) == 100
    assert planned <= set(truth)
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in measured)
    assert {row["basis"] for row in measured} == {"both"}


def test_slices_that_a_plan_does_not_ask_about_keep_their_number(call, tmp_path):
    files = "traces/2026-09-01.jsonl traces/2026-09-02.jsonl traces/2026-09-03.jsonl --labels labels.csv --by tenant"
    found = _json(call, f"plan label {files} --budget 3 --out {tmp_path}/plan.csv")
    measured = _numbers(_json(call, f"plan measure {tmp_path}/plan.csv --labels truth.csv"))
    report = _numbers(_json(call, f"report {files}")["estimates"])
    kept = {row["slice"] for row in found["slices"] if not row["n_new"]}
    assert 0 < len(kept) < len(report) == len(measured)
    for name in kept:
        assert measured[name] == pytest.approx(report[name], abs=1e-9)


def test_acquisition_starts_from_the_numbers_of_the_report(call, report):
    rows = _json(call, report["commands"]["acquire"])
    assert {row["slice"]: row["accuracy"] for row in rows} == {
        row["slice"]: row["accuracy"] for row in report["estimates"]
    }
    assert [row["n_new"] for row in rows] == [row["n_new"] for row in report["outlook"]["acquisition"]]


def test_only_label_plans_say_that_they_are_about_the_model_that_answers_now(call, report, tmp_path):
    said = "lans are about the 600 responses of the model that answers now"
    assert said in call(report["commands"]["label"].replace("plan.jsonl", f"{tmp_path}/plan.jsonl"))[2]
    assert said not in call(report["commands"]["acquire"])[2]


def test_labels_of_before_a_change_of_the_model_do_not_speak_for_after_it(call, report):
    with Path("truth.csv").open(encoding="utf-8") as file:
        truth = dict(csv.reader(file))
    assert "400 labels of before do not speak for the responses after it" in " ".join(report["notes"])
    assert report["overall"]["low"] < sum(value == "1" for value in truth.values()) / 1800 < report["overall"]["high"]
    late = _json(call, "report traces/2026-09-1*.jsonl --labels truth.csv --by tenant")
    assert all(row["n_labels"] == row["n"] for row in late["estimates"])
