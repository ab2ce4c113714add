"""``nilometer report``: the accuracy of every slice, in the terminal and as one HTML file."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from nilometer.decisions import Example, Report, build_report
from nilometer.estimators import Estimate, Sentinel, load_sentinel
from nilometer.pages import render_html
from nilometer.traces import slice_names

from .common import (
    EXIT_FOUND,
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
    StrictOption,
    layout_of,
    split_keys,
    talk,
    write_json,
)
from .inputs import Inputs, read_correct, read_inputs
from .show import show_estimates, show_outlook, show_ranking

__all__ = ["examples_of", "report"]


def report(
    files: FilesArgument,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: Annotated[Path | None, typer.Option(help="A saved sentinel, for traffic without labels.")] = None,
    others: OthersOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    fail_under: Annotated[float | None, typer.Option(help="Exit 3 if an estimate is below.", min=0, max=1)] = None,
    confidence_level: ConfidenceOption = 0.95,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate the accuracy of every slice of the traffic, with intervals.

    --fail-under compares the estimate itself, not the ends of its interval; slices that cannot be known do
    not count as failures and are named.
    """
    inputs = read_inputs(files, by=split_keys(by), wire_format=layout_of(wire_format, at, columns), strict=strict)
    correct = read_correct(inputs.profiles, labels, key=label_key)
    keys = split_keys(by)
    extra = {"diagnosis": inputs.diagnosis}
    result = build_report(
        inputs.profiles,
        by=keys,
        correct=correct,
        sentinel=load_sentinel(sentinel) if sentinel else Sentinel(confidence_level=confidence_level),
        others=[load_sentinel(other) for other in others or ()],
        extra={**extra, "examples": examples_of(inputs, keys)},
    )
    _print(result, as_json=as_json)
    if out:
        out.write_text(render_html(result), encoding="utf-8")
        talk(f"Wrote {out}.")
    if fail_under is not None:
        _gate(result, fail_under)


def examples_of(inputs: Inputs, keys: tuple[str, ...]) -> tuple[Example, ...]:
    """Turn the kept answers into examples of the report."""
    import pyarrow as pa

    rows = inputs.least_confident
    if not rows:
        return ()
    table = pa.table(
        {
            "attributes": pa.array(
                [row["attributes"] for row in rows], type=inputs.profiles.schema.field("attributes").type
            )
        }
    )
    simple = [key for key in keys if key.isidentifier() and key not in inputs.profiles.column_names]
    names = slice_names(table, simple).to_pylist() if simple else [""] * len(rows)
    return tuple(
        Example(row["trace_id"], name, row["prompt"], tuple(row["tokens"]), tuple(row["entropies"]), row["correct"])
        for row, name in zip(rows, names, strict=True)
    )


def _print(result: Report, *, as_json: bool) -> None:
    if as_json:
        write_json(result.to_dict())
        return
    if result.ranking:
        show_ranking(result.ranking)
    else:
        show_estimates(result.estimates, by=result.by)
        show_outlook(result)
    for note in result.notes:
        talk(f"{note[0].upper()}{note[1:]}.")


def _gate(result: Report, least: float) -> None:
    known: list[Any] = [row for row in result.estimates if isinstance(row, Estimate)]
    unknown = len(result.estimates) - len(known)
    if unknown:
        talk(f"{unknown} slices cannot be known and were not compared with {least:g}.")
    fallen = [row.slice for row in known if np.float64(row.accuracy) < least]
    if fallen:
        talk(f"Below {least:g}: {', '.join(fallen)}.")
        raise typer.Exit(EXIT_FOUND)
