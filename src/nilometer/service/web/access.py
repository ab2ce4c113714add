"""Who may do what: open on loopback, tokens everywhere else, sessions for browsers, and users of a proxy."""

import hashlib
import hmac
import ipaddress
import secrets
import sqlite3
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import urlsplit

from nilometer.errors import ConfigError

__all__ = [
    "COOKIE",
    "NOBODY",
    "ROLES",
    "Access",
    "Person",
    "Proxy",
    "end_session",
    "make_token",
    "revoke_tokens",
    "start_session",
]

ROLES: dict[str, frozenset[str]] = {
    "ask": frozenset({"ask"}),
    "ingest": frozenset({"ingest"}),
    "read": frozenset({"read", "metrics"}),
    "label": frozenset({"label"}),
    "metrics": frozenset({"metrics"}),
    "admin": frozenset({"ask", "ingest", "read", "label", "metrics", "admin"}),
}
"""What a token of each role may do. Who labels sees no estimates, so that labels do not follow them."""

COOKIE = "nilometer_session"
SESSION_SECONDS = 12 * 3600
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
_SAFE = {"GET", "HEAD"}


class Person(NamedTuple):
    """Who asks."""

    name: str
    rights: frozenset[str]
    way: str
    """local, token, session or proxy."""

    def may(self, right: str) -> bool:
        """Whether this one has the right."""
        return right in self.rights


NOBODY = Person("", frozenset(), "")


