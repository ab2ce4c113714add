"""``nilometer ship``: logs on disk into a store."""

from __future__ import annotations

from contextlib import closing

from nilometer import traces

from .common import (
    FilesArgument,
    FormatOption,
    JsonOption,
    StoreOption,
    check_bad_lines,
    expand_files,
    talk,
    write_json,
)

__all__ = ["ship"]


def ship(
    files: FilesArgument,
    to: StoreOption,
    wire_format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read traces of any known format and put them into the spool of a store. The same file twice counts twice."""
    from nilometer.service import Spool, spool_traces

    stream = traces.read_traces(expand_files(files), format=wire_format)
    with closing(Spool(to / "spool")) as spool:
        n = spool_traces(spool, stream)
    check_bad_lines(stream.report)
    if as_json:
        write_json({"traces": n, "bad": stream.report.n_bad, "skipped": stream.report.n_skipped})
    else:
        talk(f"{n:,} traces are in {to / 'spool'}.")
