"""Candidates that a server scores: what is asked of it, what comes out, and lines that cannot be scored."""

import json
import math

import pytest
from servers import FakeServer

from nilometer.cli import main


@pytest.fixture
def scored(capsys, tmp_path):
    """``scored(server, rows, *more)``: exit code, output and errors of ``decide --score``."""

    def run(server, rows, *more, kind="vllm", model=("--model-name", "m")):
        file = tmp_path / "p.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        arguments = ["decide", file, "--score", f"{kind}:{server.url}", *model, *more]
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def chat(probabilities):
    """A server of vLLM's shape whose assistant says these texts, each one token."""

    def reply(body, n):
        said = body["messages"][-1]["content"]
        entry = {"logprob": math.log(probabilities[said]), "decoded_token": said}
        return 200, {"prompt_logprobs": [None, {"1": entry}]}, {}

    return FakeServer(reply)


def test_a_chat_is_scored_with_the_labels_as_they_are(scored):
    with chat({"1": 0.2, "2": 0.5, "3": 0.1}) as server:
        code, out, err = scored(server, [{"prompt_id": "a", "prompt": "?"}], "--metric", "mse", "--labels", "1-3")
        assert sorted(body["messages"][-1]["content"] for body in server.bodies) == ["1", "2", "3"]
    assert code == 0, err
    assert json.loads(out)["value"] == pytest.approx((0.2 + 2 * 0.5 + 3 * 0.1) / 0.8)
    assert "Scored 3 candidates of 1 prompts; 20.0% of the probability is on none of them" in err


def test_answers_of_the_lines_are_the_truths(scored):
    rows = [
        {"prompt_id": f"p{i}", "prompt": "?", "answer": answer} for i, answer in enumerate(["2", "1", "2", "2"] * 3)
    ]
    with chat({"1": 0.2, "2": 0.7}) as server:
        code, out, err = scored(server, rows, "--metric", "accuracy", "--labels", "1-2", "--compare", "--json")
    assert code == 0, err
    cell = next(one for one in json.loads(out)["cells"] if (one["metric"], one["rule"]) == ("accuracy", "zero_one"))
    assert (json.loads(out)["n"], cell["value"]) == (12, pytest.approx(0.75))


def test_numbers_of_a_server_that_exceed_one_are_scaled_and_none_is_missing(scored):
    with chat({"a": 0.9, "b": 0.6}) as server:
        rows = [{"prompt": "?", "candidates": ["a", "b", "a"]}]
        code, out, err = scored(server, rows, "--metric", "accuracy")
        assert server.n_calls == 2
    row = json.loads(out)
    assert code == 0, err
    assert (row["value"], row["missing_mass"]) == ("a", 0)
    assert row["risk"] == pytest.approx(1 - 0.9 / 1.5)


def test_candidates_that_no_label_reads_leave_the_prompt_undecided(scored):
    with chat({"north": 0.5, "south": 0.2}) as server:
        rows = [{"prompt": "?", "candidates": ["north", "south"]}]
        code, out, err = scored(server, rows, "--metric", "mse", "--labels", "1-3")
    assert code == 0, err
    assert json.loads(out)["value"] is None
    assert "100.0% of the probability is on none of them, at most 100.0%" in err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("ab", "p.jsonl:1: `candidates` must be a list of texts, numbers or lists, got 'ab'."),
        (5, "got '5'."),
        ({"a": 1}, "must be a list"),
        (["a", None], "must be a list"),
        (["a", ""], "p.jsonl:1: a candidate must have a text, got ''."),
    ],
)
def test_candidates_of_another_form_are_refused_by_line(scored, given, says):
    with chat({}) as server:
        code, out, err = scored(server, [{"prompt": "?", "candidates": given}], "--metric", "accuracy")
        assert server.n_calls == 0
    assert (code, out) == (2, "")
    assert says in err


def test_what_scores_must_be_known_and_named(scored):
    with chat({}) as server:
        assert "must be hf:FOLDER, smollm2" in scored(server, [{"prompt": "?"}], "--metric", "mse", kind="claude")[2]
        assert "must name the model" in scored(server, [{"prompt": "?"}], "--metric", "mse", model=())[2]


@pytest.mark.parametrize("given", ["ab", 5, [{"a": 1}]])
def test_candidates_beside_samples_are_refused_by_line(capsys, tmp_path, given):
    file = tmp_path / "s.jsonl"
    file.write_text(json.dumps({"prompt_id": "a", "samples": ["1", "2"], "candidates": given}) + "\n")
    with pytest.raises(SystemExit) as ended:
        main(["decide", str(file), "--metric", "accuracy"])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert "s.jsonl:1: `candidates` must be a list of texts, numbers or lists" in err


def test_prompts_of_a_suite_are_scored_like_those_of_a_file(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["decide", "basic", "--score", "vllm:http://127.0.0.1:9/v1", "--model-name", "m", "--metric", "accuracy"])
    assert ended.value.code == 2
    assert "the prompt addition-1-0 has nothing to score" in capsys.readouterr().err
