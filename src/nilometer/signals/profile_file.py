"""Profiles on disk: Parquet with a format version, which tells files of other versions of the library apart."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nilometer.errors import TraceFormatError
from nilometer.traces import is_parquet, read_checked_table, write_checked_table

from .answers.opinions import opinion_columns
from .attention import ATTENTION_FEATURE_NAMES
from .tokens.features import FEATURE_NAMES

__all__ = ["PROFILE_VERSION", "is_profile_file", "read_profiles", "write_profiles"]

PROFILE_VERSION = 1
"""Version of the format of profile files; a feature more or less does not change it."""

_KEY = b"nilometer.profile_version"
_ALWAYS = ("trace_id", "k", "logprobs_mode")


def write_profiles(path: str | Path, profiles: pa.Table) -> None:
    """Write profiles as Parquet, whole or not at all, with the version of the format in the schema."""
    write_checked_table(path, profiles, {_KEY: str(PROFILE_VERSION).encode()})


def is_profile_file(path: Path) -> bool:
    """Return whether a file holds profiles.

    Files written before there was a version are known by their columns: features, and no log-probabilities.
    """
    if not is_parquet(path):
        return False
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError):
        return False  # the reader of traces says what is wrong with it
    if _KEY in (schema.metadata or {}):
        return True
    names = set(schema.names)
    return names >= set(_ALWAYS) and bool(names & set(FEATURE_NAMES)) and "chosen_logprobs" not in names


def read_profiles(paths: Sequence[Path]) -> pa.Table:
    """Read files of profiles as one table; a feature that a file was written without is NaN there.

    Raises
    ------
    TraceFormatError
        If a file is of a newer format, damaged, or holds something else than numbers as features, or columns of two
        files have types that do not fit together.
    """
    tables = [_read(path) for path in paths]
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as exc:
        raise TraceFormatError(f"{', '.join(map(str, paths))}: columns do not fit together ({exc}).") from exc
    for name in FEATURE_NAMES:
        values = whole[name].fill_null(float("nan")) if name in whole.column_names else None
        if values is None:
            whole = whole.append_column(name, pa.array([float("nan")] * len(whole), pa.float32()))
        elif whole[name].null_count:
            whole = whole.set_column(whole.column_names.index(name), name, values)
    return whole


def _read(path: Path) -> pa.Table:
    table = read_checked_table(path)
    version = (table.schema.metadata or {}).get(_KEY, b"0").decode("ascii", "replace")
    if not version.isdecimal() or int(version) > PROFILE_VERSION:
        raise TraceFormatError(
            f"{path}: profile version must be <= {PROFILE_VERSION}, got {version}. Update nilometer."
        )
    names = table.column_names
    for name in (*_ALWAYS, *FEATURE_NAMES):
        if names.count(name) > 1 or (name in _ALWAYS and name not in names):
            raise TraceFormatError(f"{path}: profiles must have `{name}` once, got {names.count(name)} columns of it.")
    if not set(FEATURE_NAMES) & set(names):
        raise TraceFormatError(f"{path}: profiles must have a feature, got {', '.join(names)}. Give profiles.")
    for name in sorted({*FEATURE_NAMES, *ATTENTION_FEATURE_NAMES, *opinion_columns(names)} & set(names)):
        _check_numbers(path, name, table[name])
    return table.replace_schema_metadata(None)


def _check_numbers(path: Path, name: str, column: pa.ChunkedArray) -> None:
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise TraceFormatError(
            f"{path}: `{name}` must hold numbers, got {kind}. Make it anew with `nilometer profile`."
        )
    if pa.types.is_floating(kind) and pc.any(pc.is_inf(column)).as_py():
        raise TraceFormatError(
            f"{path}: `{name}` must be finite or unknown, got inf. Make it anew with `nilometer profile`."
        )
