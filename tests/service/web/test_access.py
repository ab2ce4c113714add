import sqlite3

import pytest

from nilometer.errors import ConfigError
from nilometer.service import Access, make_token, open_database

LOCAL = {"host": "127.0.0.1:8200"}


@pytest.fixture
def connection(tmp_path):
    return open_database(tmp_path / "nilometer.db")


def _bearer(token, **headers):
    return {"authorization": f"Bearer {token}", "host": "a.example", **headers}


def test_loopback_without_tokens_is_open_to_local_names(connection):
    access = Access(connection, host="127.0.0.1")
    assert access.allows("admin", LOCAL) == "local"
    assert access.allows("read", {"host": "localhost"}) == "local"
    assert access.allows("read", {"host": "[::1]:8200"}) == "local"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {**LOCAL, "sec-fetch-site": "cross-site"},
        {**LOCAL, "sec-fetch-site": "same-site"},
        {**LOCAL, "origin": "http://evil.example"},
        {},
    ],
)
def test_page_elsewhere_cannot_reach_a_server_on_loopback(headers, connection):
    assert Access(connection, host="127.0.0.1").allows("label", headers) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_other_address_without_a_token_is_refused(host, connection):
    with pytest.raises(ConfigError, match=f"listening on {host} needs a token"):
        Access(connection, host=host)


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("ingest", {"ingest"}),
        ("read", {"read"}),
        ("label", {"label"}),
        ("admin", {"ingest", "read", "label", "admin"}),
    ],
)
def test_token_may_do_what_its_role_may(role, may, connection):
    token = make_token(connection, role=role, name="ann")
    access = Access(connection, host="0.0.0.0")
    found = {act for act in ("ingest", "read", "label", "admin") if access.allows(act, _bearer(token)) == "ann"}
    assert found == may


def test_with_tokens_loopback_needs_one_too(connection):
    make_token(connection, role="read", name="ann")
    access = Access(connection, host="127.0.0.1")
    assert access.allows("read", LOCAL) is None
    assert access.allows("read", {**LOCAL, "authorization": "Bearer wrong"}) is None
    assert access.allows("read", {**LOCAL, "authorization": "Basic wrong"}) is None


def test_first_token_made_while_the_server_runs_closes_it(connection):
    access = Access(connection, host="127.0.0.1")
    token = make_token(connection, role="read", name="ann")
    assert access.allows("read", LOCAL) is None
    assert access.allows("read", _bearer(token)) == "ann"


def test_last_token_taken_away_does_not_open_another_address(connection):
    make_token(connection, role="read", name="ann")
    access = Access(connection, host="0.0.0.0")
    connection.execute("DELETE FROM tokens")
    assert access.allows("read", LOCAL) is None


def test_token_is_not_in_the_file(connection, tmp_path):
    token = make_token(connection, role="read", name="ann")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert token.encode() not in (tmp_path / "nilometer.db").read_bytes()
    assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (1,)


def test_unknown_role_is_refused(connection):
    with pytest.raises(ConfigError, match="`role` must be one of"):
        make_token(connection, role="root", name="ann")


def test_tokens_are_read_by_a_reader(connection, tmp_path):
    token = make_token(connection, role="read", name="ann")
    reader = sqlite3.connect(f"file:{tmp_path / 'nilometer.db'}?mode=ro", uri=True)
    assert Access(reader, host="0.0.0.0").allows("read", _bearer(token)) == "ann"
