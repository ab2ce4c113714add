"""Alerts on their way to people: webhooks and e-mail, tried again until they arrive, each event once per channel."""

import json
import logging
import smtplib
import sqlite3
import time
import urllib.request
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

from nilometer.errors import ConfigError

from ..store import Store
from ..store.database import transaction

__all__ = ["Channel", "Courier", "pause_after", "post_json", "read_channel"]

_log = logging.getLogger("nilometer.alerts")
_TIMEOUT = 10
_LONGEST_PAUSE = 3600
_MOST_TRIES = 100
_OLDEST = 7 * 24 * 3600
"""Alerts that opened earlier are not sent to a channel that is new."""


class Channel(NamedTuple):
    """Where alerts go."""

    kind: Literal["json", "slack", "smtp"]
    url: str

    @property
    def name(self) -> str:
        """The channel without what may be secret in its address."""
        return f"{self.kind} {urlsplit(self.url).hostname}"


def read_channel(text: str) -> Channel:
    """Read ``slack:URL``, ``json:URL`` or ``smtp://USER:PASSWORD@HOST:PORT?from=A&to=B``; a bare http URL is json.

    Raises
    ------
    ConfigError
        If it is none of them.

    Examples
    --------
    >>> read_channel("slack:https://hooks.example/T/B").name
    'slack hooks.example'
    """
    if text.startswith(("smtp://", "smtps://")):
        query = parse_qs(urlsplit(text).query)
        if not {"from", "to"} <= set(query):
            raise ConfigError("an SMTP channel must name `from` and `to`, as in smtp://host:25?from=a@b&to=c@d.")
        return Channel("smtp", text)
    kind, _, url = text.partition(":")
    if kind not in {"slack", "json"}:
        kind, url = "json", text
    if not url.startswith(("http://", "https://")):
        raise ConfigError("a channel must be slack:URL, json:URL or smtp://HOST, with an http address as URL.")
    return Channel("slack" if kind == "slack" else "json", url)


class Courier:
    """Sends what opened and what closed over every channel.

    A delivery that fails is tried again after 10 seconds, then after twice as long each time up to an hour. What a
    channel took is not sent there again; ``Idempotency-Key`` names the event for the case that an answer was lost.
    """

    def __init__(self, store: Store, channels: Sequence[Channel]) -> None:
        self._store, self._channels = store, tuple(channels)

    def step(self, *, now: float | None = None) -> int:
        """Send what is due; how many deliveries succeeded."""
        now = time.time() if now is None else now
        with self._store.writing() as connection:
            due = [(channel, event) for channel in self._channels for event in _due(connection, channel, now)]
        sent = 0
        for channel, event in due:
            failure = _send(channel, event)
            with self._store.writing() as connection, transaction(connection):
                _note(connection, channel, event, failed=failure is not None, now=now)
            if failure is not None:
                _log.warning("alert %s cannot be sent to %s (%s).", event["id"], channel.name, failure)
                self._store.problems[channel.name] = f"alerts cannot be sent: {failure}"
            else:
                sent += 1
                self._store.problems.pop(channel.name, None)
        return sent


_EVENTS = """
SELECT a.id, e.event, a.kind, a.slice_key, a.slice, a.model, a.opened, a.closed, a.p_value, a.text
FROM alerts a JOIN (SELECT 'opened' AS event UNION ALL SELECT 'closed') e
LEFT JOIN deliveries d ON d.alert = a.id AND d.event = e.event AND d.channel = ?
WHERE (e.event = 'opened' OR a.closed IS NOT NULL) AND coalesce(d.next_try, 0) <= ? AND coalesce(d.tries, 0) < ?
    AND a.opened > ?
ORDER BY a.id, e.event DESC
"""
_NAMES = ("id", "event", "kind", "slice_key", "slice", "model", "opened", "closed", "p_value", "text")
_NEVER = 1 << 62


def _due(connection: sqlite3.Connection, channel: Channel, now: float) -> list[dict[str, Any]]:
    rows = connection.execute(_EVENTS, (channel.name, int(now), _MOST_TRIES, int((now - _OLDEST) * 1e6)))
    return [dict(zip(_NAMES, row, strict=True)) for row in rows]


def _note(connection: sqlite3.Connection, channel: Channel, event: dict[str, Any], *, failed: bool, now: float) -> None:
    place = (event["id"], event["event"], channel.name)
    found = connection.execute("SELECT tries FROM deliveries WHERE alert=? AND event=? AND channel=?", place).fetchone()
    tries = (found[0] if found else 0) + 1
    next_try = int(now + pause_after(tries)) if failed else _NEVER
    connection.execute("REPLACE INTO deliveries VALUES (?,?,?,?,?)", (*place, tries, next_try))


def pause_after(tries: int) -> int:
    """Seconds until the next try after so many that failed: 10, then twice as long each time, at most an hour.

    Examples
    --------
    >>> pause_after(1), pause_after(3), pause_after(50)
    (10, 40, 3600)
    """
    return min(10 << min(tries - 1, 20), _LONGEST_PAUSE)


def post_json(url: str, body: Any, headers: Mapping[str, str]) -> str | None:
    """Send a JSON document to a URL; the reason if that failed."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):
            return None
    except (OSError, ValueError) as exc:
        return f"{type(exc).__name__}: {exc}"


def _send(channel: Channel, event: dict[str, Any]) -> str | None:
    """Deliver one event; the reason if that failed."""
    if channel.kind != "smtp":
        return _post(channel, event)
    try:
        _mail(channel.url, event)
    except (OSError, smtplib.SMTPException, ValueError) as exc:
        return f"{type(exc).__name__}: {exc}"
    return None


def _sentence(event: dict[str, Any]) -> str:
    return f"{'Alert' if event['event'] == 'opened' else 'Resolved'}: {event['text']}."


def _post(channel: Channel, event: dict[str, Any]) -> str | None:
    body = {"text": _sentence(event)} if channel.kind == "slack" else event
    return post_json(channel.url, body, {"idempotency-key": f"nilometer-{event['id']}-{event['event']}"})


def _mail(url: str, event: dict[str, Any]) -> None:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    message = EmailMessage()
    message["Subject"] = f"nilometer: {event['kind']} {event['event']}"
    message["From"], message["To"] = query["from"][0], ", ".join(query["to"])
    message["Message-ID"] = f"<nilometer-{event['id']}-{event['event']}@{parts.hostname}>"
    message.set_content(_sentence(event))
    kind = smtplib.SMTP_SSL if parts.scheme == "smtps" else smtplib.SMTP
    with kind(parts.hostname or "", parts.port or 0, timeout=_TIMEOUT) as server:
        if parts.username:
            server.starttls() if parts.scheme == "smtp" else None
            server.login(parts.username, parts.password or "")
        server.send_message(message)
