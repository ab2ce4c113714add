"""The verbs of the live system as a user runs them."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from nilometer.cli import main
from nilometer.service import LabelIn, Store, open_database
from nilometer.traces import corpus_path, read_traces

WIRE = Path(__file__).parents[1] / "traces" / "wire"


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as exit:
        main(list(arguments))
    return exit.value.code, capsys.readouterr()


@pytest.mark.parametrize("by", [pytest.param([], marks=pytest.mark.slow), ["--by", "tenant"]])
def test_serve_serves_until_it_is_stopped_and_lets_go_of_the_folder(by, tmp_path):
    code = "from nilometer.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", str(tmp_path), "--port", "0", *by]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        url = None
        for line in process.stderr:
            found = re.search(r"running on (http://[\d.:]+)", line)
            if found:
                url = found.group(1)
                break
        deadline = time.monotonic() + 20
        while httpx.get(f"{url}/healthz").status_code != 200:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, 130)
    Store(tmp_path, keys=by[1:]).close()


def test_other_address_needs_a_token_and_the_message_says_how(capsys, tmp_path):
    code, out = _run(capsys, "serve", str(tmp_path), "--host", "0.0.0.0")
    assert code == 2
    assert f"nilometer store token {tmp_path} --role read" in out.err


def test_gateway_answers_until_it_is_stopped_and_other_addresses_need_a_token(capsys, tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text('folder = "data"\n[[models]]\nname = "a"\nurl = "http://127.0.0.1:9/v1"\n')
    code, out = _run(capsys, "gateway", str(config), "--host", "0.0.0.0")
    assert code == 2
    assert f"nilometer store token {tmp_path / 'data'} --role ask" in out.err
    command = [sys.executable, "-c", "from nilometer.cli import main; main()", "gateway", str(config), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        url = next(
            found.group(1) for line in process.stderr if (found := re.search(r"running on (http://[\d.:]+)", line))
        )
        models = httpx.get(f"{url}/v1/models").json()["data"]
        lost = httpx.post(f"{url}/v1/chat/completions", json={"model": "a", "messages": []})
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, 130)
    assert [one["id"] for one in models] == ["a"]
    assert (lost.status_code, lost.json()["error"]["type"]) == (502, "no_answer")


def test_token_is_printed_once(capsys, tmp_path):
    Store(tmp_path).close()
    code, out = _run(capsys, "store", "token", str(tmp_path), "--role", "label", "--name", "ann")
    assert code == 0
    assert out.out.startswith("nilo_")


def test_first_token_of_a_new_folder_is_made_once(capsys, tmp_path):
    for wanted in ("nilo_", ""):
        code, out = _run(capsys, "store", "token", str(tmp_path / "new"), "--once")
        assert (code, out.out[:5]) == (0, wanted)
    Store(tmp_path / "new", keys=("tenant",)).close()


def test_store_that_is_not_there_is_named(capsys, tmp_path):
    code, out = _run(capsys, "store", "check", str(tmp_path))
    assert code == 2
    assert "there is no store" in out.err


def test_check_of_an_empty_store_is_fine(capsys, tmp_path):
    Store(tmp_path).close()
    code, out = _run(capsys, "store", "check", str(tmp_path), "--json")
    assert (code, json.loads(out.out)["n_files"]) == (0, 0)


def test_check_exits_with_3_when_a_file_is_missing(capsys, tmp_path):
    Store(tmp_path).close()
    with open_database(tmp_path / "nilometer.db") as connection:
        connection.execute("INSERT INTO parts VALUES ('profiles/a.parquet', 1, 2, 3, 'x', 's', 0, 9)")
    code, out = _run(capsys, "store", "check", str(tmp_path))
    assert code == 3
    assert "profiles/a.parquet: missing." in out.out


def test_proxy_refuses_an_address_without_a_scheme(capsys, tmp_path):
    code, out = _run(capsys, "proxy", "--upstream", "localhost:80", "--spool", str(tmp_path))
    assert code == 2
    assert "`upstream` must start with http" in out.err


def test_status_exits_with_3_while_an_alert_is_open(capsys, tmp_path):
    Store(tmp_path).close()
    assert _run(capsys, "status", str(tmp_path))[0] == 0
    with open_database(tmp_path / "nilometer.db") as connection:
        connection.execute(
            "INSERT INTO alerts (kind, slice_key, slice, model, opened, p_value, text) "
            "VALUES ('k', 'all', 'all', 'm', 1, 0.1, 'it fell')"
        )
    code, out = _run(capsys, "status", str(tmp_path), "--json")
    assert code == 3
    assert json.loads(out.out)["alerts"][0]["text"] == "it fell"


def test_wrong_rate_of_false_alarms_is_refused(capsys, tmp_path):
    code, out = _run(capsys, "serve", str(tmp_path), "--false-alarms", "0")
    assert code == 2
    assert "`per_month` must lie in" in out.err


def test_ship_puts_files_into_the_spool_of_a_store(capsys, tmp_path):
    code, out = _run(capsys, "ship", str(WIRE / "vllm_chat.jsonl"), "--to", str(tmp_path), "--json")
    assert (code, json.loads(out.out)["traces"]) == (0, 2)
    store = Store(tmp_path)
    assert store.step() == 1


def test_tail_looks_once_when_told_so(capsys, tmp_path):
    Store(tmp_path / "store").close()
    code, out = _run(
        capsys, "tail", str(WIRE), "--to", str(tmp_path / "store"), "--pattern", "vllm_chat.jsonl", "--once"
    )
    assert code == 0
    assert "2 traces" in out.err


@pytest.fixture
def filled(tmp_path):
    """A store with the responses of the shipped corpus, and a file of a sentinel."""
    store, sentinel = tmp_path / "store", tmp_path / "sentinel.parquet"
    corpus = str(corpus_path("gemma3"))
    with pytest.raises(SystemExit):
        main(["fit", corpus, "--by", "domain", "--out", str(sentinel)])
    with pytest.raises(SystemExit):
        main(["ship", corpus, "--to", str(store)])
    opened = Store(store, keys=("domain",))
    while opened.step():
        pass
    opened.close()
    return store, sentinel


def test_stored_profiles_are_scored_and_exported(capsys, filled, tmp_path):
    store, sentinel = filled
    code, out = _run(capsys, "store", "rescore", str(store), "--sentinel", str(sentinel), "--json")
    scored = json.loads(out.out)
    assert code == 0
    assert scored["scored"] == scored["stored"] > 1000
    assert (store / "sentinel.parquet").read_bytes() == sentinel.read_bytes()
    code, _ = _run(
        capsys, "store", "export", str(store), "--what", "estimates", "--by", "domain", "--out", str(tmp_path / "e.csv")
    )
    assert code == 0
    profiles = tmp_path / "p.parquet"
    assert _run(capsys, "store", "export", str(store), "--out", str(profiles))[0] == 0
    code, out = _run(capsys, "estimate", "--sentinel", str(sentinel), str(profiles), "--by", "domain", "--json")
    assert code == 0
    assert len(json.loads(out.out)) > 10
    code, out = _run(capsys, "store", "export", str(store), "--what", "labels", "--out", str(tmp_path / "l.csv"))
    assert (code, "There is nothing to export." in out.err) == (0, True)
    assert _run(capsys, "store", "compact", str(store))[0] == 0


def test_export_of_something_else_is_refused(capsys, tmp_path):
    Store(tmp_path).close()
    code, out = _run(capsys, "store", "export", str(tmp_path), "--what", "texts", "--out", str(tmp_path / "x"))
    assert code == 2
    assert "`--what` must be profiles, estimates or labels, got 'texts'" in out.err


def test_sentinel_that_is_replaced_becomes_the_previous_one(tmp_path):
    from nilometer.service import keep_sentinel

    folder = tmp_path / "store"
    folder.mkdir()
    for name in ("a", "b", "b"):
        (tmp_path / name).write_text(name)
        keep_sentinel(folder, tmp_path / name)
    assert (folder / "sentinel.parquet").read_text() == "b"
    assert (folder / "sentinel-previous.parquet").read_text() == "a"


def test_store_is_fitted_again_on_its_labels(capsys, filled):
    store, _ = filled
    opened = Store(store, keys=("domain",))
    traces = read_traces(corpus_path("gemma3")).read_all()
    labels = [
        LabelIn(name, correct, is_random=True)
        for name, correct in zip(traces["trace_id"].to_pylist(), traces["correct"].to_pylist(), strict=True)
    ]
    opened.add_labels(labels, who="test")
    opened.close()
    code, out = _run(capsys, "store", "refit", str(store), "--json")
    found = json.loads(out.out)
    assert (code, found["is_replaced"], found["n_labels"], found["n_slices"]) == (0, True, 1200, 12)
    assert "there was none" in found["reason"]
    assert (store / "sentinel.parquet").exists()


def test_refit_without_labels_says_so_and_exits_with_3(capsys, tmp_path):
    Store(tmp_path).close()
    code, out = _run(capsys, "store", "refit", str(tmp_path))
    assert code == 3
    assert "0 labels: not replaced; it cannot be fitted" in out.out


def test_running_server_is_asked_to_fit_again(capsys, tmp_path):
    store = Store(tmp_path)
    assert _run(capsys, "store", "refit", str(tmp_path), "--force")[0] == 0
    kept = store.reader().execute("SELECT value FROM meta WHERE name='refit_asked'").fetchone()
    assert kept == ("force",)
    store.close()


def test_canary_needs_the_model_that_it_asks(capsys, tmp_path):
    code, out = _run(capsys, "serve", str(tmp_path), "--canary", "canary.json")
    assert code == 2
    assert "`--canary` needs `--canary-model openai:URL`" in out.err


def test_token_is_taken_back_by_name(capsys, tmp_path):
    Store(tmp_path).close()
    assert _run(capsys, "store", "token", str(tmp_path), "--name", "ann", "--days", "2")[0] == 0
    assert _run(capsys, "store", "revoke", str(tmp_path), "--name", "ann")[0] == 0
    code, out = _run(capsys, "store", "revoke", str(tmp_path), "--name", "ann")
    assert code == 2
    assert "there is no token of 'ann'" in out.err


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--tls-cert", "cert.pem"], "must be given together"),
        (["--tls-cert", "cert.pem", "--tls-key", "key.pem"], "cert.pem: there is no such file"),
        (["--trusted-proxy", "10.0.0.0/8"], "needs a secret of 16 characters"),
    ],
)
def test_half_of_a_setting_of_the_door_is_refused(flags, error, capsys, tmp_path):
    code, out = _run(capsys, "serve", str(tmp_path), "--port", "0", *flags)
    assert code == 2
    assert error in out.err


@pytest.mark.parametrize("verb", ["serve", "gateway"])
def test_serving_without_its_packages_names_the_extra(verb, capsys, monkeypatch, tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text('[[models]]\nname = "a"\nurl = "http://127.0.0.1:9/v1"\n')
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, out = _run(capsys, verb, str(config if verb == "gateway" else tmp_path / "store"))
    assert code == 2
    assert "serving needs more packages. Install `nilometer[serve]`." in out.err
    if verb == "gateway":
        assert "answers for a; nothing is captured." in out.err


def test_status_of_a_folder_without_a_store_says_how_to_make_one(capsys, tmp_path):
    code, out = _run(capsys, "status", str(tmp_path))
    assert code == 2
    assert f"{tmp_path}: there is no store. Make one with `nilometer serve {tmp_path}`." in out.err


def test_tail_names_bad_lines_and_goes_on(capsys, tmp_path):
    Store(tmp_path / "store").close()
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.jsonl").write_text("{broken\n")
    code, out = _run(capsys, "tail", str(logs), "--to", str(tmp_path / "store"), "--once")
    assert code == 0
    assert "a.jsonl:1: not a JSON object" in out.err
    assert "traces" not in out.err
