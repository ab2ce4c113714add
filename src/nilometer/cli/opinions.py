"""``--second`` and ``--agree``: second opinions from files, from further draws, or stated in the answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nilometer import signals, traces
from nilometer.errors import ConfigError

from .common import check_bad_lines, expand_files, talk

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


__all__ = ["TEXT_COLUMNS", "AgreeOption", "Opinions", "SecondOption", "add_second", "opinions_of"]

SecondOption = Annotated[
    list[str] | None,
    typer.Option(
        "--second",
        metavar="WHAT",
        help="Second opinions: a FILE of other models' answers to the same prompts, draws, or stated.",
    ),
]
AgreeOption = Annotated[
    str,
    typer.Option(
        "--agree", metavar="HOW", help="How answers are compared: answer, exact, choice, number, ngrams, minilm ..."
    ),
]
TEXT_COLUMNS = ("trace_id", "prompt_id", "model", "prompt", "answer")
"""Columns of traces that second opinions need."""
_EMBEDDERS = ("ngrams", "wordllama", "minilm")
"""Long texts are compared by the cosine of their embeddings."""


class Opinions(NamedTuple):
    """Where second opinions come from, and how answers are compared."""

    sources: tuple[str, ...]
    how: str = "answer"


def opinions_of(second: list[str] | None, how: str) -> Opinions | None:
    """Put what ``--second`` and ``--agree`` say into one value; None without second opinions.

    Raises
    ------
    ConfigError
        If there is no such way to compare answers.
    """
    ways = (*signals.AGREEMENT_KINDS, *_EMBEDDERS)
    if how not in ways:
        raise ConfigError(f"`--agree` must be one of {', '.join(ways)}, got {how!r}.")
    return Opinions(tuple(second), how) if second else None


def add_second(profiles: pa.Table, texts: pa.Table | None, opinions: Opinions) -> pa.Table:
    """Add the columns of second opinions to profiles, and say what was found.

    Raises
    ------
    ConfigError
        If the profiles come without their answers, or a source holds nothing that belongs to them.
    """
    if texts is None:
        raise ConfigError("files of profiles hold no answers. Give the traces with `--second`.")
    for source in opinions.sources:
        if source == "stated":
            profiles, said = signals.add_stated(profiles, texts)
        elif source == "draws":
            kind = "answer" if opinions.how in _EMBEDDERS else opinions.how
            profiles, said = signals.add_draws(profiles, texts, kind=kind)
        else:
            profiles, said = signals.add_opinions(profiles, texts, _read(source), compare=_comparison(opinions.how))
        for line in said:
            talk(f"{line}.")
    return profiles


def _read(source: str) -> pa.Table:
    import pyarrow as pa

    paths: list[Path] = expand_files([source])
    stream = traces.read_traces(paths)
    batches = [batch.select(list(TEXT_COLUMNS)) for batch in stream]
    check_bad_lines(stream.report)
    if not batches:
        raise ConfigError(f"{source}: no answer could be read.")
    return pa.Table.from_batches(batches)


def _comparison(how: str) -> signals.Compare:
    return partial(_similarity, embedder=how) if how in _EMBEDDERS else partial(signals.agreement, kind=how)


def _similarity(own: Sequence[str | None], other: Sequence[Sequence[str]], *, embedder: str) -> NDArray[np.float64]:
    """Mean cosine of an answer and another model's answers, cut at zero; NaN where there are none."""
    import numpy as np

    from nilometer.models import embed_texts, make_embedder

    texts = sorted({text for many in ([one or "" for one in own], *other) for text in many if text.strip()})
    place = {text: i for i, text in enumerate(texts)}
    vectors = embed_texts(texts, make_embedder(embedder)).vectors.astype(np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    found = np.full(len(own), np.nan)
    for i, (mine, many) in enumerate(zip(own, other, strict=True)):
        if many:
            pairs = [(place.get(mine or "", -1), place.get(text, -1)) for text in many]
            found[i] = np.mean([max(float(vectors[a] @ vectors[b]), 0.0) if min(a, b) >= 0 else 0.0 for a, b in pairs])
    return np.asarray(np.minimum(found, 1.0))
