"""Ratios of a benchmark against the committed ones."""

import argparse
import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
COMMITTED = {"ratios": {"loop": 10.0, "peer": 2.0}, "sizes": [{"ratio": 4, "seconds": 1.0}], "n": 3}


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("ratios", FOLDER / "ratios.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_ratios_are_compared(module):
    assert dict(module.ratios(COMMITTED)) == {"ratios.loop": 10.0, "ratios.peer": 2.0, "sizes[0].ratio": 4.0}


@pytest.mark.parametrize("file", sorted((FOLDER / "results").glob("*.json")), ids=lambda path: path.stem)
def test_every_committed_result_has_a_ratio_and_equals_itself(module, file):
    result = json.loads(file.read_text(encoding="utf-8"))
    assert module.lower_ratios(result, result, 0.0) == []


def test_a_ratio_may_be_lower_by_the_tolerance_and_no_more(module):
    now = {"ratios": {"loop": 10.0 / 1.5, "peer": 2.0 / 1.51}, "sizes": [{"ratio": 99}]}
    assert module.lower_ratios(now, COMMITTED, 0.5) == ["ratios.peer: 1.3245, committed 2"]


def test_results_without_a_common_ratio_are_refused(module):
    with pytest.raises(ValueError, match="must have a ratio in common"):
        module.lower_ratios({"ratio": 1.0}, COMMITTED, 0.5)


def test_a_check_writes_nothing_and_exits_1_on_a_lower_ratio(module, tmp_path, capsys):
    committed, written = tmp_path / "committed.json", tmp_path / "new.json"
    committed.write_text(json.dumps(COMMITTED))
    options = argparse.Namespace(check=committed, tolerance=0.5)
    for result, code in ((COMMITTED, 0), ({"ratios": {"loop": 1.0}}, 1)):
        with pytest.raises(SystemExit) as caught:
            module.finish(result, written, options)
        assert caught.value.code == code
    assert "ratios.loop: 1, committed 10" in capsys.readouterr().err
    assert not written.exists()


@pytest.mark.parametrize(
    "script", sorted(set(FOLDER.glob("*.py")) - {FOLDER / "ratios.py"}), ids=lambda path: path.stem
)
def test_every_benchmark_can_be_checked(script):
    text = script.read_text(encoding="utf-8")
    assert "add_check(parser)" in text
    assert "finish(result, RESULT, " in text
