"""Profiling on a Ray cluster: one task per file, the same function as in one process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nilometer import traces
from nilometer.errors import ConfigError, TraceFormatError

from .common import expand_files
from .inputs import read_inputs

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["profile_on_ray"]

_RETRIES = 3


def profile_on_ray(
    files: list[str], *, by: Sequence[str] = (), wire_format: traces.Layout | None = None, strict: bool = False
) -> pa.Table:
    """Profile each file in a task of its own, wherever Ray places it; rows come in the order of the files.

    Every node must see the files under the same paths. The cluster is the one of ``RAY_ADDRESS``, or a local one
    without it. A task whose worker dies is run again.

    Raises
    ------
    ConfigError
        If Ray is not installed.
    TraceFormatError
        If a file has no response, or more than one line in a hundred is bad.
    """
    import pyarrow as pa

    try:
        import ray
    except ImportError as exc:
        raise ConfigError("`--runner ray` needs more packages. Install `nilometer[ray]`.") from exc
    paths = [str(path) for path in expand_files(files)]
    started = not ray.is_initialized()
    if started:
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False, include_dashboard=False)
    try:
        task = ray.remote(max_retries=_RETRIES)(_profile_file)
        waiting = [task.remote(path, tuple(by), wire_format, strict=strict) for path in paths]
        tables: list[pa.Table] = ray.get(waiting)
    except ray.exceptions.RayTaskError as exc:
        if isinstance(exc.cause, TraceFormatError | ConfigError):
            raise exc.cause from None
        raise
    finally:
        if started:
            ray.shutdown()
    return pa.concat_tables(tables, promote_options="default")


def _profile_file(path: str, by: tuple[str, ...], wire_format: Any, *, strict: bool) -> pa.Table:
    try:
        profiles = read_inputs([path], by=by, wire_format=wire_format, strict=strict).profiles
    except TraceFormatError as exc:
        raise TraceFormatError(f"{path}: {exc}") from exc
    return profiles.combine_chunks()