class Proxy(NamedTuple):
    """A reverse proxy that says who asks: believed only from its network and with its secret."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    secret: str
    user_header: str = "x-forwarded-user"
    role_header: str = "x-nilometer-role"

    @classmethod
    def of(cls, network: str, secret: str) -> "Proxy":
        """Read the network, such as ``10.0.0.0/8``.

        Raises
        ------
        ConfigError
            If it is no network, or the secret has fewer than 16 characters.
        """
        if len(secret) < 16:
            raise ConfigError("a trusted proxy needs a secret of 16 characters or more in NILOMETER_PROXY_SECRET.")
        try:
            return cls(ipaddress.ip_network(network), secret)
        except ValueError as exc:
            raise ConfigError(f"`trusted_proxy` must be a network such as 10.0.0.0/8, got {network!r}.") from exc

    def speaks(self, headers: Mapping[str, str], address: str) -> bool:
        """Whether a request comes from the proxy."""
        given = headers.get("x-nilometer-proxy-secret", "")
        try:
            inside = ipaddress.ip_address(address) in self.network
        except ValueError:
            return False
        return inside and hmac.compare_digest(given.encode(), self.secret.encode())


def make_token(connection: sqlite3.Connection, *, role: str, name: str, days: float | None = None) -> str:
    """Make a token and keep its hash; the token itself is given out once and never stored.

    Parameters
    ----------
    connection
        That writes.
    role
        One of ``ROLES``.
    name
        Who has it.
    days
        After which it expires; None is never.

    Raises
    ------
    ConfigError
        If the role is unknown, or the days are not positive.
    """
    if role not in ROLES:
        raise ConfigError(f"`role` must be one of {', '.join(ROLES)}, got {role!r}.")
    if days is not None and days <= 0:
        raise ConfigError(f"`days` must be > 0, got {days:g}.")
    token = f"nilo_{secrets.token_urlsafe(32)}"
    now = _now()
    row = (_hash(token), role, name, now, None if days is None else now + int(days * 86_400e6))
    connection.execute("INSERT INTO tokens (sha256, role, name, made, expires) VALUES (?,?,?,?,?)", row)
    return token


def revoke_tokens(connection: sqlite3.Connection, name: str) -> int:
    """Take away every token of a name, and the sessions that began with them; how many tokens."""
    connection.execute("DELETE FROM sessions WHERE token IN (SELECT sha256 FROM tokens WHERE name=?)", (name,))
    return connection.execute("DELETE FROM tokens WHERE name=?", (name,)).rowcount


def start_session(connection: sqlite3.Connection, token: str) -> str:
    """Begin a session of a browser with a token that is valid; the secret of its cookie, kept as a hash."""
    secret, now = secrets.token_urlsafe(32), _now()
    connection.execute("DELETE FROM sessions WHERE expires < ?", (now,))
    row = (_hash(secret), _hash(token), now, now + SESSION_SECONDS * 1_000_000)
    connection.execute("INSERT INTO sessions (sha256, token, made, expires) VALUES (?,?,?,?)", row)
    return secret


def end_session(connection: sqlite3.Connection, headers: Mapping[str, str]) -> None:
    """End the session of a request."""
    connection.execute("DELETE FROM sessions WHERE sha256=?", (_hash(_cookie(headers)),))


class Access:
    """Decides about requests by the address that the server listens on and the tokens there are.

    A server on loopback without any token is open to this machine, but only under a local name, so that a web page
    elsewhere cannot reach it through a name of its own. With tokens, each request needs one, or a session that began
    with one, or comes through the trusted proxy.

    Parameters
    ----------
    connection
        To the database, for reading.
    host
        Address to listen on.
    proxy
        That may say who asks.

    Raises
    ------
    ConfigError
        If the address is not loopback and there is neither a token nor a proxy.
    """

    def __init__(self, connection: sqlite3.Connection, *, host: str, proxy: Proxy | None = None) -> None:
        self._connection, self.proxy = connection, proxy
        self._is_open = not self._has_tokens() and proxy is None
        if self._is_open and not _is_loopback(host):
            raise ConfigError(
                f"listening on {host} needs a token. Make one with `nilometer store token DIR --role read`, "
                "or listen on 127.0.0.1."
            )

    def allows(self, right: str, headers: Mapping[str, str], *, method: str = "GET", address: str = "") -> str | None:
        """Name of the one who asks if that one may do it, None if not."""
        person = self.person(headers, method=method, address=address)
        return person.name if person.may(right) else None

    def person(self, headers: Mapping[str, str], *, method: str = "GET", address: str = "") -> Person:
        """Say who asks; nobody where a page of another site does. ``headers`` have names in small letters."""
        if not _from_here(headers, method):
            return NOBODY
        if self.is_behind(headers, address):
            return self._of_proxy(headers)
        if self._is_open and not self._has_tokens():
            is_local = _local_name(headers.get("host", "")) and _same_origin(headers)
            return Person("local", ROLES["admin"], "local") if is_local else NOBODY
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.holder(given.strip())
        return self._of_session(headers, method)

    def is_behind(self, headers: Mapping[str, str], peer: str) -> bool:
        """Whether a request comes through the trusted proxy."""
        return self.proxy is not None and self.proxy.speaks(headers, peer)

    def address(self, headers: Mapping[str, str], peer: str) -> str:
        """Address of the client: the peer, or the last one that the trusted proxy wrote into X-Forwarded-For."""
        if not self.is_behind(headers, peer):
            return peer
        return headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or peer

    def holder(self, token: str, *, way: str = "token") -> Person:
        """Who has a token; nobody if there is no such token or it has expired."""
        rows = self._connection.execute("SELECT sha256, role, name, expires FROM tokens").fetchall()
        digest, now = _hash(token), _now()
        found = [row for row in rows if hmac.compare_digest(row[0], digest) and (row[3] is None or row[3] > now)]
        return Person(found[0][2], ROLES.get(found[0][1], frozenset()), way) if found else NOBODY

    def _of_session(self, headers: Mapping[str, str], method: str) -> Person:
        """A write by cookie must come from a page of this server: by its Origin, or a header no form can send."""
        secret = _cookie(headers)
        if not secret or (method not in _SAFE and "origin" not in headers and "x-nilometer" not in headers):
            return NOBODY
        row = self._connection.execute(
            "SELECT t.name, t.role FROM sessions s JOIN tokens t ON t.sha256 = s.token "
            "WHERE s.sha256=? AND s.expires > ? AND coalesce(t.expires, s.expires) > ?",
            (_hash(secret), _now(), _now()),
        ).fetchone()
        is_own = row is not None and (method in _SAFE or _same_origin(headers))
        return Person(row[0], ROLES.get(row[1], frozenset()), "session") if is_own else NOBODY

    def _of_proxy(self, headers: Mapping[str, str]) -> Person:
        assert self.proxy is not None
        name = headers.get(self.proxy.user_header, "")
        role = headers.get(self.proxy.role_header, "read")
        is_own = _same_origin({**headers, "host": headers.get("x-forwarded-host", headers.get("host", ""))})
        return Person(name, ROLES.get(role, frozenset()), "proxy") if name and is_own else NOBODY

    def _has_tokens(self) -> bool:
        return self._connection.execute("SELECT 1 FROM tokens LIMIT 1").fetchone() is not None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _now() -> int:
    return time.time_ns() // 1000


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _local_name(host: str) -> bool:
    try:
        return (urlsplit(f"//{host}").hostname or "") in _LOCAL_NAMES
    except ValueError:
        return False


def _from_here(headers: Mapping[str, str], method: str) -> bool:
    """Whether a page of this server, a person, or no browser at all sent it; a link from elsewhere may open a page."""
    if headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}:
        return True
    is_page = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return method in _SAFE and is_page


def _same_origin(headers: Mapping[str, str]) -> bool:
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        return False
