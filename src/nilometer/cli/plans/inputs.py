"""What the verbs under ``nilometer plan`` share: traffic, what is believed of it, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from nilometer import decisions, estimators, traces
from nilometer.errors import NotEnoughDataError

from ..common import console, split_keys, talk
from ..inputs import read_correct, read_inputs

__all__ = ["Given", "Known", "SeedOption", "SentinelOption", "print_table", "read_known"]

SentinelOption = Annotated[
    Path | None, typer.Option("--sentinel", metavar="FILE", help="A saved sentinel; else one is fitted on the labels.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")]


class Known(NamedTuple):
    """Responses, and what is believed of their slices."""

    headline: decisions.Headline
    keys: tuple[str, ...]

    @property
    def is_anything_known(self) -> bool:
        """Whether any slice has an accuracy."""
        return any(isinstance(row, estimators.Estimate) for row in self.headline.estimates)


class Given(NamedTuple):
    """What the verbs under ``plan`` read."""

    files: list[str]
    labels: list[str] | None
    label_key: str
    by: list[str] | None
    sentinel: Path | None
    others: list[Path] | None
    layout: traces.Layout
    confidence_level: float


def read_known(given: Given, *, is_current: bool = False) -> Known:
    """Read responses and what a saved sentinel, or one fitted on their labels, says of them, as ``report`` does.

    With ``is_current`` only those of the model that answers now.
    """
    keys = split_keys(given.by)
    profiles = read_inputs(given.files, by=keys, wire_format=given.layout).profiles
    correct = read_correct(profiles, given.labels, key=given.label_key)
    responses = estimators.cut_responses(profiles, keys, correct=correct)
    level = given.confidence_level
    fitted = estimators.load_sentinel(given.sentinel) if given.sentinel else _fit(responses, level)
    others = [estimators.load_sentinel(other) for other in given.others or ()]
    headline = decisions.headline_estimates(fitted, responses, others=others, confidence_level=level)
    if is_current:
        headline = decisions.current_headline(fitted, headline, others=others)
    for note in (*responses.notes, *headline.notes):
        talk(f"{note[0].upper()}{note[1:]}.")
    return Known(headline, responses.keys)


def _fit(responses: estimators.Responses, confidence_level: float) -> estimators.Sentinel | None:
    """Fit on the labels; None, said aloud, where they do not allow it."""
    try:
        return estimators.fit_sentinel(responses, estimators.Sentinel(confidence_level=confidence_level))[0]
    except NotEnoughDataError as exc:
        talk(f"No sentinel: {exc} All slices without labels count as unknown.")
        return None


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its first column of words and the others of numbers."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold", no_wrap=i > 0)
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)
