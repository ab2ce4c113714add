"""The server as its users reach it."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nilometer.service import Access, Spool, Store, Worker, make_token, open_database, serve_app

NOW = time.time()
WIRE = Path(__file__).parents[2] / "traces" / "wire"


@pytest.fixture
def store(gemma, frame_of, tmp_path):
    """A store with 240 responses of the last minutes, not yet committed, and a sentinel."""
    spool = Spool(tmp_path / "spool")
    for i, row in enumerate(gemma[0].slice(0, 1200).to_pylist()[::5]):
        spool.write(frame_of(row, i, time=int((NOW - i) * 1e6)))
    spool.write(frame_of(row, 999, time=int(NOW * 1e6), outcome="unsampled", body=b""))
    spool.close()
    store = Store(tmp_path, keys=("domain",), sentinel=gemma[3])
    yield store
    store.close()


@pytest.fixture
def client(store, running):
    app = serve_app(store, Access(store.reader(), host="127.0.0.1"), Worker(store, pause=0.01))
    with running(app) as url, httpx.Client(base_url=url) as client:
        deadline = time.monotonic() + 30
        while client.get("/api/health").json()["requests_committed"] < 241:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield client


def _samples(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_slices_come_with_their_interval_and_realised_accuracy(client, store, gemma):
    client.post(
        "/v1/labels", json=[{"trace_id": f"chatcmpl-{i}", "correct": i % 2, "is_random": True} for i in range(40)]
    )
    client.post("/v1/labels", json={"trace_id": "chatcmpl-50", "correct": "yes", "source": "feedback"})
    store.step()
    found = client.get("/api/slices?key=domain&hours=24").json()["slices"]
    assert {row["slice"] for row in found} == set(gemma[2])
    assert sum(row["n"] for row in found) == 240
    for row in found:
        assert row["low"] <= row["accuracy"] <= row["high"]
    assert sum(row["n_random_labels"] for row in found) == 40
    assert sum(row["n_other_labels"] for row in found) == 1
    (whole,) = client.get("/api/slices").json()["slices"]
    assert whole["realized_accuracy"] == 0.5


def test_hours_add_up_to_the_responses(client):
    found = client.get("/api/hours?key=all&slice=all&hours=3").json()["hours"]
    assert sum(row["n"] for row in found) == 240


def test_metrics_can_be_read_by_prometheus_and_hold_no_nan(client, gemma):
    found = _samples(client)
    model = gemma[0]["model"][0].as_py()
    assert found["nilometer_responses_total", (("model", model), ("outcome", "scored"))] == 240
    assert found["nilometer_responses_total", (("model", model), ("outcome", "unsampled"))] == 1
    place = (("model", model), ("slice", "all"), ("slice_key", "all"), ("window", "24h"))
    low = found["nilometer_estimated_accuracy_lower_ratio", place]
    assert low <= found["nilometer_estimated_accuracy_ratio", place]
    assert found["nilometer_estimate_responses", place] == 240
    assert any(name == "nilometer_sentinel_info" for name, _ in found)
    assert all(value == value for value in found.values())


def test_estimate_that_cannot_be_known_is_absent_and_its_reason_is_there(gemma, frame_of, tmp_path, running):
    spool = Spool(tmp_path / "spool")
    for i in range(4):
        row = gemma[0].slice(i, 1).to_pylist()[0]
        quiet = json.dumps({"id": f"q{i}", "model": "m", "choices": [{"message": {"content": "a"}}]}).encode()
        spool.write(frame_of(row, i, time=int(NOW * 1e6), body=quiet))
    spool.close()
    store = Store(tmp_path, sentinel=gemma[3])
    store.step()
    app = serve_app(store, Access(store.reader(), host="127.0.0.1"), Worker(store))
    with running(app) as url, httpx.Client(base_url=url) as client:
        names = {name for name, _ in _samples(client)}
        (row,) = client.get("/api/slices").json()["slices"]
    assert "nilometer_estimated_accuracy_ratio" not in names
    assert "nilometer_estimate_unknown" in names
    assert row["accuracy"] is None
    assert "no log-probabilities" in row["reason"]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/api/slices?key=tenant", 404, "`key` must be one of all, domain, got 'tenant'"),
        ("/api/slices?hours=0", 400, "`hours` must be a number from 1"),
        ("/api/hours?hours=x", 400, "`hours` must be a number from 1"),
    ],
)
def test_wrong_question_is_answered_with_the_rule(path, status, error, client):
    answer = client.get(path)
    assert answer.status_code == status
    assert error in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (b"{", "application/json", "labels: not JSON"),
        (b"[1]", "application/json", r"labels[0]: must be an object"),
        (b'[{"trace_id":"a","correct":1},{"trace_id":"a"}]', "application/json", "labels[1]: `correct` is missing"),
        (b'{"trace_id":"a","correct":7}', "application/json", "labels[0]:"),
        (b'{"correct":1}', "application/json", "labels[0]:"),
        (b'{"trace_id":"a","correct":1,"colour":2}', "application/json", "labels[0]:"),
        (b'{"trace_id":"a","correct":1,"time":"noon"}', "application/json", "labels[0]:"),
        (b"trace_id,correct,is_random\na,1,perhaps", "text/csv", "`is_random` must be true or false"),
        (b"\xff\xfe", "text/csv", "labels: not a CSV text"),
    ],
)
def test_wrong_labels_are_refused_whole_and_by_place(body, kind, error, client, store):
    answer = client.post("/v1/labels", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert error in answer.json()["error"]
    assert store.health()["labels"] == 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"labels":[{"trace_id":"a","correct":true},{"trace_id":"b","correct":0.5}]}', "application/json"),
        (b'{"trace_id":"a","correct":true}\n{"trace_id":"b","correct":"wrong"}', "application/json"),
        (b"trace_id,correct,source,time\na,1,judge,2026-11-27T10:00:00+01:00\nb,no,,\n", "text/csv; charset=utf-8"),
    ],
)
def test_labels_are_read_in_every_form(body, kind, client):
    assert client.post("/v1/labels", content=body, headers={"content-type": kind}).json() == {"received": 2, "new": 2}


def test_server_with_tokens_is_closed_and_says_nothing(store, running):
    token = make_token(open_database(store.root / "nilometer.db"), role="read", name="grafana")
    app = serve_app(store, Access(store.reader(), host="0.0.0.0"), Worker(store))
    with running(app) as url, httpx.Client(base_url=url) as client:
        assert client.get("/api/health").status_code == 401
        assert client.get("/metrics").status_code == 401
        bearer = {"authorization": f"Bearer {token}"}
        assert client.get("/metrics", headers=bearer).status_code == 200
        assert client.post("/v1/labels", json=[], headers=bearer).status_code == 403
        assert client.get("/healthz").json() == {"status": "ok"}


def test_answers_forbid_scripts_and_caches(client):
    headers = client.get("/api/health").headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_problem_of_the_store_is_on_every_page_that_tells_health(client, store):
    store.problems["sentinel"] = "broken"
    try:
        assert client.get("/healthz").status_code == 503
        assert client.get("/api/health").json()["problems"] == {"sentinel": "broken"}
        assert _samples(client)["nilometer_problem_active", (("part", "sentinel"),)] == 1
    finally:
        store.problems.clear()


def test_step_that_fails_unforeseen_does_not_end_the_server(tmp_path, monkeypatch):
    store = Store(tmp_path)
    failures = iter([RuntimeError("what"), RuntimeError("what")])

    def step():
        for failure in failures:
            raise failure
        return 0

    monkeypatch.setattr(store, "step", step)
    worker = Worker(store, pause=0.001)
    worker.start()
    deadline = time.monotonic() + 20
    while not worker.last_step:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    worker.stop()
    assert store.problems == {}


@pytest.mark.parametrize(("name", "n"), [("openinference.jsonl", 3), ("litellm.jsonl", 2), ("vllm_chat.sse", 1)])
def test_posted_traces_of_other_tools_are_stored(name, n, client, store):
    body = (WIRE / name).read_bytes()
    before = store.health()["requests_committed"]
    assert client.post("/v1/traces", content=body).json() == {"traces": n, "bad": 0, "skipped": 0, "bad_lines": []}
    deadline = time.monotonic() + 30
    while client.get("/api/health").json()["requests_committed"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    models = store.reader().execute("SELECT DISTINCT model FROM requests").fetchall()
    assert any("smollm2" in model for (model,) in models)


def test_posted_lines_that_cannot_be_read_are_named(client):
    good = (WIRE / "vllm_chat.jsonl").read_bytes().splitlines()[0]
    found = client.post("/v1/traces", content=good + b"\n{broken\n").json()
    assert (found["traces"], found["bad"]) == (1, 1)


def test_post_of_nothing_is_refused(client):
    assert client.post("/v1/traces", content=b"").status_code == 400


def test_reader_may_not_post_traces(store, running):
    token = make_token(open_database(store.root / "nilometer.db"), role="read", name="grafana")
    app = serve_app(store, Access(store.reader(), host="0.0.0.0"), Worker(store))
    with running(app) as url:
        answer = httpx.post(f"{url}/v1/traces", content=b"{}", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403


DEPLOY = Path(__file__).parents[3] / "deploy"


def _names_in(text):
    return set(re.findall(r"nilometer_\w+", text))


@pytest.mark.parametrize("file", ["alerts.yml", "grafana.json"])
def test_rules_and_dashboard_use_metrics_that_there_are(file, client, store):
    store.note_fitted(1_795_000_000.0)
    with store.writing() as connection:
        connection.execute("INSERT INTO captures VALUES ('1', 0, '{\"dropped_disk\": 1}')")
    exposed = set(re.findall(r"^# TYPE (\w+)", client.get("/metrics").text, re.MULTILINE))
    assert _names_in((DEPLOY / file).read_text(encoding="utf-8")) <= exposed


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's package prometheus")
def test_promtool_accepts_rules_and_metrics(client):
    subprocess.run(["promtool", "check", "rules", str(DEPLOY / "alerts.yml")], check=True, capture_output=True)
    text = client.get("/metrics").content
    subprocess.run(["promtool", "check", "metrics"], input=text, check=True, capture_output=True)


def test_dashboard_has_distinct_panels_on_one_source():
    panels = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    for panel in panels:
        assert [target["refId"] for target in panel["targets"]] == list("ABC"[: len(panel["targets"])])


def test_texts_are_for_those_who_label(gemma, frame_of, tmp_path, running):
    spool = Spool(tmp_path / "spool")
    spool.write(frame_of(gemma[0].slice(0, 1).to_pylist()[0], 0, texts=True, request=b'{"prompt": "7 + 5 ="}'))
    spool.close()
    store = Store(tmp_path)
    store.step()
    connection = open_database(tmp_path / "nilometer.db")
    tokens = {role: make_token(connection, role=role, name=role) for role in ("read", "label")}
    with running(serve_app(store, Access(store.reader(), host="0.0.0.0"), Worker(store))) as url:
        answers = {
            role: httpx.get(f"{url}/api/texts?trace_id=chatcmpl-0", headers={"authorization": f"Bearer {token}"})
            for role, token in tokens.items()
        }
        unknown = httpx.get(f"{url}/api/texts?trace_id=x", headers={"authorization": f"Bearer {tokens['label']}"})
    assert answers["read"].status_code == 403
    assert answers["label"].json()["prompt"] == "7 + 5 ="
    assert unknown.status_code == 404
