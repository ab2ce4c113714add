"""The models that a verb can ask, by the name given on the command line."""

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from nilometer.errors import ConfigError
from nilometer.models import HFRunner, Runner, ServerRunner, smollm2_folder

__all__ = ["ModelNameOption", "ModelOption", "open_runner"]

ModelOption = Annotated[str, typer.Option(help="hf:FOLDER, smollm2, or openai:URL.")]
ModelNameOption = Annotated[str | None, typer.Option(help="Name at the server, and in the traces.")]


def open_runner(model: str, *, name: str | None = None, extra: str = "{}", attention: bool = False) -> Runner:
    """Open a model by its name on the command line; the key of a server is read from OPENAI_API_KEY.

    Raises
    ------
    ConfigError
        If the name is none of the forms, or ``extra`` is no JSON object.
    """
    fields = _object(extra)
    if model == "smollm2":
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return HFRunner(smollm2_folder(home / "nilometer"), name=name or "smollm2", attention=attention)
    kind, _, where = model.partition(":")
    if kind == "hf" and where:
        return HFRunner(where, name=name, attention=attention)
    if kind == "openai" and where:
        if attention:
            raise ConfigError("a server returns no attention. Give --model hf:FOLDER for --attention.")
        if name is None:
            raise ConfigError("`--model-name` must name the model at the server.")
        return ServerRunner(where, model=name, key=os.environ.get("OPENAI_API_KEY"), extra=fields)
    raise ConfigError(f"`--model` must be hf:FOLDER, smollm2 or openai:URL, got {model!r}.")


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise ConfigError(f"`extra` must be a JSON object, got {text!r}.") from exc
