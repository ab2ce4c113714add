"""``nilometer plan measure``: the accuracy of every planned slice from its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nilometer import decisions
from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.traces import read_labels

from ..common import ConfidenceOption, JsonOption, LabelKeyOption, expand_files, talk, write_json
from .inputs import print_table

__all__ = ["plan_measure"]


def plan_measure(
    plans: Annotated[list[Path], typer.Argument(metavar="PLANS...", help="Files of `nilometer plan label`, in order.")],
    labels: Annotated[list[str], typer.Option("--labels", metavar="FILE", help="CSV, JSONL or Parquet.")],
    label_key: LabelKeyOption = "trace_id",
    confidence_level: ConfidenceOption = 0.95,
    as_json: JsonOption = False,
) -> None:
    """Accuracy of every planned slice from its labels: a valid interval, however good the predictions were."""
    rounds = [decisions.read_label_plan(path) for path in plans]
    planned = [row for one in rounds for row in one]
    table = read_labels(expand_files(labels), key=label_key)
    correct = dict(zip(table["trace_id"].to_pylist(), table["correct"].to_pylist(), strict=True))
    given = sum(row.trace_id in correct for row in planned)
    if not given:
        raise ConfigError(f"none of the {len(correct):,} labels belongs to a response of {', '.join(map(str, plans))}.")
    found = decisions.measure_plan(rounds, correct, confidence_level=confidence_level)
    rows: list[dict[str, Any]] = []
    for name, row in found.items():
        if isinstance(row, NotEnoughDataError):
            rows.append({"slice": name, "accuracy": None, "low": None, "high": None, "reason": str(row)})
        else:
            rows.append({"slice": name, **{k: getattr(row, k) for k in ("accuracy", "low", "high", "n", "n_labels")}})
    if as_json:
        write_json(rows)
    else:
        print_table(("slice", "n", "labels", "accuracy", "interval"), [_measured(row) for row in rows])
    talk(f"{given:,} of {len(planned):,} planned responses have labels.")


def _measured(row: dict[str, Any]) -> tuple[str, ...]:
    if row["accuracy"] is None:
        return (row["slice"], "", "", "unknown", row["reason"])
    interval = f"{row['low']:.3f} to {row['high']:.3f}"
    return (row["slice"], f"{row['n']:,}", f"{row['n_labels']:,}", f"{row['accuracy']:.3f}", interval)
