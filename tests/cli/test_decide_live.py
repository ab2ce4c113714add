"""Live runs lose nothing, repeat nothing, and refuse what they would pass over."""

import json
import random
import subprocess
import sys
import time

import pytest
from servers import FakeServer, completion, of_two_minds

from nilometer.cli import main


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def prompts(path, texts):
    path.write_text("".join(json.dumps({"prompt_id": f"p{i}", "prompt": text}) + "\n" for i, text in enumerate(texts)))
    return path


def live(server, file, *more):
    return ("decide", file, "--live", f"openai:{server.url}", "--model-name", "m", *more)


def test_one_filtered_prompt_ends_alone(capsys, tmp_path):
    def reply(body, n):
        bad = "BAD" in body["messages"][-1]["content"]
        return (400, b"content_filter: prompt was filtered", {}) if bad else of_two_minds(body, n)

    file = prompts(tmp_path / "p.jsonl", [*(f"What is 2+{i}?" for i in range(9)), "BAD thing"])
    with FakeServer(reply) as server:
        code, out, err = run(
            capsys, *live(server, file, "--metric", "accuracy", "--samples", "8", "--journal", tmp_path / "j")
        )
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0, err
    assert sum(row["value"] is not None for row in rows) == 9
    assert "content_filter" in rows[-1]["reason"]
    assert "1 prompts cannot be decided" in err


def test_no_content_is_no_answer(capsys, tmp_path):
    file = prompts(tmp_path / "p.jsonl", ["a"])
    with FakeServer(lambda body, n: (200, completion(None, finish="length"), {})) as server:
        code, out, err = run(
            capsys, *live(server, file, "--metric", "accuracy", "--samples", "8", "--journal", tmp_path / "j")
        )
    assert code == 0, err
    assert json.loads(out)["value"] is None
    assert "8 answers could not be read" in err


def test_a_run_that_died_goes_on_without_paying_twice(capsys, tmp_path):
    def dies(body, n):
        return (500, b"", {}) if n > 20 else of_two_minds(body, n)

    file = prompts(tmp_path / "p.jsonl", [f"q{i}" for i in range(6)])
    arguments = ("--metric", "accuracy", "--samples", "12", "--journal", tmp_path / "j", "--max-wait", "0.1")
    with FakeServer(of_two_minds) as server:
        whole = run(capsys, *live(server, file, *arguments[:4], "--journal", tmp_path / "whole"))[1]
        server.reply = dies
        server.bodies.clear()
        code, out, err = run(capsys, *live(server, file, *arguments))
        assert (code, out) == (2, "")
        assert "20 answers are kept" in err
        server.reply = of_two_minds
        code, out, err = run(capsys, *live(server, file, *arguments))
        assert (code, out) == (0, whole), err
        answered = server.requests()
        assert max(answered.values()) <= 2  # those that failed with 500 are asked again, those answered are not


def test_metrics_of_a_batch_are_decided_after_the_draws(capsys, tmp_path):
    file = prompts(tmp_path / "p.jsonl", [f"q{i}" for i in range(3)])
    with FakeServer(of_two_minds) as server:
        arguments = ("--metric", "qwk", "--labels", "1-5", "--samples", "6", "--journal", tmp_path / "j")
        code, out, err = run(capsys, *live(server, file, *arguments))
        assert code == 0, err
        assert [json.loads(line)["n_samples"] for line in out.splitlines()] == [6, 6, 6]


