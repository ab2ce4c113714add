"""``nilometer plan slices``: which slices to label first."""

from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from nilometer.decisions import choose_keys, choose_slices, short_name
from nilometer.traces import slice_names

from ..common import (
    AtOption,
    ByOption,
    ColumnsOption,
    FilesArgument,
    FormatOption,
    JsonOption,
    layout_of,
    split_keys,
    talk,
    write_json,
)
from ..inputs import read_inputs
from .inputs import print_table

__all__ = ["plan_slices"]


def plan_slices(
    files: FilesArgument,
    k: Annotated[int, typer.Option("--k", min=2, help="Slices to choose.")] = 4,
    by: ByOption = None,
    wire_format: FormatOption = None,
    at: AtOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose which slices to label first from unlabelled traffic: the middles of equal parts of its difficulty."""
    profiles = read_inputs(files, by=split_keys(by), wire_format=layout_of(wire_format, at, columns)).profiles
    keys, note = choose_keys(profiles, split_keys(by))
    names = np.asarray(slice_names(profiles, keys).to_pylist())
    scores = _mean_scores(profiles, names)
    chosen = choose_slices(scores, k)
    if as_json:
        write_json([{"slice": name, "mean_largest_entropy": scores[name]} for name in chosen])
    else:
        print_table(
            (", ".join(keys), "mean largest entropy, nats"), [(short_name(n, keys), f"{scores[n]:.3f}") for n in chosen]
        )
    if note:
        talk(f"{note[0].upper()}{note[1:]}.")


def _mean_scores(profiles: pa.Table, names: NDArray[np.str_]) -> dict[str, float]:
    score = profiles["max"].to_numpy().astype(np.float64)
    score = profiles["nll_avg"].to_numpy().astype(np.float64) if np.isnan(score).all() else score
    known = ~np.isnan(score)
    return {str(name): float(score[known & (names == name)].mean()) for name in np.unique(names[known])}
