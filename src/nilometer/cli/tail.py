"""``nilometer tail``: a folder of growing logs into a store, as the lines come."""

import time
from pathlib import Path
from typing import Annotated

import typer

from .common import StoreOption, talk

__all__ = ["tail"]


def tail(
    logs: Annotated[Path, typer.Argument(metavar="LOGS", help="Folder of JSON lines files, one response a line.")],
    to: StoreOption,
    pattern: Annotated[str, typer.Option(help="Which files.")] = "*.jsonl",
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks.")] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and stop.")] = False,
) -> None:
    """Follow log files and put each whole new line into the spool of a store; goes on where it stopped."""
    from nilometer.service import Tail

    follower = Tail(logs, to, pattern=pattern)
    while True:
        found = follower.step()
        for line in found.bad_lines:
            talk(line)
        if found.n_traces:
            talk(f"{found.n_traces:,} traces")
        if once:
            return
        time.sleep(every)
