"""``nilometer plan label``: which responses to label next."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from nilometer import decisions, traces

from ..common import (
    AtOption,
    ByOption,
    ColumnsOption,
    ConfidenceOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    OthersOption,
    expand_files,
    layout_of,
    talk,
    write_json,
)
from ..outputs import ForceOption, check_outputs
from .inputs import Given, SeedOption, SentinelOption, print_table, read_known

__all__ = ["plan_label"]


def plan_label(
    files: FilesArgument,
    budget: Annotated[int, typer.Option(min=1, help="Labels to plan.")],
    out: Annotated[Path, typer.Option(help="Where the plan goes; .csv writes CSV, else JSONL.")],
    label_studio: Annotated[Path | None, typer.Option(metavar="FILE", help="Also as tasks of Label Studio.")] = None,
    argilla: Annotated[Path | None, typer.Option(metavar="FILE", help="Also as records of Argilla.")] = None,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: SentinelOption = None,
    others: OthersOption = None,
    confidence_level: ConfidenceOption = 0.95,
    weigh: Annotated[
        str, typer.Option(help="Slices count by their traffic, or all are equal: traffic, equal.")
    ] = "traffic",
    seed: SeedOption = 0,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Choose which responses to label next, with the chance with which each was drawn.

    Give the plan and its labels to `nilometer plan measure` for valid intervals.
    """
    import numpy as np

    outputs = {"plan": out, "tasks": label_studio, "records": argilla}
    check_outputs(outputs, [*files, *(labels or ()), sentinel, *(others or ())], force=force)
    layout = layout_of(wire_format, at, columns)
    given = Given(files, labels, label_key, by, sentinel, others, layout, confidence_level)
    known = read_known(given, is_current=True).headline
    found = decisions.plan_labels(
        known.responses,
        known.label_free,
        budget,
        rng=np.random.default_rng(seed),
        believed=known.estimates,
        options=decisions.LabelOptions(weigh, known.confidence_level),
    )
    texts = _texts(files, {row.trace_id for row in found.labels}, layout)
    form = "csv" if out.suffix == ".csv" else "jsonl"
    decisions.write_label_plan(out, found.labels, texts, form=form, standing=found.standing)
    for path, form in ((label_studio, "label-studio"), (argilla, "argilla")):
        if path:
            decisions.write_label_plan(path, found.labels, texts, form=form)
    if as_json:
        write_json(found.to_dict())
    else:
        _show(found, known.responses.keys)
    talk(f"{len(found.labels):,} responses to label in {out}.")


def _show(found: decisions.LabelPlan, keys: tuple[str, ...]) -> None:
    rows = [
        (
            decisions.short_name(row.slice, keys),
            f"{row.n:,}",
            f"{row.n_labels:,}",
            "unknown" if before.accuracy is None else f"{before.accuracy:.2f}",
            f"{row.n_new:,}",
            f"±{row.half_width:.2f}",
            f"±{row.expected_half_width:.2f}",
        )
        for row, before in sorted(zip(found.slices, found.standing, strict=True), key=lambda pair: -pair[0].n_new)
    ]
    print_table((", ".join(keys), "n", "labels", "accuracy", "to label", "interval now", "expected"), rows)


def _texts(files: list[str], wanted: set[str], wire_format: traces.Layout | None) -> dict[str, decisions.Text]:
    """Prompts and answers of the chosen responses, by reading the traces once more."""
    found: dict[str, decisions.Text] = {}
    with suppress(ValueError):  # files of profiles hold no text
        for batch in traces.read_traces(expand_files(files), format=wire_format):
            ids, prompts, answers = (batch.column(name).to_pylist() for name in ("trace_id", "prompt", "answer"))
            rows = zip(ids, prompts, answers, strict=True)
            found |= {name: decisions.Text(prompt, answer) for name, prompt, answer in rows if name in wanted}
    missing = sum(name not in found or found[name].answer is None for name in wanted)
    if missing:
        talk(f"{missing:,} of {len(wanted):,} responses come without their text; find it by trace_id.")
    return found
