import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from nilometer.errors import ConfigError
from nilometer.service import Store, read_channel
from nilometer.service.monitor.deliver import Courier
from nilometer.service.store.database import transaction

DAY = 86_400
NOW = 1_795_000_000.0


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.server.seen.append((status, self.headers["idempotency-key"], json.loads(body)))
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class _Mail(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 hi\r\n")
        for line in self.rfile:
            word = line.strip().upper()[:4]
            if word == b"DATA":
                self.wfile.write(b"354 go\r\n")
                data = b""
                while not data.endswith(b"\r\n.\r\n"):
                    data += self.rfile.readline()
                self.server.seen.append(data.decode())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


@pytest.fixture
def hook():
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    server.seen, server.statuses = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.close()


def _open(store, *, opened=NOW, closed=None):
    with store.writing() as connection, transaction(connection):
        connection.execute(
            "INSERT INTO alerts (kind, slice_key, slice, model, opened, closed, p_value, text) "
            "VALUES (?,?,?,?,?,?,?,?)",
            ("estimate_changed_hour", "domain", "a", "m", int(opened * 1e6), closed, 1e-9, "m, domain=a: it changed"),
        )


def _url(server):
    return f"http://127.0.0.1:{server.server_address[1]}/hook"


def test_json_holds_the_alert_and_slack_a_sentence(hook, store):
    _open(store)
    courier = Courier(store, [read_channel(_url(hook)), read_channel(f"slack:{_url(hook)}")])
    assert courier.step(now=NOW) == 2
    bodies = [body for _, _, body in hook.seen]
    assert bodies[0]["slice"] == "a"
    assert bodies[0]["event"] == "opened"
    assert bodies[1] == {"text": "Alert: m, domain=a: it changed."}


def test_what_was_sent_is_not_sent_again_also_after_a_restart(hook, store):
    _open(store)
    channel = read_channel(_url(hook))
    assert [Courier(store, [channel]).step(now=NOW + i) for i in range(3)] == [1, 0, 0]


def test_failed_delivery_is_tried_again_later_and_named(hook, store):
    hook.statuses[:] = [500, 503]
    _open(store)
    courier = Courier(store, [read_channel(_url(hook))])
    assert courier.step(now=NOW) == 0
    assert "alerts cannot be sent: HTTPError" in store.problems["json 127.0.0.1"]
    assert courier.step(now=NOW + 5) == 0
    assert len(hook.seen) == 1
    assert courier.step(now=NOW + 11) == 0
    assert courier.step(now=NOW + 32) == 1
    assert {key for _, key, _ in hook.seen} == {"nilometer-1-opened"}
    assert store.problems == {}


def test_closing_is_sent_after_opening(hook, store):
    _open(store, closed=int(NOW * 1e6) + 5)
    Courier(store, [read_channel(f"slack:{_url(hook)}")]).step(now=NOW)
    assert [body["text"].split(":")[0] for _, _, body in hook.seen] == ["Alert", "Resolved"]


def test_old_alerts_do_not_flood_a_new_channel(hook, store):
    _open(store, opened=NOW - 8 * DAY)
    assert Courier(store, [read_channel(_url(hook))]).step(now=NOW) == 0


def test_mail_is_sent(store):
    with socketserver.TCPServer(("127.0.0.1", 0), _Mail) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        _open(store)
        channel = read_channel(f"smtp://127.0.0.1:{server.server_address[1]}?from=n@a.example&to=b@c.example")
        assert Courier(store, [channel]).step(now=NOW) == 1
        server.shutdown()
        thread.join()
    (mail,) = server.seen
    assert "Subject: nilometer: estimate_changed_hour opened" in mail
    assert "Alert: m, domain=a: it changed." in mail


def test_channel_that_cannot_be_reached_is_a_problem_and_no_error(store):
    _open(store)
    assert Courier(store, [read_channel("json:http://127.0.0.1:9/")]).step(now=NOW) == 0
    assert "alerts cannot be sent" in store.problems["json 127.0.0.1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smtp://host:25?from=a@b", "must name `from` and `to`"),
        ("slack:ftp://x", "must be slack:URL"),
        ("file:///x", "must be slack:URL"),
    ],
)
def test_wrong_channel_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        read_channel(text)


def test_name_of_a_channel_holds_no_secret():
    assert read_channel("smtp://user:secret@mail.example:587?from=a@b&to=c@d").name == "smtp mail.example"
    assert read_channel("slack:https://hooks.example/services/SECRET").name == "slack hooks.example"
