import sqlite3

import pytest

from nilometer.errors import ConfigError
from nilometer.service import Access, Proxy, make_token, open_database

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


SECRET = "0123456789abcdef"


def _proxied(**headers):
    return {"host": "a.example", "x-nilometer-proxy-secret": SECRET, "x-forwarded-user": "ann", **headers}


def test_proxy_says_who_asks_only_from_its_network_and_with_its_secret(connection):
    access = Access(connection, host="0.0.0.0", proxy=Proxy.of("10.0.0.0/8", SECRET))
    assert access.allows("read", _proxied(), address="10.1.2.3") == "ann"
    assert access.allows("label", _proxied(), address="10.1.2.3") is None
    assert access.allows("label", _proxied(**{"x-nilometer-role": "label"}), address="10.1.2.3") == "ann"
    assert access.allows("read", _proxied(), address="192.168.1.1") is None
    assert access.allows("read", _proxied(**{"x-nilometer-proxy-secret": "wrong"}), address="10.1.2.3") is None
    assert access.allows("read", _proxied(**{"x-forwarded-user": ""}), address="10.1.2.3") is None
    assert access.allows("read", _proxied(origin="https://evil.example"), address="10.1.2.3") is None
    seen = {"origin": "https://console.example", "x-forwarded-host": "console.example"}
    assert access.allows("read", _proxied(**seen), address="10.1.2.3") == "ann"


@pytest.mark.parametrize(
    ("network", "secret", "error"), [("10.0.0.0/8", "short", "16 characters"), ("here", SECRET, "network")]
)
def test_proxy_without_a_secret_or_a_network_is_refused(network, secret, error):
    with pytest.raises(ConfigError, match=error):
        Proxy.of(network, secret)


def test_token_expires(connection):
    token = make_token(connection, role="read", name="ann", days=1)
    access = Access(connection, host="0.0.0.0")
    assert access.allows("read", _bearer(token)) == "ann"
    connection.execute("UPDATE tokens SET expires = 1")
    assert access.allows("read", _bearer(token)) is None
    with pytest.raises(ConfigError, match="`days` must be > 0"):
        make_token(connection, role="read", name="ann", days=0)


def test_link_from_elsewhere_may_open_a_page_but_not_write(connection):
    access = Access(connection, host="127.0.0.1")
    link = {**LOCAL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert access.allows("read", link) == "local"
    assert access.allows("read", link, method="POST") is None
    assert access.allows("read", {**link, "sec-fetch-dest": "iframe"}) is None
