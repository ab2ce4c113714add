"""Profiles on disk: Parquet with a format version, which files of other versions of the library can be told by."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.errors import TraceFormatError
from nilometer.traces import is_parquet, whole_file

from .tokens.features import FEATURE_NAMES

__all__ = ["PROFILE_VERSION", "is_profile_file", "read_profiles", "write_profiles"]

PROFILE_VERSION = 1
"""Version of the format of profile files; a feature more or less does not change it."""

_KEY = b"nilometer.profile_version"
_ALWAYS = ("trace_id", "k", "logprobs_mode")


def write_profiles(path: str | Path, profiles: pa.Table) -> None:
    """Write profiles as Parquet, whole or not at all, with the version of the format in the schema."""
    metadata = {**(profiles.schema.metadata or {}), _KEY: str(PROFILE_VERSION).encode()}
    with whole_file(path) as file:
        pq.write_table(profiles.replace_schema_metadata(metadata), file, compression="zstd")


def is_profile_file(path: Path) -> bool:
    """Return whether a file holds profiles.

    Files written before there was a version are known by their columns: features, and no log-probabilities.
    """
    if not is_parquet(path):
        return False
    schema = pq.read_schema(path)
    if _KEY in (schema.metadata or {}):
        return True
    names = set(schema.names)
    return names >= set(_ALWAYS) and bool(names & set(FEATURE_NAMES)) and "chosen_logprobs" not in names


def read_profiles(paths: Sequence[Path]) -> pa.Table:
    """Read files of profiles as one table; a feature that a file was written without is NaN there.

    Raises
    ------
    TraceFormatError
        If a file is of a newer format, or columns of two files have types that do not fit together.
    """
    tables = []
    for path in paths:
        table = pq.read_table(path)
        version = int((table.schema.metadata or {}).get(_KEY, b"0"))
        if version > PROFILE_VERSION:
            raise TraceFormatError(
                f"{path}: profile version must be <= {PROFILE_VERSION}, got {version}. Update nilometer."
            )
        tables.append(table.replace_schema_metadata(None))
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
