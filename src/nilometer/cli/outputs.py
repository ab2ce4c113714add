"""Files that verbs write: checked before the work, written whole or not at all, and never over something else."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from nilometer import traces
from nilometer.errors import ConfigError, TraceFormatError

__all__ = ["ForceOption", "check_outputs", "write_whole"]

ForceOption = Annotated[bool, typer.Option("--force", help="Write over an input, or over a file of another kind.")]

_HEAD = 4096


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(beginnings)


def _parquet(key: bytes) -> Callable[[Path], bool]:
    def holds(path: Path) -> bool:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return key in (pq.read_schema(path).metadata or {})
        except (pa.ArrowException, OSError):
            return False

    return holds


_TEXTS: Mapping[str, Callable[[bytes], bool]] = {
    "page": _starts(b"<!doctype html"),
    "Markdown": _starts(b"#"),
    "JUnit": _starts(b"<?xml"),
    "plan": lambda head: b'"inclusion_probability"' in head or b",inclusion_probability," in head,
    "tasks": _starts(b"["),
    "records": _starts(b'{"id"'),
    "journal": _starts(b'{"key"'),
    "answers": _starts(b'{"trace_id":"second/'),
    "decisions": _starts(b'{"prompt_id"'),
    "thresholds": lambda head: b'"entropy_low"' in head,
    "confidence": lambda head: b'"token_confidence"' in head,
    "estimates": _starts(b"model,slice_key,slice,"),
    "labels": _starts(b"trace_id,correct,source,"),
}
"""How a file of each kind begins."""
_TABLES = {
    "profiles": _parquet(b"nilometer.profile_version"),
    "sentinel": _parquet(b"nilometer.sentinel"),
    "router": _parquet(b"nilometer.router"),
}


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[str | Path | None], *, force: bool) -> None:
    """Refuse outputs that could not be written, or that would destroy something, before any work is done.

    Parameters
    ----------
    outputs
        Kind and path of each; a path that is None is not written.
    inputs
        Files that the verb reads; None where an option was not given.
    force
        Whether an input, or a file of another kind, may be replaced.

    Raises
    ------
    ConfigError
        If a folder is missing or cannot be written, two outputs have one name, an output is an input, or a file of
        another kind is there.
    """
    read = {found.resolve() for path in inputs if path is not None for found in _files(str(path))}
    written: dict[Path, str] = {}
    for kind, path in outputs.items():
        if path is None:
            continue
        if kind != "journal" or path.is_dir():  # a journal makes its folder
            _check_place(path)
        if (other := written.setdefault(path.resolve(), kind)) != kind:
            raise ConfigError(f"{path} cannot hold both the {other} and the {kind}. Give one another name.")
        if force or not path.exists():
            continue
        if path.resolve() in read:
            raise ConfigError(f"{path} is an input, and the {kind} would replace it. Give another name, or `--force`.")
        if not _is_kind(path, kind):
            raise ConfigError(
                f"{path} exists and is no {kind} of nilometer; it would be lost. Give another name, or `--force`."
            )


def _files(name: str) -> list[Path]:
    """Files that a name, folder or glob stands for; none where it names nothing, which the reader reports."""
    try:
        return traces.expand_paths([name])
    except (FileNotFoundError, TraceFormatError):
        return []


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder. Give the name of a file in it.")
    folder = path.parent
    if not folder.is_dir():
        raise ConfigError(f"{path}: the folder {folder} does not exist. Make it first.")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ConfigError(f"{path} cannot be written: permission denied. Choose a place that you may write to.")


def _is_kind(path: Path, kind: str) -> bool:
    if path.stat().st_size == 0:
        return True
    if kind in _TABLES:
        return _TABLES[kind](path)
    with path.open("rb") as file:
        return _TEXTS[kind](file.read(_HEAD))


def write_whole(path: Path, text: str) -> None:
    """Write a text that appears under its name only when all of it is there."""
    with traces.whole_file(path) as file:
        file.write(text.encode("utf-8"))
