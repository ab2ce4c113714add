"""``nilometer doctor``: is this data usable, and what to change where it is served."""

from __future__ import annotations

from typing import Any

import typer

from nilometer import signals, traces

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
    about_responses,
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
_SHOWN_VALUES = 8


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
    label_report = traces.LabelReport()
    table = traces.read_labels(expand_files(labels), key=label_key, report=label_report) if labels else None
    for line in label_report.bad_lines:
        talk(line)
    paths, keys = expand_files(files), split_keys(by)
    if all(signals.is_profile_file(path) for path in paths):
        diagnosis = traces.diagnose(signals.read_profiles(paths), labels=table, by=keys)
        read, formats = traces.ReadReport(), [(str(path), "profiles") for path in paths]
    else:
        stream = traces.read_traces(paths, format=layout_of(wire_format, at, columns), strict=strict)
        stream.in_parallel(n_processes())
        with progress("Reading", total=lambda: about_responses(paths)) as advance:
            diagnosis = traces.diagnose(_watched(stream, advance), labels=table, by=keys, stream=stream)
        read, formats = stream.report, [(file.path, file.format) for file in stream.report.files]
        check_bad_lines(read)
    if as_json:
        write_json({**diagnosis.to_dict(), "n_bad_lines": read.n_bad, "bad_lines": read.bad_lines})
    else:
        _show(diagnosis, formats)
    if not diagnosis.usable:
        raise typer.Exit(EXIT_FOUND)


def _watched(stream: Any, advance: Any) -> Any:
    for batch in stream:
        advance(batch.num_rows)
        yield batch


def _show(diagnosis: traces.Diagnosis, files: list[tuple[str, str]]) -> None:
    from rich.markup import escape

    out = console()
    formats = ", ".join(sorted({name for _, name in files}))
    out.print(
        f"{diagnosis.n_traces:,} responses, {diagnosis.n_tokens:,} tokens, {len(files)} files ({escape(formats)})"
    )
    out.print(_when(diagnosis))
    out.print(_counts(diagnosis))
    out.print(_models(diagnosis))
    if diagnosis.keys:
        out.print(_keys(diagnosis))
    if diagnosis.coverage:
        out.print(_coverage(diagnosis))
    for finding in diagnosis.findings:
        style = _STYLES[finding.severity]
        out.print(f"[{style}]{finding.severity}[/] {escape(finding.message)}")
        if finding.cure:
            out.print(f"    {escape(finding.cure)}", style="dim")
    out.print("usable" if diagnosis.usable else "not usable", style="bold")


def _when(diagnosis: traces.Diagnosis) -> str:
    """Say from when the responses are, and whether annotators and other models could see their prompts."""
    if diagnosis.first_time is None or diagnosis.last_time is None:
        span = "no response has a time"
    else:
        span = f"{_minute(diagnosis.first_time)} to {_minute(diagnosis.last_time)} UTC"
        span += f", {diagnosis.n_without_time:,} without a time" if diagnosis.n_without_time else ""
    prompts = "" if diagnosis.n_prompts is None else f"; {diagnosis.n_prompts:,} with their prompt"
    return f"{span}{prompts}"


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _counts(diagnosis: traces.Diagnosis) -> Any:
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


def _models(diagnosis: traces.Diagnosis) -> Any:
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


def _keys(diagnosis: traces.Diagnosis) -> Any:
    """Attributes that `--by` takes, and their values, each with responses and labels."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("--by", "responses", "values: responses (labels)")
    for key in diagnosis.keys:
        if key.values is None:
            said = "more than a thousand; no slice key"
        else:
            few = key.values[:_SHOWN_VALUES]
            said = ", ".join(f"{escape(one.slice)} {one.n:,} ({one.n_labels:,})" for one in few)
            more = len(key.values) - len(few)
            said += f", and {more:,} more (--json lists all)" if more else ""
        table.add_row(escape(key.key), f"{key.n:,}", said)
    return table


def _coverage(diagnosis: traces.Diagnosis) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table("slice", "responses", "labels")
    for item in diagnosis.coverage[:_SHOWN_SLICES]:
        table.add_row(escape(item.slice), f"{item.n:,}", f"{item.n_labels:,}")
    if len(diagnosis.coverage) > _SHOWN_SLICES:
        table.add_row(f"and {len(diagnosis.coverage) - _SHOWN_SLICES} more (--json lists all)", "", "")
    return table
