"""Three people try nilometer on a month of a team's traffic: commands as typed, and what they must see."""

import csv
import json
import re
from pathlib import Path


def _page(name):
    text = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", Path(name).read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)


def test_platform_engineer_from_raw_responses_to_measured_labels(call, tmp_path):
    code, out, _ = call("nilometer doctor traces --labels labels.csv --by tenant")
    assert code == 0
    assert "1,800 responses" in out
    assert "usable" in out.splitlines()[-1]

    code, out, err = call(f"nilometer report traces --labels labels.csv --by tenant --out {tmp_path}/report.html")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["tenant", "n", "accuracy", "interval", "rests", "on", "labels"]
    assert lines[1].startswith("all traffic")
    (event,) = [line for line in lines if line.startswith("ALERT")]
    assert "Since 2026-09-09: accuracy fell" in event
    assert "model_fingerprint changed from fp_a1d03e55 to fp_b2c90f71" in event
    assert "400 labels of before do not speak for the responses after it" in err

    assert call(f"nilometer profile traces --out {tmp_path}/profiles.parquet")[0] == 0
    files = f"{tmp_path}/profiles.parquet --labels labels.csv --by tenant"
    assert call(f"nilometer report {files}")[1].splitlines()[:9] == lines[:9]
    assert call(f"nilometer fit {files} --out {tmp_path}/tenants.nilo")[0] == 0
    assert call(f"nilometer estimate {files} --sentinel {tmp_path}/tenants.nilo")[1].splitlines()[:9] == lines[:9]

    code, out, _ = call(f"nilometer watch {files} --reference-until 2026-09-06 --every day --out {tmp_path}/watch.html")
    assert code == 3
    assert 1 <= sum(line.startswith("ALERT") for line in out.splitlines()) <= 3
    assert len(out.splitlines()) < 20

    code, out, err = call(f"nilometer plan label {files} --budget 160 --out {tmp_path}/plan.csv")
    assert code == 0
    assert "Plans are about the 600 responses of the model that answers now." in err
    filled = tmp_path / "filled.csv"
    with Path("truth.csv").open(encoding="utf-8") as file:
        truth = {row["trace_id"]: row["correct"] for row in csv.DictReader(file)}
    with (tmp_path / "plan.csv").open(encoding="utf-8", newline="") as file, filled.open("w", newline="") as done:
        reader = csv.DictReader(file)
        writer = csv.DictWriter(done, reader.fieldnames)
        writer.writeheader()
        writer.writerows({**row, "correct": truth.get(row["trace_id"], "")} for row in reader)
    code, out, _ = call(f"nilometer plan measure {tmp_path}/plan.csv --labels {filled} --json")
    assert code == 0
    rows = json.loads(out)
    assert len(rows) == 8
    widths = [(row["high"] - row["low"]) / 2 for row in rows]
    assert max(widths) < 0.2


def test_team_lead_reads_only_the_page(call, tmp_path):
    call(f"nilometer report profiles.parquet --labels labels.csv --by tenant --out {tmp_path}/report.html")
    first = _page(tmp_path / "report.html").split("All slices, most errors first")[0]
    assert re.search(r"\d+% of the answers are correct \(\d+% to \d+%\); \w+ has the most wrong ones", first)
    assert re.search(r"All traffic 0\.\d\d of the answers are correct, 0\.\d\d to 0\.\d\d", first)
    assert len(re.findall(r"\d+% of all errors", first)) == 3
    assert "Since 2026-09-09: accuracy fell" in first
    assert "Likely reason: model_fingerprint changed from fp_a1d03e55 to fp_b2c90f71" in first
    steps = first.split("What to do next")[1]
    assert re.search(r"nilometer watch profiles.parquet --labels labels.csv --by tenant --every day", steps)
    assert re.search(r"nilometer plan label profiles.parquet --labels labels.csv --by tenant --budget 100", steps)
    for word in ("nll_sum", "Kolmogorov", "exchangeable", "families"):
        assert word not in first


def test_team_lead_reads_the_watch_and_sees_one_event_before_its_evidence(call, tmp_path):
    call(f"nilometer watch profiles.parquet --labels labels.csv --by tenant --every day --out {tmp_path}/watch.html")
    text = Path(tmp_path / "watch.html").read_text(encoding="utf-8")
    before_fold = text.split("<details>")[0]
    assert before_fold.count("Since 2026-09-09") == 1
    assert "p = " not in before_fold
    assert "p = " in text
