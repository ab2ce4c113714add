"""Profiles from a Ray cluster are those of one process; the tests of Ray run where it is installed."""

import shutil
from pathlib import Path

import pytest

from nilometer.cli import main
from nilometer.signals import read_profiles
from nilometer.traces import corpus_path

WIRE = Path(__file__).parents[1] / "traces" / "wire"


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as exit:
        main(["profile", *map(str, arguments)])
    return exit.value.code, capsys.readouterr()


def test_unknown_runner_is_refused(capsys, tmp_path):
    code, out = _run(capsys, WIRE / "vllm_chat.jsonl", "--out", tmp_path / "p.parquet", "--runner", "spark")
    assert code == 2
    assert "`--runner` must be process or ray, got 'spark'" in out.err


def test_ray_that_is_missing_is_named(capsys, tmp_path):
    try:
        import ray  # noqa: F401
    except ImportError:
        code, out = _run(capsys, WIRE / "vllm_chat.jsonl", "--out", tmp_path / "p.parquet", "--runner", "ray")
        assert code == 2
        assert "Install `nilometer[ray]`" in out.err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_gives_the_profiles_of_one_process(capsys, tmp_path):
    pytest.importorskip("ray")
    files = [corpus_path("gemma3"), WIRE / "vllm_chat.jsonl"]
    tables = []
    for runner in ("process", "ray"):
        out = tmp_path / f"{runner}.parquet"
        assert _run(capsys, *files, "--out", out, "--runner", runner)[0] == 0
        tables.append(read_profiles([out]).combine_chunks())
    assert tables[0].equals(tables[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_file_that_ray_cannot_read_is_named(capsys, tmp_path):
    pytest.importorskip("ray")
    shutil.copy(WIRE / "vllm_chat.jsonl", tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text("no JSON\n" * 10)
    code, out = _run(capsys, tmp_path / "*.jsonl", "--out", tmp_path / "p.parquet", "--runner", "ray")
    assert code == 2
    assert "b.jsonl" in out.err
