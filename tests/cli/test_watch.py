import json

import pyarrow.parquet as pq
import pytest

from nilometer.cli import main
from nilometer.traces import corpus_path, read_traces, write_traces


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    table = read_traces(corpus_path("specialist")).read_all()
    levels = [dict(row)["level"] for row in table["attributes"].to_pylist()]
    odd = [i % 2 == 1 for i in range(len(levels))]
    easy = [level in "123" for level in levels]
    for name, rows in {
        "reference": [e and o for e, o in zip(easy, odd, strict=True)],
        "same": [e and not o for e, o in zip(easy, odd, strict=True)],
        "harder": [not e for e in easy],
    }.items():
        write_traces(folder / f"{name}.parquet", table.filter(rows))
    return folder


def test_watch_exits_3_with_an_alert_and_0_without(capsys, parts):
    shared = ("--reference", parts / "reference.parquet", "--every", "1800", "--by", "domain")
    page = parts / "watch.html"
    code, out, _ = run(capsys, "watch", parts / "harder.parquet", *shared, "--json", "--out", page)
    assert "</summary>\n<ul>" in page.read_text(encoding="utf-8")
    assert "<svg" in page.read_text(encoding="utf-8")
    assert code == 3
    assert "accuracy changed" in {alert["kind"] for alert in json.loads(out)["alerts"]}
    code, out, err = run(capsys, "watch", parts / "same.parquet", *shared)
    assert code == 0, out
    assert "No alert." in out
    assert "labels say" not in err  # the labels of the reference are in the estimates


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--every", "day"), "no response has a time"),
        (("--every", "fortnight"), "no response has a time"),
        (("--reference-until", "soon"), "`--reference-until` must be a time like"),
        (("--every", "1000000"), "0 are to be watched"),
    ],
)
def test_what_cannot_be_watched_exits_2(capsys, parts, arguments, text):
    code, _, err = run(capsys, "watch", parts / "same.parquet", "--by", "domain", *arguments)
    assert code == 2
    assert text in err
    assert pq.read_metadata(parts / "same.parquet").num_rows > 0


def test_watch_slices_by_columns_that_profiles_do_not_keep(capsys, parts):
    arguments = (
        "watch",
        parts / "same.parquet",
        "--reference",
        parts / "reference.parquet",
        "--every",
        "1800",
        "--by",
        "length(answer) > 40",
        "--json",
    )
    code, out, err = run(capsys, *arguments)
    assert code in {0, 3}, err
    assert {row["slice"] for row in json.loads(out)["rows"]} == {"false", "true"}


def test_a_glob_that_the_shell_wrote_out_is_the_reference_wherever_it_stands(call):
    old, new = (" ".join(f"traces/2026-09-{day:02}.jsonl" for day in days) for days in (range(1, 4), range(9, 11)))
    files = f"{new} --reference {old} --by tier"
    found = [
        call(f"watch {line} --json") for line in (files, f"--by tier {new} --reference 'traces/2026-09-0[123].jsonl'")
    ]
    assert json.loads(found[0][1])["rows"] == json.loads(found[1][1])["rows"]
    for order in (f"--by tier {new} --reference {old}", f"--reference {old} --by tier {new}"):
        assert json.loads(call(f"watch --json {order}")[1])["rows"] == json.loads(found[0][1])["rows"]
    assert "450 responses are the reference (2026-09-01 to 2026-09-03), 300 are watched." in call(f"watch {files}")[2]
    code, _, err = call(f"watch --by tier --reference {old} {new}")
    assert code == 2
    assert "which of the 5 files after `--reference` are to be watched? Name these first" in err


def test_one_name_for_the_least_accuracy_and_the_old_one_still_works(call):
    shared = "watch profiles.parquet --labels labels.csv --by tenant --every week --json"
    found = [json.loads(call(f"{shared} {name} 0.4")[1])["alerts"] for name in ("--fail-under", "--below")]
    assert "estimate below" in {alert["kind"] for alert in found[0]}
    assert found[0] == found[1]
    assert "--below" not in call("watch --help")[1]


def test_labels_and_no_sentinel_fit_one_on_the_first_window(call):
    shared = "watch profiles.parquet --by tenant --every week --json"
    none = json.loads(call(shared)[1])
    assert {row["estimate"]["basis"] for row in none["rows"]} == {"nothing"}
    found = json.loads(call(f"{shared} --labels labels.csv")[1])
    assert "the sentinel is fitted on labels of the reference" in found["notes"]
    assert {row["estimate"]["basis"] for row in found["rows"]} <= {"both", "logprobs"}
    assert all(row["estimate"]["accuracy"] is not None for row in found["rows"])
