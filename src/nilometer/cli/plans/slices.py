"""``nilometer plan slices``: which slices to label first."""

from __future__ import annotations

from typing import Annotated

import typer

from nilometer import decisions, estimators

from ..common import (
    AtOption,
    ByOption,
    ColumnsOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    layout_of,
    split_keys,
    talk,
    write_json,
)
from ..inputs import read_inputs
from .inputs import print_table

__all__ = ["plan_slices"]


def plan_slices(
    files: FilesArgument,
    k: Annotated[int, typer.Option("--k", min=2, help="Slices to choose.")] = 4,
    by: ByOption = None,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose which slices to label first from unlabelled traffic: the middles of equal parts of its difficulty."""
    profiles = read_inputs(files, by=split_keys(by), wire_format=layout_of(wire_format, at, columns)).profiles
    responses = estimators.cut_responses(profiles, split_keys(by))
    keys, scores = responses.keys, decisions.mean_scores(responses)
    chosen = decisions.choose_slices(scores, k)
    if as_json:
        write_json([{"slice": name, "mean_largest_entropy": scores[name]} for name in chosen])
    else:
        print_table(
            (", ".join(keys), "mean largest entropy, nats"),
            [(decisions.short_name(n, keys), f"{scores[n]:.3f}") for n in chosen],
        )
    for note in responses.notes:
        talk(f"{note[0].upper()}{note[1:]}.")
