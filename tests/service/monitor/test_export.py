"""Estimates as OpenTelemetry events, to a receiver on loopback."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from nilometer.errors import ConfigError
from nilometer.service import EvaluationExporter, Spool, Store, read_headers
from nilometer.service.monitor.export import evaluation_events

HOUR = 1_795_003_200_000_000 // 3_600_000_000


class Receiver(HTTPServer):
    """Keeps what it gets; answers with ``status``."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies, self.paths, self.tokens, self.status = [], [], [], 200


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(json.loads(body))
        self.server.paths.append(self.path)
        self.server.tokens.append(self.headers.get("authorization"))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args):
        pass


@contextmanager
def _receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def store(gemma, frame_of, tmp_path):
    spool = Spool(tmp_path / "spool")
    for i, row in enumerate(gemma[0].take(np.arange(0, 1200, 10)).to_pylist()):
        spool.write(frame_of(row, i, seconds=3600 * (i % 2)))
    spool.close()
    store = Store(tmp_path, keys=("domain",), sentinel=gemma[3])
    store.step()
    yield store
    store.close()


def _attributes(record):
    return {one["key"]: next(iter(one["value"].values())) for one in record["attributes"]}


def _records(body):
    (resource,) = body["resourceLogs"]
    (scope,) = resource["scopeLogs"]
    return scope["logRecords"]


def _at(hour):
    return (HOUR + hour) * 3600.0 + 700


def test_estimates_of_a_closed_hour_are_events_with_their_interval(store):
    with _receiver() as (server, url):
        exporter = EvaluationExporter(store, url, headers={"authorization": "Bearer x"})
        assert exporter.step(now=_at(1)) == 1
    assert (server.paths, server.tokens) == (["/v1/logs"], ["Bearer x"])
    records = _records(server.bodies[0])
    assert {record["eventName"] for record in records} == {"gen_ai.evaluation.result"}
    assert {record["timeUnixNano"] for record in records} == {str((HOUR + 1) * 3600 * 10**9)}
    (whole,) = [own for record in records if (own := _attributes(record))["nilometer.slice_key"] == "all"]
    (row,) = store.estimates(first_hour=HOUR, last_hour=HOUR)
    assert whole["gen_ai.evaluation.name"] == "nilometer.estimated_accuracy"
    assert whole["gen_ai.evaluation.score.value"] == row.belief.accuracy
    assert (whole["nilometer.score.lower"], whole["nilometer.score.upper"]) == (row.belief.low, row.belief.high)
    assert whole["nilometer.responses"] == "60"
    assert len(records) == 1 + 12


def test_each_hour_is_sent_once_also_after_a_restart(store):
    with _receiver() as (server, url):
        assert [EvaluationExporter(store, url).step(now=_at(hour)) for hour in (1, 1, 2, 4)] == [1, 0, 1, 2]
    assert len(server.bodies) == 2  # the later hours had no traffic


def test_receiver_that_refuses_is_a_problem_and_is_tried_again(store):
    with _receiver() as (server, url):
        exporter = EvaluationExporter(store, f"{url}/v1/logs")
        server.status = 503
        assert exporter.step(now=_at(1)) == 0
        assert "does not take events" in store.problems["otlp"]
        server.status = 200
        assert exporter.step(now=_at(1) + 10) == 1
    assert "otlp" not in store.problems


def test_receiver_that_refuses_is_left_alone_for_longer_each_time(store):
    with _receiver() as (server, url):
        exporter = EvaluationExporter(store, url)
        server.status = 503
        sent = []
        for second in range(60):
            exporter.step(now=_at(1) + second)
            sent.append(len(server.bodies))
    assert [second for second in range(60) if sent[second] > (sent[second - 1] if second else 0)] == [0, 10, 30]


def test_slice_that_cannot_be_known_has_its_reason_and_no_score(store):
    row, *_ = store.estimates("domain", first_hour=HOUR, last_hour=HOUR)
    unknown = row._replace(belief=_unknown(row))
    own = _attributes(_records(evaluation_events([unknown]))[0])
    assert own["gen_ai.evaluation.score.label"] == "unknown"
    assert own["gen_ai.evaluation.explanation"] == "too few."
    assert "gen_ai.evaluation.score.value" not in own


def _unknown(row):
    from nilometer.estimators import NotEnoughData

    return NotEnoughData(slice=row.slice, n=3, reason="too few.", needed="more.")


def test_open_hour_is_not_sent(store):
    with _receiver() as (server, url):
        exporter = EvaluationExporter(store, url)
        exporter.step(now=_at(1) - 200)
    assert all(
        int(record["timeUnixNano"]) <= HOUR * 3600 * 10**9 for body in server.bodies for record in _records(body)
    )


def test_wrong_endpoint_and_headers_are_refused(store):
    with pytest.raises(ConfigError, match="`endpoint` must start with http"):
        EvaluationExporter(store, "localhost:4318")
    with pytest.raises(ConfigError, match="must list name=value"):
        read_headers("authorization")