def test_out_abstention_truths_and_prices_work_live(capsys, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt_id": "a", "prompt": "hm", "answer": "4"}\n')
    with FakeServer(lambda body, n: (200, completion("4" if n % 2 else "5"), {})) as server:
        arguments = ("--metric", "accuracy", "--samples", "8", "--journal", tmp_path / "j", "--abstain-cost", "0.01")
        code, out, err = run(
            capsys, *live(server, file, *arguments, "--out", tmp_path / "d.jsonl", "--price", "1000000,0", "--json")
        )
    assert code == 0, err
    assert json.loads((tmp_path / "d.jsonl").read_text())["abstained"] is True
    assert json.loads(out)["summary"]["cost"] == pytest.approx(40)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(["--fallback", "samples", "--live", "openai:http://127.0.0.1:9"], "fallback"), (["--samples", "8"], "samples")],
)
def test_options_that_would_be_passed_over_are_refused(capsys, tmp_path, arguments, option):
    file = prompts(tmp_path / "p.jsonl", ["a"])
    code, _, err = run(capsys, "decide", file, "--metric", "accuracy", *arguments)
    assert code == 2
    assert f"`--{option}` has no meaning" in err


def killed_at_random(server, command, *, rng, times):
    """Kill the command at random moments."""
    for _ in range(times):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        aim = server.n_calls + rng.randint(1, 6)
        deadline = time.monotonic() + 60
        while server.n_calls < aim and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        process.wait()


def resumed(capsys, tmp_path, *, times):
    file = prompts(tmp_path / "p.jsonl", [f"q{i}" for i in range(8)])
    with FakeServer() as server:
        answered = []

        def reply(body, n):
            time.sleep(0.01)
            answered.append(json.dumps(body, sort_keys=True))
            return of_two_minds(body, n)

        server.reply = reply
        words = [str(word) for word in live(server, file, "--metric", "accuracy", "--samples", "16")]
        words += ["--concurrency", "2", "--journal"]
        code, whole, err = run(capsys, *words, tmp_path / "w")
        assert code == 0, err
        answered.clear()
        journal = tmp_path / "j"
        command = [sys.executable, "-c", "from nilometer.cli import main; main()", *words, str(journal)]
        killed_at_random(server, command, rng=random.Random(0), times=times)
        code, last, err = run(capsys, *words, journal)
        assert (code, last) == (0, whole), err
        repeated = len(answered) - len(set(answered))
        assert len(journal.read_text().splitlines()) == len(set(answered))
        return repeated


def test_killed_runs_resume_to_the_same_decisions(capsys, tmp_path):
    # an answer on its way when the process dies cannot be kept: at most the two requests in flight at each kill
    assert resumed(capsys, tmp_path, times=2) <= 2 * 2


@pytest.mark.slow
def test_fifty_kills_change_nothing(capsys, tmp_path):
    assert resumed(capsys, tmp_path, times=50) <= 2 * 50


def scored_completion(text, *, top, before=1.0):
    """A chat completion whose last token is a score with these alternatives."""
    import math

    *lead, last = text.rpartition(" ")[0::2] if " " in text else ("", text)
    content = []
    if lead and lead[0]:
        first = {"token": f"{lead[0]} ", "logprob": math.log(before)}
        content.append({**first, "top_logprobs": [first]})
    rows = [{"token": token, "logprob": math.log(p)} for token, p in top.items()]
    content.append({**next(row for row in rows if row["token"] == last), "top_logprobs": rows})
    whole = completion(text)
    whole["choices"][0]["logprobs"] = {"content": content}
    return whole


def test_scale_is_settled_by_the_log_probabilities_of_one_call(capsys, tmp_path):
    def reply(body, n):
        assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
        return 200, scored_completion("4", top={"4": 0.6, "5": 0.3, "1": 0.08}), {}

    file = prompts(tmp_path / "p.jsonl", ["a", "b"])
    with FakeServer(reply) as server:
        code, out, err = run(
            capsys, *live(server, file, "--metric", "mse", "--labels", "1-5", "--journal", tmp_path / "j", "--json")
        )
        assert server.n_calls == 2
    found = json.loads(out)
    assert code == 0, err
    assert found["summary"]["n_scored"] == 2
    row = found["decisions"][0]
    assert row["value"] == pytest.approx((0.6 * 4 + 0.3 * 5 + 0.08 * 1) / 0.98)
    assert row["missing_mass"] == pytest.approx(0.02)
    assert row["mean_low"] < row["value"] == pytest.approx(row["mean_high"])  # every open label lies below the mean
    assert (row["n_samples"], row["is_settled"]) == (1, True)


