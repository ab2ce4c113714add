"""``nilometer route explain``: the choice of a saved router for prompts, one line each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nilometer import decisions, models
from nilometer.errors import ConfigError

from ..common import JsonOption, talk, write_json
from .inputs import embedder_of
from .options import EmbedderModelOption

__all__ = ["route_explain"]


def route_explain(
    router: Annotated[Path, typer.Option(help="File made by `nilometer route fit`.")],
    prompts: Annotated[list[str] | None, typer.Argument(help="Prompts; lines of standard input by default.")] = None,
    embedder_model: EmbedderModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which model a prompt goes to and why, and what the alternatives are."""
    saved = decisions.load_router(router)
    texts = prompts or _lines()
    if not texts:
        raise ConfigError("There is no prompt. Give some as arguments or on standard input.")
    looks = saved.smoothie.n_neighbors is not None
    if looks and embedder_model is not None and saved.embedder_model not in (None, embedder_model):
        raise ConfigError(
            f"the router was fitted with the embedder model {saved.embedder_model!r}, got {embedder_model!r}. "
            "Leave out `--embedder-model`, or fit again."
        )
    model = embedder_model or saved.embedder_model
    embedder = embedder_of(saved.embedder or "ngrams", model=model) if looks else None
    routes = [(text, _route(saved, embedder, text)) for text in texts]
    if as_json:
        write_json([{"prompt": text, **_plain(route)} for text, route in routes])
        return
    for text, route in routes:
        typer.echo(f"{route.model}\t{route.reason}." + (f"\t{' '.join(text.split())}" if len(texts) > 1 else ""))
    if not looks:
        talk("The router has one model for all prompts; fit it with --neighbors to choose per prompt.")


def _lines() -> list[str]:
    if sys.stdin.isatty():
        return []
    return [line.strip() for line in sys.stdin if line.strip()]


def _route(router: decisions.Router, embedder: models.Embedder | None, text: str) -> decisions.Route:
    if not text.strip():
        raise ConfigError("A prompt is empty. Leave it out.")
    return router.route(None if embedder is None else embedder.embed([text])[0])


def _plain(route: decisions.Route) -> dict[str, Any]:
    return {**route._asdict(), "alternatives": [other._asdict() for other in route.alternatives]}
