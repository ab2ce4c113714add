"""Label plans as files: our own JSONL, and forms that annotation tools import."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from nilometer.errors import ConfigError, TraceFormatError

from .acquire import SliceCost
from .label import PlannedLabel

__all__ = ["PLAN_FORMATS", "Text", "read_costs", "read_label_plan", "write_label_plan"]

PLAN_FORMATS = ("jsonl", "csv", "label-studio", "argilla")


class Text(NamedTuple):
    """What an annotator sees."""

    prompt: str | None
    answer: str | None


def write_label_plan(
    path: Path, planned: Sequence[PlannedLabel], texts: Mapping[str, Text], *, form: str = "jsonl"
) -> None:
    """Write the responses to label with their texts.

    ``jsonl`` and ``csv`` are read back by ``read_label_plan``. ``label-studio`` is a JSON list of tasks (import it in
    a project; ``trace_id`` is in ``data``). ``argilla`` is JSONL of records with ``id``, ``fields`` and ``metadata``.

    Raises
    ------
    ConfigError
        If the form is none of these.
    """
    if form not in PLAN_FORMATS:
        raise ConfigError(f"`form` must be one of {', '.join(PLAN_FORMATS)}, got {form!r}.")
    rows = [(row, texts.get(row.trace_id, Text(None, None))) for row in planned]
    with path.open("w", encoding="utf-8", newline="") as file:
        if form == "csv":
            names = [*(field.name for field in fields(PlannedLabel)), "prompt", "answer", "correct"]
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows({**asdict(row), **text._asdict(), "correct": ""} for row, text in rows)
        elif form == "label-studio":
            tasks = [{"data": {**asdict(row), **_shown(text)}} for row, text in rows]
            json.dump(tasks, file, ensure_ascii=False, indent=1)
        else:
            one = _argilla if form == "argilla" else _plain
            file.writelines(json.dumps(one(row, text), ensure_ascii=False) + "\n" for row, text in rows)


def _plain(row: PlannedLabel, text: Text) -> dict[str, Any]:
    return {**asdict(row), **text._asdict()}


def _argilla(row: PlannedLabel, text: Text) -> dict[str, Any]:
    metadata = {key: value for key, value in asdict(row).items() if value is not None}
    return {"id": row.trace_id, "fields": _shown(text), "metadata": metadata}


def _shown(text: Text) -> dict[str, str]:
    return {"prompt": text.prompt or "", "answer": text.answer or ""}


def read_label_plan(path: Path) -> list[PlannedLabel]:
    """Read a plan written as JSONL or CSV.

    Raises
    ------
    TraceFormatError
        If a line is not one of a plan.
    """
    names = [field.name for field in fields(PlannedLabel)]
    with path.open(encoding="utf-8", newline="") as file:
        first = file.read(1)
        file.seek(0)
        rows: Any = ((i, line) for i, line in enumerate(file, 1) if line.strip())
        if first != "{":
            rows = enumerate(csv.DictReader(file), 2)
        planned = []
        for number, row in rows:
            try:
                values = row if isinstance(row, dict) else json.loads(row)
                planned.append(_row({name: values[name] for name in names}))
            except (KeyError, TypeError, ValueError) as exc:
                raise TraceFormatError(
                    f"{path}:{number}: not a line of a label plan ({exc!r}). Give the file of `nilometer plan label`."
                ) from exc
    if not planned:
        raise TraceFormatError(f"{path}:1: the plan is empty.")
    return planned


def _row(values: Mapping[str, Any]) -> PlannedLabel:
    p = values["p_correct"]
    return PlannedLabel(
        trace_id=str(values["trace_id"]),
        slice=str(values["slice"]),
        stratum=int(values["stratum"]),
        stratum_size=int(values["stratum_size"]),
        inclusion_probability=float(values["inclusion_probability"]),
        p_correct=None if p in {None, ""} else float(p),
        labels_before=int(values["labels_before"]),
        correct_before=float(values["correct_before"]),
    )


def read_costs(path: Path) -> dict[str, SliceCost]:
    """Read what examples of each slice cost: CSV with ``slice``, ``cost`` and, where known, ``examples``, ``exponent``.

    Raises
    ------
    TraceFormatError
        If a column is missing or a number is not one.
    """
    costs: dict[str, SliceCost] = {}
    usual = SliceCost()
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                values = [float(row.get(name) or default) for name, default in zip(usual._fields, usual, strict=True)]
                costs[row["slice"]] = SliceCost(float(row["cost"]), *values[1:])
            except (KeyError, TypeError, ValueError) as exc:
                raise TraceFormatError(
                    f"{path}:{number}: a line must have a slice and a cost > 0, and numbers in examples and exponent."
                ) from exc
    return costs
