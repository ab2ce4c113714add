"""What the verbs share: options, consoles, and traces read under one policy for bad lines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nilometer import traces
from nilometer.display import finite
from nilometer.errors import ConfigError, TraceFormatError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "EXIT_FOUND",
    "MAX_BAD_SHARE",
    "AllOption",
    "AtOption",
    "BelowOption",
    "ByOption",
    "ColumnsOption",
    "ConfidenceOption",
    "FailUnderOption",
    "FilesArgument",
    "FormatOption",
    "HostOption",
    "JsonOption",
    "LabelKeyOption",
    "LabelsOption",
    "LeastChangeOption",
    "OthersOption",
    "PartsOption",
    "StoreOption",
    "StrictOption",
    "about_responses",
    "check_bad_lines",
    "console",
    "expand_files",
    "layout_of",
    "n_processes",
    "progress",
    "split_keys",
    "talk",
    "write_json",
]

EXIT_FOUND = 3
"""Exit code where what was asked for is found: a gate fails, an alert fires, a model changed, data is unusable."""
MAX_BAD_SHARE = 0.01
"""Share of bad lines from which a file is taken for something else."""
_SHOWN_BAD_LINES = 20
_PIPE_WIDTH = 160
_HEAD = 1 << 18

FilesArgument = Annotated[list[str], typer.Argument(metavar="FILES...", help="Trace or profile files, folders, globs.")]
LabelsOption = Annotated[
    list[str] | None, typer.Option("--labels", metavar="FILE", help="CSV, JSONL or Parquet; may be repeated.")
]
LabelKeyOption = Annotated[
    str, typer.Option("--label-key", metavar="NAME", help="Column of the labels that holds the id.")
]
OthersOption = Annotated[
    list[Path] | None,
    typer.Option("--others", metavar="FILE", help="Sentinel of another model or version fitted by the same keys."),
]
ByOption = Annotated[
    list[str] | None,
    typer.Option("--by", metavar="KEYS", help="Slice keys: attributes, columns or SQL, comma-separated."),
]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="PATH", help="JSON path of the response in each line or row: raw_response, data[*].body."
    ),
]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option("--columns", metavar="NAME=PATH", help="Where columns stand: answer=output,logprobs=meta.logprobs."),
]
FormatOption = Annotated[str | None, typer.Option("--format", metavar="NAME", help="Wire format; sniffed by default.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")]
AllOption = Annotated[bool, typer.Option("--all", help="Print every slice, not the 20 with most errors.")]
PartsOption = Annotated[
    bool, typer.Option("--parts", help="Print what each number is made of: without the labels, and by them.")
]
FailUnderOption = Annotated[
    float | None,
    typer.Option("--fail-under", metavar="ACCURACY", min=0, max=1, help="Alert, or exit 3, if an accuracy is below."),
]
BelowOption = Annotated[float | None, typer.Option("--below", min=0, max=1, hidden=True)]
"""What `--fail-under` was called in some verbs."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
StoreOption = Annotated[
    Path, typer.Option("--to", metavar="DIR", help="Folder of the store that `nilometer serve` has.")
]
HostOption = Annotated[str, typer.Option("--host", help="Address to listen on; other than loopback needs a token.")]
LeastChangeOption = Annotated[
    float, typer.Option("--least-change", min=0, max=1, help="Smallest change worth an alert.")
]
ConfidenceOption = Annotated[
    float, typer.Option("--confidence-level", min=0.5, max=0.999, help="Coverage of the intervals.")
]