def test_what_one_call_leaves_open_is_drawn_and_the_call_is_the_first_draw(capsys, tmp_path):
    def reply(body, n):
        if "top_logprobs" in body:
            return 200, scored_completion("reasoned: 4", top={"4": 0.9, "5": 0.1}, before=0.5), {}
        return 200, completion("4"), {}

    file = prompts(tmp_path / "p.jsonl", ["a"])
    with FakeServer(reply) as server:
        code, out, err = run(
            capsys, *live(server, file, "--metric", "mae", "--labels", "1-5", "--journal", tmp_path / "j")
        )
        assert server.n_calls == json.loads(out)["n_samples"] > 1
        assert sum("top_logprobs" in body for body in server.bodies) == 1
    assert code == 0, err
    assert json.loads(out)["value"] == 4


def test_server_that_refuses_log_probabilities_is_drawn_from(capsys, tmp_path):
    def reply(body, n):
        if "logprobs" in body:
            return 400, b'{"error": {"message": "logprobs is not supported with this model"}}', {}
        return of_two_minds(body, n)

    file = prompts(tmp_path / "p.jsonl", ["a", "b", "c", "d", "e"])
    with FakeServer(reply) as server:
        code, out, err = run(
            capsys,
            *live(server, file, "--metric", "mae", "--labels", "1-5", "--samples", 4, "--journal", tmp_path / "j"),
        )
    assert code == 0, err
    assert [json.loads(line)["value"] is not None for line in out.splitlines()] == [True] * 5


def test_candidates_are_scored_instead_of_drawn(capsys, tmp_path):
    import math

    def reply(body, n):
        choices = []
        for index, text in enumerate(body["prompt"]):
            tail = text.removeprefix("Score:\n")
            p = {"1": 0.2, "2": 0.5, "3": 0.1, " 2": 0.1}.get(tail, 1e-6)
            logprobs = {"tokens": ["Score:\n", tail, "!"], "token_logprobs": [None, math.log(p), -0.1]}
            choices.append({"index": index, "logprobs": logprobs})
        return 200, {"choices": choices}, {}

    file = prompts(tmp_path / "p.jsonl", ["Score:\n"])
    with FakeServer(reply) as server:
        score = ("decide", file, "--score", f"openai:{server.url}", "--model-name", "m", "--metric", "mse")
        code, out, err = run(capsys, *score, "--labels", "1-3")
        nothing = run(capsys, *score)
        passed_over = run(capsys, *score, "--labels", "1-3", "--samples", 4)
    row = json.loads(out)
    assert code == 0, err
    assert row["value"] == pytest.approx((0.2 + 2 * 0.6 + 3 * 0.1) / 0.9, abs=1e-4)
    assert row["missing_mass"] == pytest.approx(0.1, abs=1e-4)
    assert "Scored 6 candidates of 1 prompts; 10.0% of the probability is on none" in err
    assert nothing[0] == 2
    assert "has nothing to score" in nothing[2]
    assert "`--samples` has no meaning with `--score`" in passed_over[2]


def test_candidates_of_a_line_are_scored(capsys, tmp_path):
    def reply(body, n):
        said = body["messages"][-1]["content"]
        rows = [None, {"1": {"logprob": {"Oslo": -0.5, "Bergen": -1.5}[said], "decoded_token": said}}]
        return 200, {"prompt_logprobs": rows}, {}

    file = tmp_path / "p.jsonl"
    file.write_text(json.dumps({"prompt_id": "a", "prompt": "Where?", "candidates": ["Bergen", "Oslo"]}) + "\n")
    with FakeServer(reply) as server:
        code, out, err = run(
            capsys, "decide", file, "--score", f"vllm:{server.url}", "--model-name", "m", "--metric", "accuracy"
        )
    assert code == 0, err
    assert (json.loads(out)["value"], json.loads(out)["prompt_id"]) == ("oslo", "a")
