"""``nilometer report``: the accuracy of every slice, in the terminal, as a page, and for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nilometer import decisions, estimators, pages, traces
from nilometer.errors import ConfigError

from .commands import Given, next_commands
from .common import (
    EXIT_FOUND,
    AllOption,
    AtOption,
    ByOption,
    ColumnsOption,
    ConfidenceOption,
    FailUnderOption,
    FilesArgument,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    OthersOption,
    PartsOption,
    StrictOption,
    layout_of,
    split_keys,
    talk,
    write_json,
)
from .inputs import Inputs, read_correct, read_inputs
from .opinions import AgreeOption, SecondOption, opinions_of
from .outputs import ForceOption, check_outputs, write_whole
from .show import WORST, show_headline, show_outlook, show_ranking

__all__ = ["examples_of", "report"]

_KINDS = {".md": "md", ".xml": "junit"}
"""What a report is written as, by the ending of the file; any other is a page."""
_OUTPUTS = {"md": "Markdown", "junit": "JUnit", "html": "page"}
_USUAL_LEVEL = 0.95


def report(
    files: FilesArgument,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: Annotated[Path | None, typer.Option(help="A saved sentinel, for traffic without labels.")] = None,
    others: OthersOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the page here; for .md Markdown, for .xml JUnit.")] = None,
    fail_under: FailUnderOption = None,
    confidence_level: ConfidenceOption = 0.95,
    second: SecondOption = None,
    agree: AgreeOption = "answer",
    wire_format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="md or junit: print that, no table; else the wire format."),
    ] = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    examples: Annotated[bool, typer.Option("--examples", help="Show prompts and answers of the least sure.")] = False,
    show_all: AllOption = False,
    parts: PartsOption = False,
    strict: StrictOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """The accuracy of every slice of the traffic, from everything that is known, with intervals.

    --fail-under compares the accuracy itself, not the ends of its interval; slices that cannot be known do
    not count as failures and are named. Prompts and answers are in the page and in --json only with --examples.
    """
    kind = wire_format if wire_format in _KINDS.values() else None
    wire_format = None if kind else wire_format
    _check_kinds(kind, out, fail_under)
    read = [*files, *(labels or ()), sentinel, *(others or ())]
    check_outputs({_OUTPUTS[_KINDS.get(out.suffix, "html") if out else "html"]: out}, read, force=force)
    layout, opinions = layout_of(wire_format, at, columns), opinions_of(second, agree)
    keys = split_keys(by)
    saved = estimators.load_sentinel(sentinel) if sentinel else estimators.Sentinel(confidence_level=confidence_level)
    known = [estimators.load_sentinel(other) for other in others or ()]
    needed = decisions.report_features(saved, *known)
    inputs = read_inputs(files, by=keys, wire_format=layout, strict=strict, second=opinions, features=needed)
    correct = read_correct(inputs.profiles, labels, key=label_key)
    options: dict[str, object] = {"--labels": labels, "--label-key": label_key if label_key != "trace_id" else None}
    options |= {"--sentinel": sentinel, "--others": others, "--format": wire_format, "--at": at, "--columns": columns}
    options |= {"--confidence-level": confidence_level if confidence_level != _USUAL_LEVEL and not sentinel else None}
    options |= {"--second": second, "--agree": agree if agree != "answer" else None}
    result = decisions.build_report(
        inputs.profiles,
        by=keys,
        correct=correct,
        sentinel=saved,
        others=known,
        extra={"diagnosis": inputs.diagnosis, "examples": examples_of(inputs, keys) if examples else ()},
    )
    commands = next_commands(Given(files, keys, options), result)
    if out:  # before anything is printed, so that a closed pipe does not cost the page
        write_whole(out, _rendered(result, _KINDS.get(out.suffix, "html"), commands, least=fail_under))
    if kind:
        typer.echo(_rendered(result, kind, commands, least=fail_under), nl=False)
    else:
        _print(result, commands, as_json=as_json, most=None if show_all else WORST, parts=parts)
    if out:
        talk(f"Wrote {out}.")
    if fail_under is not None:
        _gate(result, fail_under)


def _check_kinds(kind: str | None, out: Path | None, least: float | None) -> None:
    kinds = {kind, _KINDS.get(out.suffix) if out else None}
    if "junit" in kinds and least is None:
        raise ConfigError("JUnit output needs `--fail-under`, the least accuracy that passes.")


def _rendered(result: decisions.Report, kind: str, commands: dict[str, str], *, least: float | None) -> str:
    if kind == "junit" and least is not None:
        return pages.render_junit(result, least=least)
    render = pages.render_markdown if kind == "md" else pages.render_html
    return render(result, commands=commands)


def examples_of(inputs: Inputs, keys: tuple[str, ...]) -> tuple[decisions.Example, ...]:
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
    names = traces.slice_names(table, simple).to_pylist() if simple else [""] * len(rows)
    return tuple(
        decisions.Example(
            row["trace_id"], name, row["prompt"], tuple(row["tokens"]), tuple(row["entropies"]), row["correct"]
        )
        for row, name in zip(rows, names, strict=True)
    )


def _print(result: decisions.Report, commands: dict[str, str], *, as_json: bool, most: int | None, parts: bool) -> None:
    if as_json:
        write_json({**result.to_dict(), "commands": commands})
        return
    if result.ranking:
        show_ranking(result.ranking, most=most)
    else:
        label_free = result.label_free if parts else None
        show_headline(result.estimates, result.overall, by=result.by, most=most, label_free=label_free)
        show_outlook(result, commands)
    for note in result.notes:
        talk(f"{note[0].upper()}{note[1:]}.")


def _gate(result: decisions.Report, least: float) -> None:
    import numpy as np

    known: list[Any] = [row for row in result.estimates if isinstance(row, estimators.Estimate)]
    unknown = len(result.estimates) - len(known)
    if unknown:
        talk(f"{unknown} slices cannot be known and were not compared with {least:g}.")
    fallen = [row.slice for row in known if np.float64(row.accuracy) < least]
    if fallen:
        talk(f"Below {least:g}: {', '.join(fallen)}.")
        raise typer.Exit(EXIT_FOUND)
