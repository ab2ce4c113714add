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
    """Kill the command at random moments, then let it finish; its output."""
    for _ in range(times):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        aim = server.n_calls + rng.randint(1, 6)
        deadline = time.monotonic() + 60
        while server.n_calls < aim and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        process.wait()
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def resumed(tmp_path, *, times):
    file = prompts(tmp_path / "p.jsonl", [f"q{i}" for i in range(8)])
    with FakeServer() as server:
        answered = []

        def reply(body, n):
            time.sleep(0.01)
            answered.append(json.dumps(body, sort_keys=True))
            return of_two_minds(body, n)

        server.reply = reply
        command = [
            sys.executable,
            "-c",
            "from nilometer.cli import main; main()",
            "decide",
            str(file),
            "--metric",
            "accuracy",
            "--samples",
            "16",
        ]
        command += ["--live", f"openai:{server.url}", "--model-name", "m", "--concurrency", "2"]
        whole = subprocess.run([*command, "--journal", str(tmp_path / "w")], capture_output=True, text=True, check=True)
        answered.clear()
        journal = tmp_path / "j"
        last = killed_at_random(server, [*command, "--journal", str(journal)], rng=random.Random(0), times=times)
        assert last.stdout == whole.stdout, last.stderr
        repeated = len(answered) - len(set(answered))
        assert len(journal.read_text().splitlines()) == len(set(answered))
        return repeated


def test_killed_runs_resume_to_the_same_decisions(tmp_path):
    # an answer on its way when the process dies cannot be kept: at most the two requests in flight at each kill
    assert resumed(tmp_path, times=2) <= 2 * 2


@pytest.mark.slow
def test_fifty_kills_change_nothing(tmp_path):
    assert resumed(tmp_path, times=50) <= 2 * 50
