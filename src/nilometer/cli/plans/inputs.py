"""What the verbs under ``nilometer plan`` share: traffic, what is believed of it, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from nilometer import estimators
from nilometer.errors import NotEnoughDataError
from nilometer.traces import Layout

from ..common import console, split_keys, talk
from ..inputs import read_correct, read_inputs

__all__ = ["Known", "SeedOption", "SentinelOption", "print_table", "read_known"]

SentinelOption = Annotated[
    Path | None, typer.Option("--sentinel", metavar="FILE", help="A saved sentinel; else one is fitted on the labels.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")]


class Known(NamedTuple):
    """Responses, and what is believed of their slices."""

    responses: estimators.Responses
    estimates: tuple[estimators.Estimate | estimators.NotEnoughData, ...]


def read_known(
    files: list[str],
    labels: list[str] | None,
    *,
    label_key: str,
    by: list[str] | None,
    sentinel: Path | None,
    wire_format: Layout | None,
) -> Known:
    """Read responses and what a saved sentinel, or one fitted on their labels, says of them."""
    profiles = read_inputs(files, by=split_keys(by), wire_format=wire_format).profiles
    correct = read_correct(profiles, labels, key=label_key)
    responses = estimators.cut_responses(profiles, split_keys(by), correct=correct)
    for note in responses.notes:
        talk(f"{note[0].upper()}{note[1:]}.")
    fitted = estimators.load_sentinel(sentinel) if sentinel else _fit(responses)
    if fitted is None:
        return Known(responses, ())
    known = responses.with_p_correct(fitted.predict_proba(responses)[:, 1])
    return Known(known, tuple(fitted.estimate(known, left_out=known.n_labels > 0)))


def _fit(responses: estimators.Responses) -> estimators.Sentinel | None:
    """Fit on the labels; None, said aloud, where they do not allow it."""
    try:
        return estimators.fit_sentinel(responses)[0]
    except NotEnoughDataError as exc:
        talk(f"No sentinel: {exc} All slices count as unknown.")
        return None


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its first column of words and the others of numbers."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)
