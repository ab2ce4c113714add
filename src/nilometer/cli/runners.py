"""The models that a verb can ask, by the name given on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from nilometer import models
from nilometer.errors import ConfigError

__all__ = [
    "ConcurrencyOption",
    "ExtraOption",
    "MaxWaitOption",
    "ModelNameOption",
    "ModelOption",
    "TimeoutOption",
    "keys_from_environment",
    "open_runner",
    "open_server",
]

ModelOption = Annotated[str, typer.Option(help="hf:FOLDER, smollm2, or openai:URL.")]
ModelNameOption = Annotated[str | None, typer.Option(help="Name at the server, and in the traces.")]
ExtraOption = Annotated[str, typer.Option(help="JSON object of more request fields, for openai:URL.")]
TimeoutOption = Annotated[float, typer.Option(min=0.01, help="Seconds in which a server's reply must be whole.")]
MaxWaitOption = Annotated[float, typer.Option(min=0, help="Most seconds that a request waits for its turn.")]
ConcurrencyOption = Annotated[int, typer.Option(min=1, help="Most requests to a server at a time.")]


def keys_from_environment() -> tuple[str, ...]:
    """The keys in OPENAI_API_KEY, separated by commas; they are used in turn."""
    return tuple(key.strip() for key in os.environ.get("OPENAI_API_KEY", "").split(",") if key.strip())


def open_runner(
    model: str,
    *,
    name: str | None = None,
    extra: str = "{}",
    attention: bool = False,
    retries: models.Retries = models.PATIENT,
    concurrency: int = 16,
) -> models.Runner:
    """Open a model by its name on the command line; the keys of a server are read from OPENAI_API_KEY.

    Raises
    ------
    ConfigError
        If the name is none of the forms, or ``extra`` is no JSON object.
    """
    if model == "smollm2":
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return models.HFRunner(models.smollm2_folder(home / "nilometer"), name=name or "smollm2", attention=attention)
    kind, _, where = model.partition(":")
    if kind == "hf" and where:
        return models.HFRunner(where, name=name, attention=attention)
    if kind == "openai" and where:
        if attention:
            raise ConfigError("a server returns no attention. Give --model hf:FOLDER for --attention.")
        return open_server(where, name, extra=extra, retries=retries, concurrency=concurrency)
    raise ConfigError(f"`--model` must be hf:FOLDER, smollm2 or openai:URL, got {model!r}.")


def open_server(
    url: str, name: str | None, *, extra: str = "{}", retries: models.Retries = models.PATIENT, concurrency: int = 16
) -> models.ServerRunner:
    """Open a server that speaks OpenAI's protocol."""
    if name is None:
        raise ConfigError("`--model-name` must name the model at the server.")
    return models.ServerRunner(
        url, model=name, keys=keys_from_environment(), extra=_object(extra), retries=retries, concurrency=concurrency
    )


def _object(text: str) -> dict[str, Any]:
    import msgspec

    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise ConfigError(f"`extra` must be a JSON object, got {text!r}.") from exc
