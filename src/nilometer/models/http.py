"""Posting JSON to a server that may be busy."""

import http.client
import time
import urllib.error
import urllib.request

from nilometer.errors import ConfigError

__all__ = ["check_url", "json_headers", "post"]

_TRIES = 5


def check_url(url: str) -> str:
    """Return the base of a server's address without its last slash.

    Raises
    ------
    ConfigError
        If it is no http address.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"`url` must start with http:// or https://, got {url!r}.")
    return url.rstrip("/")


def json_headers(key: str | None) -> dict[str, str]:
    """Headers of a JSON request, with a bearer token if there is a key."""
    return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})


def post(url: str, body: bytes, headers: dict[str, str], *, patience: float = 1.0) -> bytes:
    """Post and return the reply; 429, 5xx and broken connections are tried again, five times in all.

    Parameters
    ----------
    patience
        Seconds before the first second try; doubled each time.

    Raises
    ------
    ConfigError
        If the server refuses, or does not answer.
    """
    request = urllib.request.Request(url, body, headers)
    for attempt in range(_TRIES):
        last = attempt == _TRIES - 1
        try:
            with urllib.request.urlopen(request, timeout=600) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as exc:
            said = exc.read(300).decode(errors="replace")
            if last or not (exc.code == 429 or exc.code >= 500):
                raise ConfigError(f"{url}: the server answered {exc.code} ({said}).") from exc
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as exc:
            if last:
                raise ConfigError(f"{url}: the server does not answer ({exc}).") from exc
        time.sleep(patience * 2**attempt)
    raise AssertionError("unreachable: the last try returns or raises")
