import json

import pytest

from nilometer.cli import main
from nilometer.models import read_thresholds
from nilometer.traces import corpus_path


def _run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_thresholds_are_written_and_shares_add_up(tmp_path, capsys):
    out = tmp_path / "t.json"
    assert _run("sampler", str(corpus_path("smollm2")), "--out", str(out), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert read_thresholds(out).entropy_high == said["entropy_high"]
    assert sum(said["shares"].values()) == pytest.approx(1)
    assert said["shares"]["lost"] + said["shares"]["spread"] == pytest.approx(0.1, abs=0.005)
    assert _run("sampler", str(corpus_path("smollm2")), "--out", str(out)) == 0
    assert "entropy      low below" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("--low", "0.9", "--high", "0.2"), "low <= high"), (("--low", "2"), "low"), (("--out",), "out")],
)
def test_wrong_flags_are_mistakes(tmp_path, capsys, arguments, reason):
    given = ["sampler", str(corpus_path("smollm2"))]
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "t.json")]
    assert _run(*given, *out, *arguments) == 2
    assert reason in capsys.readouterr().err


def test_record_with_a_sampler_needs_a_model_in_process(tmp_path, capsys):
    out = tmp_path / "t.json"
    _run("sampler", str(corpus_path("smollm2")), "--out", str(out))
    common = ("--suite", "basic", "--out", str(tmp_path / "r"), "--sampler", str(out))
    assert _run("record", "--model", "openai:http://x", "--model-name", "m", *common) == 2
    assert "a server draws its own tokens" in capsys.readouterr().err
