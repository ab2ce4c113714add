"""Recording: suites, resuming, and a real HTTP server that answers like OpenAI's."""

import json
import os
import shutil
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from servers import FakeServer, of_two_minds

from nilometer.cli import main
from nilometer.errors import ConfigError, TraceFormatError
from nilometer.models import Retries, Sampling, ServerRunner, SuiteOptions, make_suite, record
from nilometer.traces import Trace, read_traces


class _Counting:
    """A runner that answers with the prompt's length and can be killed after some calls."""

    name = "counting"

    def __init__(self, dies_after=None):
        self.asked, self._left = [], dies_after

    def answer(self, prompts, sampling, *, seed):
        if self._left == 0:
            raise KeyboardInterrupt
        self._left = None if self._left is None else self._left - 1
        self.asked += prompts
        values = np.full((1, 2), -0.5, dtype=np.float32)
        return [
            Trace(
                trace_id="",
                n_tokens=1,
                k=2,
                chosen_logprobs=values[0, :1],
                top_logprobs=values,
                temperature=sampling.temperature,
                answer=f"Answer: {seed}",
            )
            for _ in prompts
        ]


SUITE = make_suite("basic", SuiteOptions(n=6, tasks=("addition", "gcd"), levels=(1, 2)))
SAMPLING = Sampling(batch=3)


def test_a_killed_run_goes_on_without_loss_or_repetition(tmp_path):
    first = _Counting(dies_after=3)
    with pytest.raises(KeyboardInterrupt):
        record(first, SUITE, tmp_path, sampling=SAMPLING, settings={})
    second = _Counting()
    done = record(second, SUITE, tmp_path, sampling=SAMPLING, settings={})
    table = read_traces(tmp_path).read_all()
    assert (done.n_traces, done.n_new_parts) == (24, 3)
    assert len(set(table["trace_id"].to_pylist())) == 24
    assert len(second.asked) == 18
    whole = record(_Counting(), SUITE, tmp_path / "whole", sampling=SAMPLING, settings={})
    assert read_traces(tmp_path / "whole").read_all().equals(table)
    assert whole.n_traces == 24


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    record(_Counting(), SUITE, tmp_path, sampling=SAMPLING, settings={"model": "a"})
    with pytest.raises(ConfigError, match="model was 'a', is 'b'"):
        record(_Counting(), SUITE, tmp_path, sampling=SAMPLING, settings={"model": "b"})


def test_samples_share_the_prompt_and_labels_come_from_the_verifier(tmp_path):
    suite = {"own": [SUITE["addition-1"][0]._replace(judge=lambda answer: float(answer == "Answer: 0"))]}
    record(_Counting(), suite, tmp_path, sampling=Sampling(temperature=1.0, n_samples=2), settings={})
    table = read_traces(tmp_path).read_all()
    assert table["trace_id"].to_pylist() == ["counting/addition-1-0/s0", "counting/addition-1-0/s1"]
    assert table["prompt_id"].to_pylist() == ["addition-1-0"] * 2
    assert table["correct"].to_pylist() == [1.0, 1.0]
    assert dict(table["attributes"][0].as_py())["decoding"] == "sampled"


def test_own_prompts_keep_their_ids_and_attributes(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"id": "q1", "prompt": "2+2?", "answer": "4", "tenant": "t"}\n\n{"prompt": "Why?"}\n')
    first, second = make_suite(str(file), SuiteOptions())["mine-00000"]
    assert (first.prompt_id, first.gold, first.attributes) == ("q1", "4", {"tenant": "t"})
    assert first.judge("Answer: 4") == 1.0
    assert (second.prompt_id, second.judge) == ("mine-3", None)


@pytest.mark.parametrize(
    ("line", "reason"), [("{", "not a JSON object"), ('{"question": "?"}', "`prompt` must be a text")]
)
def test_bad_line_of_own_prompts_is_named(tmp_path, line, reason):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "a"}\n' + line)
    with pytest.raises(TraceFormatError, match=rf"mine\.jsonl:2: {reason}"):
        make_suite(str(file), SuiteOptions())


@pytest.mark.parametrize(
    ("suite", "options", "reason"),
    [
        ("nosuch", SuiteOptions(), "must be basic, rg:DATASET or a JSONL file"),
        ("basic", SuiteOptions(tasks=("sums",)), "got 'sums'"),
        ("basic", SuiteOptions(levels=(9,)), "got 9"),
    ],
)
def test_unknown_suite_task_or_level_lists_the_known(suite, options, reason):
    with pytest.raises(ConfigError, match=reason):
        make_suite(suite, options)


