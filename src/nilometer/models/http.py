"""Posting JSON to a server that may be busy: keys stay at home, patience ends, replies have a size."""

import http.client
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from nilometer.errors import ConfigError

__all__ = ["PATIENT", "Endpoint", "RefusedError", "Retries", "check_url", "clean_text", "retry_after"]

_LARGEST_REPLY, _LARGEST_ERROR = 64 << 20, 4096
_SHOWN = 200
_LONGEST = 3600.0
_OF_THE_PROMPT = (400, 413, 422, 451)
_SECRET = re.compile(r"(?:sk|pk|rk|key)-[\w-]{8,}|[Bb]earer\s+\S+|eyJ[\w-]{10,}\.[\w.-]+")


class RefusedError(ConfigError):
    """The server refused one request for what it asks; others may pass."""


class Retries(NamedTuple):
    """How long a server is waited for."""

    tries: int = 5
    """Tries after server errors and broken connections; waiting for a rate limit is none."""
    pause: float = 1.0
    """Seconds before the second try, doubled each time; ``Retry-After`` goes before it."""
    longest_wait: float = 600.0
    """Seconds that one request may spend waiting for its turn."""
    timeout: float = 300.0
    """Seconds in which a reply must be whole."""


PATIENT = Retries()
"""How long a server is waited for unless one says otherwise."""


class _Again(Exception):  # noqa: N818 - a signal, no error
    """A try that may be repeated."""

    def __init__(self, reason: str, *, after: float | None = None, is_limit: bool = False) -> None:
        super().__init__(reason)
        self.after, self.is_limit = after, is_limit


class _Key:
    def __init__(self, text: str | None) -> None:
        self.text, self.ready_at = text, 0.0


