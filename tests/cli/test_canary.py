import json
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest
from servers import FakeServer, completion

from nilometer.cli import main
from nilometer.errors import ConfigError, MissingLogprobsError, TraceFormatError
from nilometer.models import CANARY_PROMPTS, Canary, add_to_canary, ask_canary, read_canary, write_canary
from nilometer.traces import Trace


class NoisyRunner:
    """Log-probabilities of a model with normal noise, as a busy server has."""

    name = "m"

    def __init__(self, seed, shift=0.0, top=True):
        self._rng, self._shift, self._top = np.random.default_rng(seed), shift, top

    def answer(self, prompts, sampling, *, seed):
        def first(prompt):
            return -np.arange(1, sampling.k + 1) - len(prompt) / 9 + self._shift + self._rng.normal(0, 0.01, sampling.k)

        return [
            Trace(trace_id="", logprobs_mode="raw", top_logprobs=first(p)[None] if self._top else None) for p in prompts
        ]


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


@pytest.fixture
def records(tmp_path):
    for name, runner in {"old": NoisyRunner(0), "same": NoisyRunner(1), "new": NoisyRunner(2, 0.02)}.items():
        write_canary(tmp_path / f"{name}.json", ask_canary(runner, repeats=5, k=4))
    return tmp_path


def test_every_prompt_is_asked_as_often_as_said(records):
    found = read_canary(records / "old.json")
    assert {name: values.shape for name, values in found.arrays().items()} == dict.fromkeys(CANARY_PROMPTS, (5, 4))
    assert found.merged(found).arrays()["x"].shape == (10, 4)


def test_changed_model_exits_3_and_the_same_0(capsys, records):
    code, out, _ = run(capsys, "canary", "check", records / "old.json", "--against", records / "new.json")
    assert code == 3
    assert out.startswith("CHANGED: p = 0.0005, mean shift 0.02")
    code, out, _ = run(capsys, "canary", "check", records / "old.json", "--against", records / "same.json", "--json")
    assert code == 0
    assert json.loads(out)["changed"] is False


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("check", "old.json"), "give either `--model`"),
        (("check", "none.json", "--against", "old.json"), "none.json: No such file"),
        (("check", "bad.json", "--against", "old.json"), "bad.json: not a canary"),
        (("check", "old.json", "--model", "gpt"), "`--model` must be hf:FOLDER"),
        (("check", "old.json", "--against", "processed.json"), "`logprobs_mode` must be raw as in the record"),
        (("record", "new.json"), "Missing option"),
        (("sing",), "No such command"),
        ((), "Missing command"),
    ],
)
def test_mistakes_exit_2(capsys, records, monkeypatch, arguments, text):
    monkeypatch.chdir(records)
    (records / "bad.json").write_text("{}")
    processed = msgspec.structs.replace(read_canary(records / "old.json"), logprobs_mode="processed")
    write_canary(records / "processed.json", processed)
    code, _, err = run(capsys, "canary", *arguments)
    assert code == 2
    assert text in err


def test_answers_without_logprobs_are_refused():
    with pytest.raises(MissingLogprobsError, match="has no log-probabilities"):
        ask_canary(NoisyRunner(0, top=False), repeats=1)


def test_a_record_of_another_version_or_shape_is_refused(records):
    path = records / "old.json"
    text = path.read_text()
    path.write_text(text.replace('"format_version": 2', '"format_version": 9'))
    with pytest.raises(TraceFormatError, match="file version must be <= 2, got 9"):
        read_canary(path)
    write_canary(path, msgspec.structs.replace(read_canary(records / "new.json"), k=5))
    with pytest.raises(TraceFormatError, match="every answer must have k = 5"):
        read_canary(path)


def test_two_records_at_once_lose_nothing(tmp_path):
    found = Canary("m", 1, "raw", ["2026-01-01T00:00:00Z"], {"x": [[-0.5]]})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: add_to_canary(tmp_path / "c.json", found), range(24)))
    assert len(read_canary(tmp_path / "c.json").logprobs["x"]) == 24


def test_a_record_of_another_kind_is_refused_and_the_old_one_stays(tmp_path):
    path = tmp_path / "c.json"
    add_to_canary(path, Canary("m", 1, "raw", ["2026-01-01T00:00:00Z"], {"x": [[-0.5]]}))
    before = path.read_bytes()
    for other in (
        Canary("m", 2, "raw", ["2026-01-02T00:00:00Z"], {"x": [[-0.5, -1.0]]}),
        Canary("m", 1, "processed", ["2026-01-02T00:00:00Z"], {"x": [[-0.5]]}),
        Canary("m", 1, "raw", ["2026-01-02T00:00:00Z"], {"y": [[-0.5]]}),
    ):
        with pytest.raises(ConfigError, match=r"as in the record|of other prompts"):
            add_to_canary(path, other)
        assert path.read_bytes() == before


def test_a_model_is_recorded_and_asked_again(capsys, tmp_path):
    with FakeServer(lambda body, n: (200, completion("4"), {})) as server:
        model = ("--model", f"openai:{server.url}", "--model-name", "m", "--repeats", "2")
        (tmp_path / "prompts.txt").write_text("2 + 2?\n\n3 + 3?\n")
        (tmp_path / "other.txt").write_text("4 + 4?\n")
        asked = ("canary", "record", tmp_path / "c.json", *model, "--k", "1")
        code, _, err = run(capsys, *asked, "--prompts", tmp_path / "prompts.txt")
        assert (code, "4 answers to 2 prompts, asked at 1 times" in err) == (0, True)
        code, _, err = run(capsys, *asked)
        assert (code, "8 answers to 2 prompts, asked at 2 times" in err) == (0, True)
        code, _, err = run(capsys, *asked, "--prompts", tmp_path / "other.txt")
        assert (code, "the record is of other prompts" in err) == (2, True)
        code, out, _ = run(capsys, "canary", "check", tmp_path / "c.json", *model, "--permutations", "99")
        assert (code, out.startswith("No change seen")) == (0, True)


def test_a_record_of_version_1_is_read_and_gains_a_digest(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(
        '{"model":"m","k":1,"logprobs_mode":"raw","asked":["a"],"logprobs":{"x":[[-0.5]]},"format_version":1}'
    )
    add_to_canary(path, Canary("m", 1, "raw", ["b"], {"x": [[-0.7]]}))
    assert read_canary(path).logprobs == {"x": [[-0.5], [-0.7]]}
    path.write_text(path.read_text().replace("-0.7", "-0.8"))
    with pytest.raises(TraceFormatError, match="its digest must be that of what it holds"):
        read_canary(path)


def test_a_record_of_another_model_is_compared_and_said(capsys, records):
    other = msgspec.structs.replace(read_canary(records / "same.json"), model="n")
    write_canary(records / "other.json", other)
    code, _, err = run(capsys, "canary", "check", records / "old.json", "--against", records / "other.json")
    assert code == 0
    assert "The record is of the model m, this is n." in err
