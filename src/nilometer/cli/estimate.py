"""``nilometer estimate``: slice accuracies of unlabelled traces by a saved sentinel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilometer import estimators

from .common import (
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
from .inputs import read_inputs
from .opinions import AgreeOption, SecondOption, opinions_of
from .show import show_estimates

__all__ = ["estimate"]


def estimate(
    files: FilesArgument,
    sentinel: Annotated[Path, typer.Option(help="File made by `nilometer fit`.")],
    by: ByOption = None,
    second: SecondOption = None,
    agree: AgreeOption = "answer",
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate the accuracy of every slice with a saved sentinel."""
    layout, opinions = layout_of(wire_format, at, columns), opinions_of(second, agree)
    inputs = read_inputs(files, by=split_keys(by), wire_format=layout, second=opinions)
    responses = estimators.cut_responses(inputs.profiles, split_keys(by), correct=inputs.profiles["correct"].to_numpy())
    estimates = estimators.load_sentinel(sentinel).estimate(responses)
    if as_json:
        write_json(estimates.to_dicts())
    else:
        show_estimates(estimates, by=responses.keys)
    for note in responses.notes:
        talk(f"{note}.")