def console(*, stderr: bool = False) -> Console:
    """Open a Rich console as wide as the terminal; in a pipe wide enough that no row of numbers breaks."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def talk(message: str) -> None:
    """Say something to the person at the terminal; data never goes here."""
    typer.echo(message, err=True)


def write_json(value: Any) -> None:
    """Print one JSON document; numbers that are not finite become null."""
    typer.echo(json.dumps(finite(value), ensure_ascii=False, indent=1, default=str))


def layout_of(wire_format: str | None, at: str | None, columns: list[str] | None) -> traces.Layout:
    """Put what ``--format``, ``--at`` and ``--columns`` say about the files into one value.

    Raises
    ------
    ConfigError
        If they name no format, no path, or no column.
    """
    pairs = [pair.partition("=") for given in columns or () for pair in given.split(",")]
    unfit = next((name for name, sign, path in pairs if not (name.strip() and sign and path.strip())), None)
    if unfit is not None:
        raise ConfigError(f"`--columns` must be NAME=PATH, comma-separated, got {unfit!r}.")
    return traces.Layout(format=wire_format, at=at, columns={name.strip(): path.strip() for name, _, path in pairs})


def split_keys(values: list[str] | None) -> tuple[str, ...]:
    """Split ``--by`` at commas that stand outside brackets and quotes.

    Examples
    --------
    >>> split_keys(["domain,substr(model, 1, 3)", "tenant"])
    ('domain', 'substr(model, 1, 3)', 'tenant')
    """
    keys: list[str] = []
    for value in values or []:
        depth, quote, start = 0, "", 0
        for i, char in enumerate(value):
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            depth += not quote and (char in "([") - (char in ")]")
            if char == "," and depth == 0 and not quote:
                keys.append(value[start:i])
                start = i + 1
        keys.append(value[start:])
    return tuple(key.strip() for key in keys if key.strip())


def expand_files(patterns: list[str]) -> list[Path]:
    """Turn files, folders and globs into existing files, each once.

    Raises
    ------
    ConfigError
        If a pattern names nothing.
    TraceFormatError
        If a folder holds no file.
    """
    try:
        return traces.expand_paths(patterns)
    except FileNotFoundError as exc:
        raise ConfigError(str(exc)) from exc


def n_processes() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_bad_lines(read: Any) -> None:
    """Show the bad lines of a finished ``ReadReport`` and refuse a file that is mostly something else.

    Raises
    ------
    TraceFormatError
        If more than one line in a hundred is bad.
    """
    for line in read.bad_lines[:_SHOWN_BAD_LINES]:
        talk(line)
    if read.n_skipped:
        talk(f"{read.n_skipped:,} lines hold no response (other spans, events of a stream) and were skipped.")
    if read.n_damaged:
        talk(f"{read.n_damaged:,} streamed answers are left out, because a piece of each is bad or missing.")
    if read.n_cut:
        talk(f"{read.n_cut:,} streamed answers broke off; what had arrived has no finish reason.")
    for reason in read.left_out[:_SHOWN_BAD_LINES]:
        talk(f"Left out: {reason}")
    if len(read.left_out) > _SHOWN_BAD_LINES:
        talk(f"… and {len(read.left_out) - _SHOWN_BAD_LINES:,} more files and folders are left out.")
    hidden = read.n_bad - min(len(read.bad_lines), _SHOWN_BAD_LINES)
    if hidden > 0:
        talk(f"… and {hidden:,} more bad lines.")
    total = read.n_traces + read.n_bad
    if total and read.n_bad / total > MAX_BAD_SHARE:
        raise TraceFormatError(
            f"{read.n_bad:,} of {total:,} lines are bad, more than {MAX_BAD_SHARE:.0%}. "
            "Repair the lines named above, or give `--format`."
        )


@contextmanager
def progress(label: str, *, total: Callable[[], int | None] = lambda: None) -> Iterator[Any]:
    """Yield ``advance(n)``; a bar of responses with an estimate of the end appears on stderr when that is a terminal.

    ``total``, which is only asked where the bar is shown, tells how many responses there are, about; where that is
    None, the bar says how long it took so far.
    """
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    count, said = total(), "{task.description} {task.completed:,.0f} responses"
    known = (BarColumn(), TextColumn("about"), TimeRemainingColumn(), TextColumn("left"))
    columns = (SpinnerColumn(), TextColumn(said), *((TimeElapsedColumn(),) if count is None else known))
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=count)
        yield lambda n: bar.advance(task, n)


def about_responses(paths: Sequence[Path]) -> int | None:
    """How many responses files hold, about: rows of Parquet, lines of text by those of its beginning; None if unknown.

    Examples
    --------
    >>> from nilometer.traces import corpus_path
    >>> about_responses([corpus_path("specialist")])
    7200
    """
    counts = [_about(path) for path in paths]
    known = [count for count in counts if count is not None]
    return round(sum(known)) if len(known) == len(counts) else None


def _about(path: Path) -> float | None:
    if not path.is_file():  # what is read of a pipe is gone
        return None
    if traces.is_parquet(path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return float(pq.read_metadata(path).num_rows)
        except (pa.ArrowException, OSError):  # its reader says what is wrong with it
            return None
    with path.open("rb") as file:
        head = file.read(_HEAD)
    lines, end = head.count(b"\n"), head.rfind(b"\n") + 1
    return None if not lines or traces.is_packed(head) else lines * path.stat().st_size / end
