"""The demonstration: what its toy server answers, and a short run of everything."""

import asyncio
import json
import signal
import subprocess
import sys
import time

import pytest

from nilometer.service import Access, Store, Traffic, Worker, run_demo, serve_app
from nilometer.service.demo.replay import ReplayServer

CODE = "from nilometer.cli import main; main()"


@pytest.fixture
def server(gemma):
    return ReplayServer(gemma[0])


def _asked(prompt, **more):
    return {"model": "demo", "messages": [{"role": "user", "content": prompt}], **more}


def test_server_answers_as_the_recorded_model_did(server, gemma, ask):
    row = gemma[0].slice(7, 1).to_pylist()[0]
    answer = ask(server, _asked(row["prompt"], logprobs=True, top_logprobs=2))
    (choice,) = json.loads(answer.body)["choices"]
    assert choice["message"]["content"] == row["answer"]
    content = choice["logprobs"]["content"]
    assert [one["logprob"] for one in content] == pytest.approx(row["chosen_logprobs"])
    assert [len(one["top_logprobs"]) for one in content] == [2] * row["n_tokens"]


def test_log_probabilities_come_where_they_are_asked_for(server, ask):
    whole = json.loads(ask(server, _asked("unknown")).body)
    assert whole["choices"][0]["logprobs"] is None
    stream = ask(server, _asked("unknown", stream=True)).body.decode()
    assert stream.endswith("data: [DONE]\n\n")
    assert '"logprobs":null' in stream


@pytest.mark.parametrize(("body", "path", "status"), [({}, "/v1/chat/completions", 400), (_asked("x"), "/v1", 404)])
def test_wrong_request_is_refused(server, body, path, status, ask):
    assert ask(server, body, path=path).status == status


def test_traffic_reaches_the_store_through_the_capture(gemma, tmp_path):
    store = Store(tmp_path, keys=("domain",), sentinel=gemma[3])
    app = serve_app(store, Access(store.reader(), host="127.0.0.1"), Worker(store, pause=0.05))
    domain = gemma[2][0]
    traffic = Traffic(gemma[0], rate=100, drift_after=0.2, drift_slice=domain, seconds=0.5, seed=1, labelled=0.5)
    told = []
    n = asyncio.run(run_demo(traffic, store, app, port=0, tell=told.append))
    reader = store.reader()
    assert reader.execute("SELECT sum(n) FROM parts").fetchone() == (n,)
    assert reader.execute("SELECT count(*), count(hour) FROM labels").fetchone()[0] > 0
    assert reader.execute("SELECT count(*) FROM refusals").fetchone() == (0,)
    assert [line.split("`")[1] for line in told[1:]] == [domain]
    store.close()


@pytest.mark.slow
def test_demo_runs_and_ends_by_itself(tmp_path):
    command = [sys.executable, "-c", CODE, "demo", str(tmp_path), "--seconds", "3", "--drift-after", "1", "--port", "0"]
    found = subprocess.run([*command, "--rate", "40"], capture_output=True, text=True, timeout=100, check=True)
    assert "answers wrongly" in found.stderr
    assert "got worse" in found.stdout
    lines = [line.split() for line in found.stdout.splitlines()[1:]]
    assert sum(int(line[1]) for line in lines) == int(found.stderr.split(" requests were")[0].split()[-1])
    assert all(0 <= float(line[2]) <= 1 for line in lines)


@pytest.mark.slow
def test_demo_ends_cleanly_when_it_is_interrupted(tmp_path):
    command = [sys.executable, "-c", CODE, "demo", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "shows the estimates" in line:
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in err
    assert "estimate" in out
