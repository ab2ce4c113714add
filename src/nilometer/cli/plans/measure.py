"""``nilometer plan measure``: the accuracy of every planned slice from its labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nilometer import decisions, estimators, traces
from nilometer.errors import ConfigError

from ..common import ConfidenceOption, JsonOption, LabelKeyOption, PartsOption, expand_files, talk, write_json
from .inputs import print_table

__all__ = ["plan_measure"]


def plan_measure(
    plans: Annotated[list[Path], typer.Argument(metavar="PLANS...", help="Files of `nilometer plan label`, in order.")],
    labels: Annotated[list[str], typer.Option("--labels", metavar="FILE", help="CSV, JSONL or Parquet.")],
    label_key: LabelKeyOption = "trace_id",
    confidence_level: ConfidenceOption = 0.95,
    parts: PartsOption = False,
    as_json: JsonOption = False,
) -> None:
    """The accuracy of every slice after the labels of a plan came back, and by these labels alone.

    The interval by the labels alone is valid however good the predictions were; the number combines it with what the
    plan knew without labels. Slices that the plan does not ask about keep their number.
    """
    read = [decisions.read_label_plan(path) for path in plans]
    rounds = [one.labels for one in read]
    planned = [row for one in rounds for row in one]
    table = traces.read_labels(expand_files(labels), key=label_key)
    correct = dict(zip(table["trace_id"].to_pylist(), table["correct"].to_pylist(), strict=True))
    given = sum(row.trace_id in correct for row in planned)
    if not given:
        raise ConfigError(f"none of the {len(correct):,} labels belongs to a response of {', '.join(map(str, plans))}.")
    level = confidence_level
    found = decisions.measure_plan(rounds, correct, standing=read[0].standing, confidence_level=level)
    alone = {row.slice: decisions.labels_alone(row.slice, rounds, correct, confidence_level=level) for row in found}
    if as_json:
        plain = {name: None if row is None else asdict(row) for name, row in alone.items()}
        write_json([{**row, "labels_alone": plain[row["slice"]]} for row in decisions.headline_rows(found)])
    else:
        heads = ("slice", *_HEADS)[: None if parts else -1]
        print_table(heads, [_measured(row, alone[row.slice])[: len(heads)] for row in found])
    talk(f"{given:,} of {len(planned):,} planned responses have labels.")


_HEADS = ("n", "accuracy", "interval", "rests on", "labels", "by the labels alone")


def _measured(
    row: estimators.Estimate | estimators.NotEnoughData, alone: estimators.LabelledAccuracy | None
) -> tuple[str, ...]:
    basis, shared = decisions.basis_of(row), (row.slice, f"{row.n:,}")
    if not isinstance(row, estimators.Estimate):
        return (*shared, "unknown", f"{row.reason} {row.needed}", basis, f"{row.n_labels:,}", "")
    own = "" if alone is None else f"{alone.accuracy:.2f} ({alone.low:.2f} to {alone.high:.2f})"
    ends = f"{row.low:.2f} to {row.high:.2f}"
    return (*shared, f"{row.accuracy:.2f}", ends, basis, f"{row.n_labels:,}", own)
