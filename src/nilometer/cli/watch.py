"""``nilometer watch``: accuracy over time, what changed since a reference, and alerts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
import typer.core

from nilometer import decisions, estimators, pages
from nilometer.errors import ConfigError

from .common import (
    EXIT_FOUND,
    AllOption,
    AtOption,
    BelowOption,
    ByOption,
    ColumnsOption,
    ConfidenceOption,
    FailUnderOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    LabelKeyOption,
    LabelsOption,
    LeastChangeOption,
    layout_of,
    split_keys,
    talk,
    write_json,
)
from .inputs import Inputs, read_correct, read_inputs
from .outputs import ForceOption, check_outputs, write_whole
from .show import WORST, show_lines, show_windows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


__all__ = ["COMMAND", "spread_reference", "watch"]


class COMMAND(typer.core.TyperCommand):
    """Takes the words of a glob that the shell wrote out after ``--reference`` as its values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat ``--reference`` before each of its words."""
        flags = {name for one in self.get_params(ctx) if getattr(one, "is_flag", False) for name in one.opts}
        return list(super().parse_args(ctx, spread_reference(args, flags=flags)))


def spread_reference(args: Sequence[str], *, flags: Collection[str] = ()) -> list[str]:
    """Put ``--reference`` before each file that follows it, if files to be watched stand elsewhere.

    Where none stand elsewhere, one more file may follow: it is the one to be watched. An option that is none of
    ``flags`` takes the word after it.

    Raises
    ------
    ConfigError
        If it cannot be known which of several files are the reference.

    Examples
    --------
    >>> spread_reference(["--by", "tier", "new.jsonl", "--reference", "a.jsonl", "b.jsonl"])
    ['--by', 'tier', 'new.jsonl', '--reference', 'a.jsonl', '--reference', 'b.jsonl']
    """
    parts = _parts(args, flags)
    own = [part.files for part in parts if part.words == ["--reference"]]
    is_elsewhere = any(part.files for part in parts if part.words != ["--reference"])
    if not is_elsewhere and sum(max(len(files) - 1, 0) for files in own) > 1:
        raise ConfigError(
            f"which of the {sum(map(len, own))} files after `--reference` are to be watched? Name these first, then "
            "`--reference` and its files, or put each pattern in quotes."
        )
    found: list[str] = []
    for words, files in parts:
        if words == ["--reference"] and is_elsewhere and files:
            found += [word for file in files for word in ("--reference", file)]
        else:
            found += [*words, *files]
    return found


class _Part(NamedTuple):
    words: list[str]
    """An option, with its value if it takes one; nothing at the start."""
    files: list[str]
    """What stands between it and the next option."""


def _parts(args: Sequence[str], flags: Collection[str]) -> list[_Part]:
    parts = [_Part([], [])]
    rest = iter(args)
    for word in rest:
        if word == "--":
            parts.append(_Part([word], list(rest)))
        elif not word.startswith("-") or word == "-":
            parts[-1].files.append(word)
        elif word in flags or "=" in word or word == "--reference":
            parts.append(_Part([word], []))
        else:
            parts.append(_Part([word, *islice(rest, 1)], []))
    return parts


def watch(
    files: FilesArgument,
    reference: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Traces of the trusted period; else the first window.")
    ] = None,
    reference_until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Traces before this time are the reference, as 2026-01-31.")
    ] = None,
    every: Annotated[
        str, typer.Option(help="Windows: hour, day, week, month ...; 500 responses each; or /10 for ten of them.")
    ] = "day",
    incomplete: Annotated[str, typer.Option(help="A last window that is not full: keep, append or drop.")] = "keep",
    labels: LabelsOption = None,
    label_key: LabelKeyOption = "trace_id",
    by: ByOption = None,
    sentinel: Annotated[
        Path | None,
        typer.Option(help="A saved sentinel; else one is fitted on the labels of the reference, or on all if too few."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    fail_under: FailUnderOption = None,
    below: BelowOption = None,
    least_change: LeastChangeOption = 0.02,
    seed: Annotated[int, typer.Option(help="Of the order in which labels are taken.")] = 0,
    confidence_level: ConfidenceOption = 0.95,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    show_all: AllOption = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print every alert and window behind the events.")] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Follow the accuracy of every slice over time and alert when something changed. Exits 3 with an alert.

    The chance that a run without any change alerts is at most 1 - confidence level, over all slices and windows.
    """
    check_outputs({"page": out}, [*files, *(reference or ()), *(labels or ()), sentinel], force=force)
    read = partial(read_inputs, by=split_keys(by), wire_format=layout_of(wire_format, at, columns))
    profiles, correct, is_reference = _read(files, reference, labels, label_key=label_key, read=read)
    if reference_until is not None:
        is_reference = _before(profiles, reference_until)
    responses = estimators.cut_responses(profiles, split_keys(by), correct=correct)
    fitted = estimators.load_sentinel(sentinel) if sentinel else None
    least = below if fail_under is None else fail_under
    options = decisions.WatchOptions(every, incomplete, least, confidence_level, least_change, seed)
    found = decisions.build_watch(responses, is_reference, sentinel=fitted, options=options)
    if out:  # before anything is printed, so that a closed pipe does not cost the page
        write_whole(out, pages.render_watch_html(found))
    if as_json:
        write_json(found.to_dict())
    else:
        _show(found, most=None if show_all else WORST, verbose=verbose)
    _talk(found, responses.notes, out)
    if found.alerts:
        raise typer.Exit(EXIT_FOUND)


def _read(
    files: list[str],
    reference: list[str] | None,
    labels: list[str] | None,
    *,
    label_key: str,
    read: Callable[[list[str]], Inputs],
) -> tuple[pa.Table, NDArray[np.float32], NDArray[np.bool_] | None]:
    import numpy as np
    import pyarrow as pa

    profiles = read(files).profiles
    trusted = read(reference).profiles if reference else None
    table = profiles if trusted is None else pa.concat_tables([trusted, profiles])
    correct = read_correct(table, labels, key=label_key)
    return table, correct, None if trusted is None else np.arange(len(table)) < len(trusted)


def _before(profiles: pa.Table, text: str) -> NDArray[np.bool_]:
    import numpy as np

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(
            f"`--reference-until` must be a time like 2026-01-31 or 2026-01-31T12:00, got {text!r}."
        ) from exc
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    times = profiles["time"].to_numpy().astype("datetime64[us]")
    return np.asarray(times < np.datetime64(moment.replace(tzinfo=None)))


def _talk(found: decisions.Watch, notes: Sequence[str], out: Path | None) -> None:
    if out:
        talk(f"Wrote {out}.")
    for line in (*notes, *found.notes):
        talk(f"{line[0].upper()}{line[1:]}.")


def _show(found: decisions.Watch, *, most: int | None, verbose: bool) -> None:
    """Print the events, then where every slice stands; the evidence only when asked for."""
    names = {row.slice: decisions.short_name(row.slice, found.by) for row in found.rows}
    show_lines(f"ALERT {event.told(names)}" for event in found.events)
    if not found.events:
        show_lines(["No alert."])
    show_windows(found, most=most, every_window=verbose)
    if not verbose:
        return
    show_lines(
        f"{window}: accuracy of all traffic {change.before:.3f} to {change.after:.3f}: mix {change.mix:+.3f}, "
        f"within slices {change.within:+.3f}"
        for window, change in found.changes
    )
    for alert in found.alerts:
        p = "" if alert.p_value is None else f" (p = {alert.p_value:.2g})"
        show_lines([f"evidence {alert.window}, {names.get(alert.slice, alert.slice)}: {alert.message}{p}"])