class _Server(BaseHTTPRequestHandler):
    failures = 0
    bodies: list = []  # noqa: RUF012 - emptied by the fixture

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if type(self).failures:
            type(self).failures -= 1
            self.send_error(503)
            return
        type(self).bodies.append(body)
        top = [{"token": "4", "logprob": -0.1, "bytes": None}, {"token": "5", "logprob": -2.5, "bytes": None}]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "4"},
            "finish_reason": "stop",
            "logprobs": {"content": [{**top[0], "top_logprobs": top}]},
        }
        reply = json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    _Server.failures, _Server.bodies = 0, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_server_is_asked_for_logprobs_and_again_after_a_failure(url):
    _Server.failures = 1
    runner = ServerRunner(url, model="m", extra={"repeat_penalty": 1.0}, retries=Retries(pause=0.01))
    trace = runner.answer(["2+2?"], Sampling(k=2, max_tokens=5), seed=3)[0]
    assert trace.chosen_logprobs.tolist() == pytest.approx([-0.1])
    body = _Server.bodies[0]
    assert (body["top_logprobs"], body["max_tokens"], body["seed"], body["repeat_penalty"]) == (2, 5, 3, 1.0)


def test_server_that_is_not_there_or_refuses_says_so(url):
    with pytest.raises(ConfigError, match="the server does not answer"):
        ServerRunner("http://127.0.0.1:9", model="m", retries=Retries(pause=0.001)).answer(["a"], Sampling(), seed=0)
    with pytest.raises(ConfigError, match="must start with http"):
        ServerRunner("localhost:80", model="m")
    _Server.failures = 5
    with pytest.raises(ConfigError, match="the server answered 503"):
        ServerRunner(url, model="m", retries=Retries(pause=0.001)).answer(["a"], Sampling(), seed=0)


