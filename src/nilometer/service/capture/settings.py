"""What a capture does, read once from the environment: servers make the middleware without arguments."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from nilometer.errors import ConfigError

__all__ = ["Settings", "SliceSource", "read_settings"]

_MB = 1 << 20
_PLACES = ("header", "metadata", "body")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


class SliceSource(msgspec.Struct, frozen=True):
    """Where the value of one slice key comes from."""

    name: str
    place: str
    """``header``, ``metadata`` (of the body) or ``body``."""
    key: str
    hashed: bool = False
    """Keep twelve hexadecimal digits of a keyed hash in place of the value."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a capture; :func:`read_settings` takes each from ``NILOMETER_`` and its name in capitals."""

    spool: str = "nilometer-data/spool"
    """Folder of the spool; ``nilometer serve nilometer-data`` reads it."""
    k: int = 20
    """Alternatives to ask for, in [0, 100]."""
    rate: float = 1.0
    """Probability that a request is captured, in (0, 1]."""
    max_per_slice: int = 0
    """About how many captures an hour a slice may have; 0 is no cap."""
    slices: tuple[SliceSource, ...] = ()
    """``NILOMETER_SLICES="tenant=header:x-tenant,user=hash:body:user"``. None takes every scalar of ``metadata``
    and every header ``x-nilometer-NAME``."""
    texts: bool = False
    """Whether the prompt is spooled and the answer kept by the store."""
    hash_key: str = ""
    """Secret of the hashes; without one, short values can be guessed."""
    logprobs_mode: str = "unknown"
    """``raw`` or ``processed``; vLLM's own setting goes before it."""
    absent: Literal["auto", "null", "omit"] = "auto"
    """How this server writes an answer without log-probabilities: ``"logprobs":null``, or no such key."""
    request_limit: int = 8 * _MB
    """Larger requests pass untouched."""
    record_limit: int = 64 * _MB
    """Larger answers are served and stripped, but not spooled."""
    spool_limit: int = 4096 * _MB
    """Bytes of the folder; beyond it the oldest file is dropped and counted."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from ``NILOMETER_SPOOL``, ``NILOMETER_K`` and so on.

    Raises
    ------
    ConfigError
        If a value is outside its range or cannot be read.

    Examples
    --------
    >>> read_settings({"NILOMETER_RATE": "0.1", "NILOMETER_SLICES": "tenant=header:x-tenant"}).slices[0].key
    'x-tenant'
    """
    given: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        text = environment.get(f"NILOMETER_{field.name.upper()}")
        if text is not None:
            given[field.name] = _value(field.name, text.strip(), field.type)
    try:
        settings = msgspec.convert(given, Settings)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"the environment of nilometer's capture: {exc}.") from exc
    _check(settings)
    return settings


def _value(name: str, text: str, kind: object) -> object:
    variable = f"NILOMETER_{name.upper()}"
    if name == "slices":
        return tuple(_source(item.strip()) for item in text.split(",") if item.strip())
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ConfigError(f"`{variable}` must be 1 or 0, got {text!r}.")
        return text.lower() in _TRUE
    if kind in {int, float}:
        try:
            return int(text) if kind is int else float(text)
        except ValueError as exc:
            raise ConfigError(f"`{variable}` must be a number, got {text!r}.") from exc
    return text


def _source(item: str) -> SliceSource:
    name, _, rest = item.partition("=")
    hashed = rest.startswith("hash:")
    place, _, key = rest.removeprefix("hash:").partition(":")
    if not name or not key or place not in _PLACES:
        raise ConfigError(
            f"`NILOMETER_SLICES` must list NAME=PLACE:KEY with a place of {', '.join(_PLACES)}, got {item!r}. "
            "Put `hash:` before the place to keep a hash, as in user=hash:body:user."
        )
    return SliceSource(name.strip(), place, key.strip().lower() if place == "header" else key.strip(), hashed)


def _check(settings: Settings) -> None:
    if not 0 < settings.rate <= 1:
        raise ConfigError(f"`NILOMETER_RATE` must lie in (0, 1], got {settings.rate}.")
    if not 0 <= settings.k <= 100:
        raise ConfigError(f"`NILOMETER_K` must lie in [0, 100], got {settings.k}.")
    limits = ("max_per_slice", "request_limit", "record_limit", "spool_limit")
    for name in limits:
        if getattr(settings, name) < 0:
            raise ConfigError(f"`NILOMETER_{name.upper()}` must be >= 0, got {getattr(settings, name)}.")
