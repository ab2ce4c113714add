"""What the verbs under ``nilometer plan`` share: traffic, what is believed of it, and tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from nilometer.decisions import choose_families, choose_keys
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import Estimate, NotEnoughData, Sentinel, load_sentinel
from nilometer.traces import Layout, slice_names

from ..common import console, split_keys, talk
from ..inputs import read_correct, read_inputs

__all__ = ["Known", "SeedOption", "SentinelOption", "print_table", "read_known"]

SentinelOption = Annotated[
    Path | None, typer.Option("--sentinel", metavar="FILE", help="A saved sentinel; else one is fitted on the labels.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")]


class Known(NamedTuple):
    """Traffic, and what is believed of it."""

    profiles: pa.Table
    keys: tuple[str, ...]
    names: NDArray[np.str_]
    correct: NDArray[np.float64]
    p_correct: NDArray[np.float64]
    estimates: tuple[Estimate | NotEnoughData, ...]


def read_known(
    files: list[str],
    labels: list[str] | None,
    *,
    label_key: str,
    by: list[str] | None,
    sentinel: Path | None,
    wire_format: Layout | None,
) -> Known:
    """Read responses and what a saved sentinel, or one fitted on their labels, says of them."""
    profiles = read_inputs(files, by=split_keys(by), wire_format=wire_format).profiles
    correct = read_correct(profiles, labels, key=label_key).astype(np.float64)
    keys, note = choose_keys(profiles, split_keys(by))
    if note:
        talk(f"{note[0].upper()}{note[1:]}.")
    names = np.asarray(slice_names(profiles, keys).to_pylist())
    fitted = load_sentinel(sentinel) if sentinel else _fit(profiles, correct, keys, names=names)
    if fitted is None:
        return Known(profiles, keys, names, correct, np.full(len(names), np.nan), ())
    estimates = tuple(fitted.estimate(profiles, by=names, correct=correct))
    return Known(profiles, keys, names, correct, fitted.predict_proba(profiles)[:, 1], estimates)


def _fit(
    profiles: pa.Table, correct: NDArray[np.float64], keys: tuple[str, ...], *, names: NDArray[np.str_]
) -> Sentinel | None:
    """Fit on the labels; None, said aloud, where they do not allow it."""
    families, _ = choose_families(profiles, keys, correct.astype(np.float32))
    try:
        return Sentinel().fit(profiles, correct, groups=names, families=families)
    except NotEnoughDataError as exc:
        talk(f"No sentinel: {exc} All slices count as unknown.")
        return None


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its first column of words and the others of numbers."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)
