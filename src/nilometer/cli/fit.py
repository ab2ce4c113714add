"""``nilometer fit``: learn a sentinel from labelled traces and save it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilometer import estimators

from .common import (
    AtOption,
    ByOption,
    ColumnsOption,
    ConfidenceOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    layout_of,
    split_keys,
    talk,
    write_json,
)
from .inputs import read_correct, read_inputs
from .opinions import AgreeOption, SecondOption, opinions_of
from .outputs import ForceOption, check_outputs

__all__ = ["fit"]


def fit(
    files: FilesArgument,
    out: Annotated[Path, typer.Option(help="Where the sentinel goes.")],
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    method: Annotated[str, typer.Option(help="combined, atc, pcc, constant ... (docs/estimation.md).")] = "combined",
    feature: Annotated[str, typer.Option(help="Score of atc: a feature.")] = "max",
    confidence_level: ConfidenceOption = 0.95,
    second: SecondOption = None,
    agree: AgreeOption = "answer",
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fit a sentinel on labelled responses, slice by slice, and save it."""
    check_outputs({"sentinel": out}, [*files, *(labels or ())], force=force)
    layout, opinions = layout_of(wire_format, at, columns), opinions_of(second, agree)
    inputs = read_inputs(files, by=split_keys(by), wire_format=layout, second=opinions)
    correct = read_correct(inputs.profiles, labels, key=label_key)
    responses = estimators.cut_responses(inputs.profiles, split_keys(by), correct=correct)
    wanted = estimators.Sentinel(method=method, feature=feature, confidence_level=confidence_level)
    sentinel, said = estimators.fit_sentinel(responses, wanted)
    estimators.save_sentinel(out, sentinel)
    if as_json:
        write_json(
            {"out": str(out), "n_labels": sentinel.n_labels_, "slices": sentinel.slices_, "notes": sentinel.notes_}
        )
    for line in [*filter(None, (*responses.notes, said)), *sentinel.notes_]:
        talk(f"{line}.")
    talk(f"Fitted on {sentinel.n_labels_:,} labels in {len(sentinel.slices_)} slices. Wrote {out}.")
