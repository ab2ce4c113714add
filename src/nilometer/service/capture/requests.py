"""What a request asks for, its slices, and the same request with log-probabilities asked for."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from .settings import Settings, SliceSource

__all__ = ["Asked", "api_of", "read_request", "slice_values"]

Api = Literal["chat", "completions"]
Headers = Iterable[tuple[bytes, bytes]]
_MOST_KEYS = 16
_LONGEST_VALUE = 200
_HEADER = "x-nilometer-"


class _Body(msgspec.Struct):
    model: Any = None
    stream: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    temperature: Any = None
    metadata: Any = None
    echo: Any = None
    use_beam_search: Any = None
    best_of: Any = None


_BODIES = msgspec.json.Decoder(_Body)
_OBJECTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request for an answer."""

    api: str
    model: str
    body: bytes
    k: int | None
    """Alternatives that the client asked for; None if it did not ask for log-probabilities."""
    stream: bool
    temperature: float | None
    may_inject: bool
    """Whether asking for log-probabilities would change nothing but their presence."""

    def with_logprobs(self, k: int) -> bytes:
        """Return the body with log-probabilities of the k best tokens asked for."""
        members = _OBJECTS.decode(self.body)
        number = msgspec.Raw(str(k).encode())
        if self.api == "chat":
            members |= {"logprobs": msgspec.Raw(b"true"), "top_logprobs": number}
        else:
            members |= {"logprobs": number}
        return msgspec.json.encode(members)


def api_of(scope: Mapping[str, Any]) -> Api | None:
    """Name the interface that a request speaks to; None if it is not one that gives log-probabilities."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path = str(scope["path"]).rstrip("/")
    if path.endswith("/chat/completions"):
        return "chat"
    return "completions" if path.endswith("/completions") else None


def read_request(api: Api, body: bytes) -> Asked | None:
    """Read the body of a request; None if it is no JSON object, which the server is about to refuse."""
    try:
        given = _BODIES.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    asked = _asked_k(api, given)
    plain = not (given.echo or given.use_beam_search or given.best_of)
    temperature = given.temperature
    return Asked(
        api=api,
        model=given.model if isinstance(given.model, str) else "",
        body=body,
        k=asked,
        stream=given.stream is True,
        temperature=float(temperature) if isinstance(temperature, int | float) else None,
        may_inject=asked is None and given.top_logprobs is None and plain,
    )


def _asked_k(api: Api, given: _Body) -> int | None:
    value = given.top_logprobs if api == "chat" else given.logprobs
    if given.logprobs is None or given.logprobs is False:
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def slice_values(body: bytes, headers: Headers, settings: Settings) -> dict[str, str]:
    """Slice keys of a request, at most 16, values cut at 200 characters.

    Without ``slices`` in the settings every scalar of the body's ``metadata`` and every header ``x-nilometer-NAME``.

    Examples
    --------
    >>> slice_values(b'{"metadata": {"tenant": "a"}}', [(b"x-nilometer-route", b"faq")], Settings())
    {'tenant': 'a', 'route': 'faq'}
    """
    named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    try:
        given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        metadata = _scalars(msgspec.json.decode(given["metadata"])) if "metadata" in given else {}
    except (msgspec.MsgspecError, UnicodeDecodeError):
        given, metadata = {}, {}
    if settings.slices:
        values = {source.name: _value(source, named, metadata, given=given) for source in settings.slices}
        found = {
            source.name: _hash(value, settings.hash_key) if source.hashed else value
            for source in settings.slices
            if (value := values[source.name]) is not None
        }
    else:
        found = metadata | {name[len(_HEADER) :]: value for name, value in named.items() if name.startswith(_HEADER)}
    return {name: value[:_LONGEST_VALUE] for name, value in list(found.items())[:_MOST_KEYS]}


def _value(
    source: SliceSource, headers: Mapping[str, str], metadata: Mapping[str, str], *, given: Mapping[str, msgspec.Raw]
) -> str | None:
    if source.place == "header":
        return headers.get(source.key)
    if source.place == "metadata":
        return metadata.get(source.key)
    raw = given.get(source.key)
    return None if raw is None else _scalars({"": msgspec.json.decode(raw)}).get("")


def _scalars(values: Any) -> dict[str, str]:
    if not isinstance(values, dict):
        return {}
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float | bool)}
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in plain.items()
    }


def _hash(value: str, key: str) -> str:
    return hashlib.blake2b(value.encode(), digest_size=6, key=key.encode()[:64]).hexdigest()
