"""``nilometer estimate``: slice accuracies of unlabelled traces by a saved sentinel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilometer import decisions, estimators

from .common import (
    AllOption,
    AtOption,
    ByOption,
    ColumnsOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    PartsOption,
    layout_of,
    split_keys,
    talk,
    write_json,
)
from .inputs import read_correct, read_inputs
from .opinions import AgreeOption, SecondOption, opinions_of
from .show import WORST, show_headline

__all__ = ["estimate"]


def estimate(
    files: FilesArgument,
    sentinel: Annotated[Path, typer.Option(help="File made by `nilometer fit`.")],
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    second: SecondOption = None,
    agree: AgreeOption = "answer",
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    show_all: AllOption = False,
    parts: PartsOption = False,
    as_json: JsonOption = False,
) -> None:
    """The accuracy of every slice with a saved sentinel, and with labels where there are some.

    The numbers are those of `nilometer report` with the same sentinel and labels.
    """
    layout, opinions = layout_of(wire_format, at, columns), opinions_of(second, agree)
    inputs = read_inputs(files, by=split_keys(by), wire_format=layout, second=opinions)
    correct = read_correct(inputs.profiles, labels, key=label_key)
    responses = estimators.cut_responses(inputs.profiles, split_keys(by), correct=correct)
    found = decisions.headline_estimates(estimators.load_sentinel(sentinel), responses)
    if as_json:
        write_json(decisions.headline_rows(found.estimates))
    else:
        label_free = found.label_free if parts else None
        most = None if show_all else WORST
        show_headline(found.estimates, found.overall, by=responses.keys, most=most, label_free=label_free)
    for note in (*responses.notes, *found.notes):
        talk(f"{note[0].upper()}{note[1:]}.")
