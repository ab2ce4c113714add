"""``nilometer doctor``: is this data usable, and what to change where it is served."""

from typing import Any

import typer

from nilometer.traces import Diagnosis, LabelReport, diagnose, read_labels, read_traces

from .common import (
    EXIT_FOUND,
    AtOption,
    ByOption,
    ColumnsOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    StrictOption,
    check_bad_lines,
    console,
    expand_files,
    layout_of,
    n_processes,
    progress,
    split_keys,
    talk,
    write_json,
)

__all__ = ["doctor"]

_STYLES = {"error": "bold red", "warning": "yellow", "info": "dim"}
_SHOWN_SLICES = 60


def doctor(
    files: FilesArgument,
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Report whether traces can be used, and which serving flag provides what is missing. Exit 3 when they cannot."""
    label_report = LabelReport()
    table = read_labels(expand_files(labels), key=label_key, report=label_report) if labels else None
    for line in label_report.bad_lines:
        talk(line)
    stream = read_traces(expand_files(files), format=layout_of(wire_format, at, columns), strict=strict)
    stream.in_parallel(n_processes())
    with progress("Reading") as advance:
        diagnosis = diagnose(_watched(stream, advance), labels=table, by=split_keys(by), stream=stream)
    check_bad_lines(stream.report)
    if as_json:
        read = stream.report
        write_json({**diagnosis.to_dict(), "n_bad_lines": read.n_bad, "bad_lines": read.bad_lines})
    else:
        _show(diagnosis, [(file.path, file.format) for file in stream.report.files])
    if not diagnosis.usable:
        raise typer.Exit(EXIT_FOUND)


def _watched(stream: Any, advance: Any) -> Any:
    for batch in stream:
        advance(batch.num_rows)
        yield batch


def _show(diagnosis: Diagnosis, files: list[tuple[str, str]]) -> None:
    from rich.markup import escape

    out = console()
    formats = ", ".join(sorted({name for _, name in files}))
    out.print(
        f"{diagnosis.n_traces:,} responses, {diagnosis.n_tokens:,} tokens, {len(files)} files ({escape(formats)})"
    )
    out.print(_counts(diagnosis))
    out.print(_models(diagnosis))
    if diagnosis.coverage:
        out.print(_coverage(diagnosis))
    for finding in diagnosis.findings:
        style = _STYLES[finding.severity]
        out.print(f"[{style}]{finding.severity}[/] {escape(finding.message)}")
        if finding.cure:
            out.print(f"    {escape(finding.cure)}", style="dim")
    out.print("usable" if diagnosis.usable else "not usable", style="bold")


def _counts(diagnosis: Diagnosis) -> Any:
    from rich.table import Table

    table = Table("responses", "number", "share", title_justify="left")
    whole = max(diagnosis.n_traces, 1)
    rows = [
        ("without log-probabilities", diagnosis.n_without_logprobs),
        *((f"  {reason}", n) for reason, n in diagnosis.reasons.items()),
        ("truncated", diagnosis.n_truncated),
        ("empty", diagnosis.n_empty),
        ("of one token", diagnosis.n_one_token),
        ("with a repeated id", diagnosis.n_duplicates),
        ("with a label", diagnosis.n_labels),
    ]
    for name, n in rows:
        table.add_row(name, f"{n:,}", f"{n / whole:.1%}")
    tokens = diagnosis.n_tokens_without_logprobs
    table.add_row("tokens without alternatives", f"{tokens:,}", f"{tokens / max(diagnosis.n_tokens, 1):.1%}")
    return table


def _models(diagnosis: Diagnosis) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table("model", "responses", "k", "temperature", "log-probabilities", "tail mass q50 / q99")
    for model in diagnosis.models:
        tail = model.tail_mass
        table.add_row(
            escape(model.model),
            f"{model.n_traces:,}",
            ", ".join(model.k),
            ", ".join(model.temperatures),
            f"{model.logprobs_mode}: {escape(model.mode_evidence)}",
            f"{tail['q50']:.2g} / {tail['q99']:.2g}" if tail else "none",
        )
    return table


def _coverage(diagnosis: Diagnosis) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table("slice", "responses", "labels")
    for item in diagnosis.coverage[:_SHOWN_SLICES]:
        table.add_row(escape(item.slice), f"{item.n:,}", f"{item.n_labels:,}")
    if len(diagnosis.coverage) > _SHOWN_SLICES:
        table.add_row(f"and {len(diagnosis.coverage) - _SHOWN_SLICES} more (--json lists all)", "", "")
    return table