def test_record_then_doctor_take_a_server(url, tmp_path, capsys):
    arguments = ["--suite", "basic", "--tasks", "addition", "--levels", "1", "--n", "3", "--k", "2", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["record", "--model", f"openai:{url}", "--model-name", "m", "--out", str(tmp_path), *arguments])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["n_traces"] == 3
    with pytest.raises(SystemExit):
        main(["doctor", str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out)["n_traces"] == 3


@pytest.mark.parametrize(("model", "reason"), [("gpt", "must be hf:FOLDER"), ("openai:http://x", "--model-name")])
def test_wrong_model_is_a_mistake(tmp_path, capsys, model, reason):
    with pytest.raises(SystemExit) as ended:
        main(["record", "--model", model, "--suite", "basic", "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_server_gives_no_attention(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["record", "--model", "openai:http://x", "--suite", "basic", "--out", str(tmp_path), "--attention"])
    assert ended.value.code == 2
    assert "a server returns no attention" in capsys.readouterr().err


def own_prompts(path, n, **more):
    path.write_text("".join(json.dumps({"prompt_id": f"p{i}", "prompt": f"2+{i}?", **more}) + "\n" for i in range(n)))
    return path


def record_own(capsys, file, out, url, *more):
    arguments = ["record", "--model", f"openai:{url}", "--model-name", "m", "--suite", file, "--out", out, *more]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    return ended.value.code, capsys.readouterr()


def test_prompts_of_ones_own_need_no_domain(url, tmp_path, capsys):
    code, said = record_own(capsys, own_prompts(tmp_path / "p.jsonl", 3), tmp_path / "out", url, "--json")
    assert code == 0, said.err
    assert json.loads(said.out)["slices"] == [{"slice": "all", "n": 3, "accuracy": None}]


def test_answers_before_a_server_died_are_kept(tmp_path, capsys):
    def dies(body, n):
        return (500, b"", {}) if n > 30 else of_two_minds(body, n)

    file = own_prompts(tmp_path / "p.jsonl", 40)
    with FakeServer(dies) as server:
        code, _ = record_own(capsys, file, tmp_path / "out", server.url, "--max-wait", "0.05", "--concurrency", "1")
        assert (code, len((tmp_path / "out" / ".nilometer-answers.jsonl").read_text().splitlines())) == (2, 30)
        server.reply, n_before = of_two_minds, server.n_calls
        code, said = record_own(capsys, file, tmp_path / "out", server.url, "--json")
        assert (code, json.loads(said.out)["n_traces"], server.n_calls - n_before) == (0, 40, 10), said.err
    assert not (tmp_path / "out" / ".nilometer-answers.jsonl").exists()


def test_another_model_name_or_changed_prompts_are_refused(url, tmp_path, capsys):
    file = own_prompts(tmp_path / "p.jsonl", 3)
    assert record_own(capsys, file, tmp_path / "out", url)[0] == 0
    code, said = record_own(capsys, file, tmp_path / "out", url, "--model-name", "other")
    assert (code, "runner was 'm', is 'other'" in said.err) == (2, True)
    own_prompts(file, 3, gold="4")
    code, said = record_own(capsys, file, tmp_path / "out", url)
    assert (code, "prompts_sha256 was" in said.err) == (2, True)


def test_settings_hold_no_keys(url, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fromenvironment")
    extra = '{"api_key": "sk-inextra", "user": "u", "extra_headers": {"Authorization": "Bearer abc"}}'
    file = own_prompts(tmp_path / "p.jsonl", 2)
    assert record_own(capsys, file, tmp_path / "out", f"{url}?sig=topsecret", "--extra", extra)[0] == 0
    kept = (tmp_path / "out" / ".nilometer-record.json").read_text()
    assert '"user' in kept
    assert not [secret for secret in ("fromenvironment", "inextra", "Bearer abc", "topsecret") if secret in kept]


def test_a_refused_prompt_is_recorded_as_refused(tmp_path, capsys):
    def reply(body, n):
        return (400, b"content_filter", {}) if "2+1" in body["messages"][0]["content"] else of_two_minds(body, n)

    with FakeServer(reply) as server:
        code, said = record_own(capsys, own_prompts(tmp_path / "p.jsonl", 3, gold="4"), tmp_path / "out", server.url)
    assert (code, "1 prompts were refused" in said.err) == (0, True), said.err


def test_a_damaged_part_is_named_set_aside_and_recorded_again(tmp_path):
    record(_Counting(), SUITE, tmp_path, sampling=SAMPLING, settings={})
    whole = read_traces(tmp_path).read_all()
    part = min(tmp_path.glob("*.parquet"))
    for damage in (lambda data: data[:-20], lambda data: b"", lambda data: data.replace(b"Answer", b"ansWer")):
        part.write_bytes(damage(part.read_bytes()))
        found = record(_Counting(), SUITE, tmp_path, sampling=SAMPLING, settings={})
        assert (found.n_new_parts, found.n_traces) == (1, 24)
        (said,) = found.set_aside
        assert part.name in said
        assert ".damaged" in said
        assert read_traces(tmp_path / "*.parquet").read_all().equals(whole)
    assert len(list(tmp_path.glob("*.damaged*"))) == 3


def test_damaged_settings_are_named_and_nothing_is_asked(tmp_path):
    record(_Counting(), SUITE, tmp_path, sampling=SAMPLING, settings={})
    for text in ("", '{"model": ', "[]"):
        (tmp_path / ".nilometer-record.json").write_text(text)
        runner = _Counting()
        with pytest.raises(ConfigError, match=r"\.nilometer-record\.json: the settings of the recording are damaged"):
            record(runner, SUITE, tmp_path, sampling=SAMPLING, settings={})
        assert runner.asked == []


def test_two_recordings_into_one_folder_lose_nothing_because_one_is_refused(tmp_path):
    class Meeting(_Counting):
        def answer(self, prompts, sampling, *, seed):
            with pytest.raises(ConfigError, match="another run writes to it"):
                record(_Counting(), SUITE, tmp_path, sampling=SAMPLING, settings={})
            return super().answer(prompts, sampling, seed=seed)

    assert record(Meeting(), SUITE, tmp_path, sampling=SAMPLING, settings={}).n_traces == 24


SMALL = make_suite("basic", SuiteOptions(n=4, tasks=("addition",), levels=(1, 2)))
STEPS = ("fsync", "write", "replace", "answer")


@pytest.mark.parametrize("step", STEPS)
def test_a_recording_killed_at_any_step_goes_on_to_the_same_traces(tmp_path, monkeypatch, step):
    whole = record(_Counting(), SMALL, tmp_path / "whole", sampling=SAMPLING, settings={})
    expected = read_traces(tmp_path / "whole").read_all()
    n_kills = 0
    while _killed(tmp_path / "out", monkeypatch, step, n_kills):
        n_kills += 1
        found = record(_Counting(), SMALL, tmp_path / "out", sampling=SAMPLING, settings={})
        assert (found.n_traces, found.set_aside) == (whole.n_traces, ())
        assert read_traces(tmp_path / "out" / "*.parquet").read_all().equals(expected)
        shutil.rmtree(tmp_path / "out")
    assert n_kills >= 2


def _killed(out, monkeypatch, step, n_before):
    """Whether a recording was killed at the step after so many of its kind; else it came to its end."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    steps = count()
    owner = {"fsync": os, "write": pq.ParquetWriter, "replace": Path, "answer": _Counting}[step]
    name = "write_table" if step == "write" else step
    own = getattr(owner, name)

    def dying(*args, **options):
        if next(steps) == n_before:
            os.kill(os.getpid(), signal.SIGKILL)
        return own(*args, **options)

    monkeypatch.setattr(owner, name, dying)
    record(_Counting(), SMALL, out, sampling=SAMPLING, settings={})
    return os._exit(0)
