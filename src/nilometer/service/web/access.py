"""Who may do what: open on loopback, tokens everywhere else, kept as hashes."""

import hashlib
import hmac
import ipaddress
import secrets
import sqlite3
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from nilometer.errors import ConfigError

__all__ = ["ROLES", "Access", "make_token"]

ROLES: dict[str, frozenset[str]] = {
    "ask": frozenset({"ask"}),
    "ingest": frozenset({"ingest"}),
    "read": frozenset({"read"}),
    "label": frozenset({"read", "label"}),
    "admin": frozenset({"ask", "ingest", "read", "label", "admin"}),
}
"""What a token of each role may do."""

_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


def make_token(connection: sqlite3.Connection, *, role: str, name: str) -> str:
    """Make a token and keep its hash; the token itself is given out once and never stored.

    Raises
    ------
    ConfigError
        If the role is unknown.
    """
    if role not in ROLES:
        raise ConfigError(f"`role` must be one of {', '.join(ROLES)}, got {role!r}.")
    token = f"nilo_{secrets.token_urlsafe(32)}"
    connection.execute("INSERT INTO tokens VALUES (?,?,?,?)", (_hash(token), role, name, time.time_ns() // 1000))
    return token


class Access:
    """Decides about requests by the address that the server listens on and the tokens there are.

    A server on loopback without any token is open to this machine, but only under a local name, so that a web page
    elsewhere cannot reach it through a name of its own. With tokens, each request needs one.

    Parameters
    ----------
    connection
        To the database, for reading.
    host
        Address to listen on.

    Raises
    ------
    ConfigError
        If the address is not loopback and there is no token.
    """

    def __init__(self, connection: sqlite3.Connection, *, host: str) -> None:
        self._connection = connection
        self._is_open = not self._tokens()
        if self._is_open and not _is_loopback(host):
            raise ConfigError(
                f"listening on {host} needs a token. Make one with `nilometer store token DIR --role read`, "
                "or listen on 127.0.0.1."
            )

    def allows(self, act: str, headers: Mapping[str, str]) -> str | None:
        """Name of the one who asks if that one may do it, None if not.

        ``headers`` have names in small letters. A browser of another site is refused whatever it sends.
        """
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return None
        tokens = self._tokens()
        if not tokens and self._is_open:
            return "local" if _local_name(headers.get("host", "")) and _same_origin(headers) else None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = _hash(given.strip())
        found = [(role, name) for kept, role, name in tokens if hmac.compare_digest(kept, digest)]
        return found[0][1] if found and act in ROLES.get(found[0][0], ()) else None

    def _tokens(self) -> list[tuple[str, str, str]]:
        return self._connection.execute("SELECT sha256, role, name FROM tokens").fetchall()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _local_name(host: str) -> bool:
    return (urlsplit(f"//{host}").hostname or "") in _LOCAL_NAMES


def _same_origin(headers: Mapping[str, str]) -> bool:
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")