def check_url(url: str) -> str:
    """Return the base of a server's address without its last slash; a query stays.

    Raises
    ------
    ConfigError
        If it is no http address, or holds a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"`url` must start with http:// or https://, got {clean_text(url)!r}.")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("`url` must hold no user or password. Give the key in OPENAI_API_KEY.")
    return urlunsplit(parts._replace(path=parts.path.rstrip("/"), fragment=""))


def clean_text(text: str, secrets: Sequence[str] = ()) -> str:
    r"""Return what a server said on one short line, without control characters and keys.

    Examples
    --------
    >>> clean_text("Incorrect API key: sk-abcdef123456\x1b[31m, or my-key\n", ["my-key"])
    'Incorrect API key: *** [31m, or ***'
    """
    for secret in sorted((one for one in secrets if one), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _SECRET.sub("***", text)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


class Endpoint:
    """One address that JSON is posted to, by any number of threads.

    Parameters
    ----------
    url
        Base of the server; a query such as ``?api-version=1`` stays behind the path.
    path
        Put behind the base, unless it ends so already.
    keys
        Sent as bearer tokens (and as ``api-key`` to Azure), in turn; a key that is refused or limited rests.
    retries
        How long to wait.
    """

    def __init__(self, url: str, path: str, *, keys: Sequence[str] = (), retries: Retries = PATIENT) -> None:
        parts = urlsplit(check_url(url))
        full = parts.path if parts.path.endswith(path) else parts.path + path
        self.url = urlunsplit(parts._replace(path=full))
        self.shown = urlunsplit(parts._replace(path=full, query=""))
        self._is_azure = (parts.hostname or "").endswith(".azure.com")
        self._keys = [_Key(key) for key in keys] or [_Key(None)]
        self._secrets = tuple(keys)
        self._retries, self._lock, self._over = retries, threading.Lock(), threading.Event()
        self._opener = urllib.request.build_opener(_NoRedirect, _TimedHTTP, _TimedHTTPS)

    def post(self, body: bytes) -> bytes:
        """Post and return the reply; limits, 5xx and broken connections are waited for.

        Raises
        ------
        RefusedError
            If the server refuses what is asked (400, 413, 422, 451).
        ConfigError
            If it refuses every key, redirects, or does not answer in time; other threads then stop waiting too.
        """
        began, n_tries = time.monotonic(), 0
        while True:
            key = self._next_key(began)
            try:
                return self._once(body, key)
            except _Again as again:
                n_tries += not again.is_limit
                self._rest(again, key, began=began, n_tries=n_tries)

    def _rest(self, again: _Again, key: _Key, *, began: float, n_tries: int) -> None:
        """Wait before the next try, or give up; a limit rests the key, for every thread that uses it."""
        pause = again.after if again.after is not None else self._retries.pause * 2 ** max(n_tries - 1, 0)
        late = time.monotonic() - began + pause > self._retries.longest_wait
        if n_tries >= self._retries.tries or late:
            raise self._fatal(self._too_long(again, pause) if late else str(again)) from again
        if not again.is_limit:
            self._wait(pause)
            return
        with self._lock:
            key.ready_at = max(key.ready_at, time.monotonic() + pause)

    def _too_long(self, again: _Again, pause: float) -> str:
        return f"{again} It asks to wait {pause:,.0f} s, and {self._retries.longest_wait:,.0f} s are the most"

    def _next_key(self, began: float) -> _Key:
        """Return the key that has rested longest, waiting until it may be used."""
        while True:
            with self._lock:
                key = min(self._keys, key=lambda one: one.ready_at)
                pause = key.ready_at - time.monotonic()
                if pause <= 0:
                    key.ready_at = time.monotonic()
                    return key
            if time.monotonic() - began + pause > self._retries.longest_wait:
                raise self._fatal(f"every key is limited for {pause:,.0f} s more")
            self._wait(pause)

    def _wait(self, seconds: float) -> None:
        if self._over.wait(seconds):
            raise ConfigError(f"{self.shown}: stopped, since another request failed for good.")

    def _fatal(self, reason: str) -> ConfigError:
        self._over.set()
        return ConfigError(f"{self.shown}: {reason}.")

    def _once(self, body: bytes, key: _Key) -> bytes:
        headers = {"Content-Type": "application/json"}
        if key.text is not None:
            headers["Authorization"] = f"Bearer {key.text}"
            if self._is_azure:
                headers["api-key"] = key.text
        request, began = urllib.request.Request(self.url, body, headers), time.monotonic()
        try:
            with _timed(), self._opener.open(request, timeout=self._retries.timeout) as reply:
                found = _read(reply, _LARGEST_REPLY, self.shown)
        except urllib.error.HTTPError as exc:
            with exc:
                refusal = self._refusal(exc, key)
            raise refusal from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as exc:
            reason = clean_text(str(getattr(exc, "reason", exc)) or type(exc).__name__, self._secrets)
            raise _Again(f"the server does not answer ({reason})") from None
        if time.monotonic() - began >= self._retries.timeout:  # shut by the watch: the end may be missing
            raise _Again(f"the server does not answer (not whole after {self._retries.timeout:g} s)")
        return found

    def _drop(self, key: _Key) -> bool:
        """Leave a key out; False for the last one, which stays."""
        with self._lock:
            others = [one for one in self._keys if one is not key]
            self._keys = others or self._keys
        return bool(others)

    def _refusal(self, exc: urllib.error.HTTPError, key: _Key) -> Exception:
        said = clean_text(_body(exc), self._secrets)
        answered = f"the server answered {exc.code} ({said})"
        if exc.code in (408, 429) or exc.code >= 500:
            return _Again(answered, after=retry_after(exc.headers.get("Retry-After")), is_limit=exc.code == 429)
        if 300 <= exc.code < 400:
            to = urlsplit(exc.headers.get("Location") or "")
            return self._fatal(
                f"the server redirects to {clean_text(urlunsplit((to.scheme, to.netloc, to.path, '', '')))}, and keys "
                "are not sent on. Give that address if you trust it"
            )
        if exc.code == 401 and self._drop(key):
            return _Again(answered, after=0.0, is_limit=True)
        if exc.code in _OF_THE_PROMPT:
            return RefusedError(f"{self.shown}: {answered}.")
        return self._fatal(answered)


def retry_after(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _read(reply: Any, most: int, shown: str) -> bytes:
    """Read a reply of bounded size."""
    body = bytes(reply.read(most + 1))
    if len(body) > most:
        raise ConfigError(f"{shown}: a reply must be smaller than {most >> 20} MiB.")
    if reply.length:
        raise http.client.IncompleteRead(body, reply.length)
    return body


def _body(exc: urllib.error.HTTPError) -> str:
    try:
        return bytes(exc.read(_LARGEST_ERROR)).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Every redirect is an error, so that no header is sent to another origin."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_TIMERS = threading.local()


@contextmanager
def _timed() -> Iterator[None]:
    """End connections whose bytes come too slowly: a socket's own timeout starts anew with every byte."""
    _TIMERS.running = []
    try:
        yield
    finally:
        for timer in _TIMERS.running:
            timer.cancel()


def _watch(connection: http.client.HTTPConnection) -> None:
    timer = threading.Timer(float(connection.timeout or _LONGEST), _shut, [connection.sock])
    timer.daemon = True
    timer.start()
    _TIMERS.running.append(timer)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):  # closed already
        sock.shutdown(socket.SHUT_RDWR)


class _TimedConnection(http.client.HTTPConnection):
    """A connection that is shut when its whole time is over."""

    def connect(self) -> None:
        super().connect()
        _watch(self)


class _TimedSecureConnection(http.client.HTTPSConnection):
    """The same, encrypted."""

    def connect(self) -> None:
        super().connect()
        _watch(self)


class _TimedHTTP(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_TimedConnection, req)


class _TimedHTTPS(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_TimedSecureConnection, req)
