"""Settings of a gateway: its models and prices, the router, and how votes, cascades and decisions are made."""

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from nilometer.errors import ConfigError
from nilometer.signals import ANSWER_KINDS, parse_scale, parser_for

__all__ = ["CascadeConfig", "DecideConfig", "GatewayConfig", "ModelConfig", "VoteConfig", "read_gateway_config"]

_EMBEDDING = "embedding"
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model behind the gateway."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    """What clients and the router call it."""
    url: str
    """Base of its server, such as ``http://127.0.0.1:8000/v1``; a query stays behind the path."""
    model: str = ""
    """Its name at the server; ``name`` by default."""
    key_env: str = ""
    """Environment variable that holds the server's key."""
    price: tuple[_NotNegative, _NotNegative] = (0.0, 0.0)
    """Per million tokens of prompts and of answers."""
    fallback: tuple[str, ...] = ()
    """Models asked in turn when a request that names this one fails."""

    @property
    def served_name(self) -> str:
        """Its name at the server."""
        return self.model or self.name

    def key(self) -> str:
        """Key of the server, empty without one."""
        return os.environ.get(self.key_env, "") if self.key_env else ""


class CascadeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which models are asked first, and which one if they do not agree."""

    first: Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
    last: str
    least_closeness: float = 0.0
    """As in ``Cascade``: stop where minus the mean squared distance is at least this; 0 is full agreement."""


class VoteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which models vote."""

    models: Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]


class DecideConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the answer that is best for a metric is found."""

    model: str
    samples: Annotated[int, msgspec.Meta(ge=1, le=128)] = 8
    labels: str | None = None
    """The scale, as in ``--labels``: ``1-5`` or ``a,b,c``."""
    parse: str | None = None
    """As in ``--parse``."""
    temperature: _Positive = 1.0
    """Of the draws, where the request has none above 0."""


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a gateway."""

    models: Annotated[tuple[ModelConfig, ...], msgspec.Meta(min_length=1)]
    folder: str | None = None
    """Folder of the store: answers are captured to its spool, tokens and what was spent are kept in it."""
    router: str | None = None
    """File made by ``nilometer route fit``; loaded again when it changes."""
    compare: str = _EMBEDDING
    """How answers are compared in cascades and votes, as in ``--compare``."""
    embedder: str = "ngrams"
    """Of answers, where they are compared by embedding."""
    embedder_model: str | None = None
    timeout: _Positive = 60.0
    """Seconds without a byte after which a call has failed."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 1024
    """Length of an answer assumed when a budget is checked and the request names none."""
    budgets: dict[str, _NotNegative] = {}
    """Most that the holder of a token may spend in a day (UTC), by name; ``default`` is for all others."""
    cascade: CascadeConfig | None = None
    vote: VoteConfig | None = None
    decide: DecideConfig | None = None


def read_gateway_config(path: Path) -> GatewayConfig:
    """Read a TOML file; paths in it start at its folder.

    Raises
    ------
    ConfigError
        If it is no TOML, holds an unknown name, or names a model that it does not define.
    """
    try:
        given = msgspec.toml.decode(path.read_bytes(), type=GatewayConfig)
        _check(given)
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError) as exc:
        raise ConfigError(f"{path}: {str(exc).rstrip('.')}.") from exc
    return msgspec.structs.replace(
        given,
        folder=None if given.folder is None else str(path.parent / given.folder),
        router=None if given.router is None else str(path.parent / given.router),
    )


def _check(config: GatewayConfig) -> None:
    names = [model.name for model in config.models]
    for name in names:
        if names.count(name) > 1 or name.startswith("nilometer/"):
            raise ConfigError(f"models must have different names that do not start with nilometer/, got {name!r}.")
    for model in config.models:
        if urlsplit(model.url).scheme not in {"http", "https"} or urlsplit(model.url).username is not None:
            raise ConfigError(f"`url` of {model.name} must start with http:// or https:// and hold no password.")
        if model.key_env and not model.key():
            raise ConfigError(f"the environment variable {model.key_env} of {model.name} is empty. Put the key there.")
    for place, used in _used(config):
        if used not in names:
            raise ConfigError(f"`{place}` names {used!r}, which is no model of this file ({', '.join(names)}).")
    if config.compare != _EMBEDDING and config.compare not in ANSWER_KINDS:
        raise ConfigError(f"`compare` must be one of {', '.join((_EMBEDDING, *ANSWER_KINDS))}, got {config.compare!r}.")
    if config.cascade is not None and config.cascade.last in config.cascade.first:
        raise ConfigError(f"`cascade.last` must not be among `first`, got {config.cascade.last!r}.")
    if config.decide is not None:
        parser_for(config.decide.parse, parse_scale(config.decide.labels), "text")


def _used(config: GatewayConfig) -> list[tuple[str, str]]:
    """Every model that is named in another place, with the place."""
    used = [("fallback", name) for model in config.models for name in model.fallback]
    if config.cascade is not None:
        used += [("cascade.first", name) for name in config.cascade.first]
        used.append(("cascade.last", config.cascade.last))
    if config.vote is not None:
        used += [("vote.models", name) for name in config.vote.models]
    if config.decide is not None:
        used.append(("decide.model", config.decide.model))
    return used
