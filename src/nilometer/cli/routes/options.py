"""Options that the routing verbs share."""

import os
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "CacheOption",
    "CompareOption",
    "CostOption",
    "EmbedderModelOption",
    "EmbedderOption",
    "NeighborsOption",
    "SentinelOption",
    "VoterOption",
    "default_cache",
]

VoterOption = Annotated[str, typer.Option(help="Column or attribute that distinguishes the models (or prompts).")]
CompareOption = Annotated[
    str, typer.Option(help="embedding, or the part compared: choice, number, sequence, text, word, yes_no.")
]
EmbedderOption = Annotated[str, typer.Option(help="ngrams, wordllama, minilm or openai:URL.")]
EmbedderModelOption = Annotated[str | None, typer.Option(help="Name of the embedding model at the server.")]
CacheOption = Annotated[Path | None, typer.Option(help="SQLite file for embeddings; in the user's cache by default.")]
CostOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="JSON {model: cost of a call}, or CSV with model and cost.")
]
NeighborsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Choose per prompt from so many nearest prompts; one model for all by default."),
]
SentinelOption = Annotated[Path | None, typer.Option(help="A saved sentinel, for the confidence of each answer.")]


def default_cache(cache: Path | None) -> Path:
    """Return the file of the user's cache, unless another is named."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache or home / "nilometer" / "embeddings.sqlite"
