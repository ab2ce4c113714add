"""``nilometer profile``: one row of features per response, as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilometer import signals
from nilometer.errors import ConfigError

from .cluster import profile_on_ray
from .common import (
    AtOption,
    ByOption,
    ColumnsOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    StrictOption,
    layout_of,
    split_keys,
    talk,
    write_json,
)
from .inputs import read_inputs
from .opinions import AgreeOption, SecondOption, opinions_of
from .outputs import ForceOption, check_outputs

__all__ = ["profile"]


def profile(
    files: FilesArgument,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    by: ByOption = None,
    second: SecondOption = None,
    agree: AgreeOption = "answer",
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    strict: StrictOption = False,
    force: ForceOption = False,
    runner: Annotated[
        str, typer.Option(help="process: on the cores of this machine; ray: one task per file on a Ray cluster.")
    ] = "process",
    as_json: JsonOption = False,
) -> None:
    """Read traces and write their profiles, which every other verb reads as well.

    Texts and log-probabilities are not kept; a slice key that needs them, such as "length(answer)", is kept with --by.
    """
    check_outputs({"profiles": out}, files, force=force)
    layout, opinions = layout_of(wire_format, at, columns), opinions_of(second, agree)
    if runner not in {"process", "ray"}:
        raise ConfigError(f"`--runner` must be process or ray, got {runner!r}.")
    if runner == "ray" and opinions is not None:
        raise ConfigError("`--second` needs `--runner process`, since opinions are read beside all files.")
    if runner == "ray":
        profiles = profile_on_ray(files, by=split_keys(by), wire_format=layout, strict=strict)
    else:
        profiles = read_inputs(files, by=split_keys(by), wire_format=layout, strict=strict, second=opinions).profiles
    signals.write_profiles(out, profiles)
    features = [
        name for name in (*signals.FEATURE_NAMES, *signals.ATTENTION_FEATURE_NAMES) if name in profiles.column_names
    ]
    if as_json:
        write_json({"out": str(out), "n": len(profiles), "features": features})
    talk(f"Wrote {len(profiles):,} profiles of {len(features)} features to {out}.")
