"""Label plans as files: our own JSONL, and forms that annotation tools import."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from hashlib import blake2b
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TextIO

import msgspec
from msgspec import Meta

from nilometer.display import finite, plain_cell, safe_cell
from nilometer.errors import ConfigError, TraceFormatError
from nilometer.traces import whole_file

from .acquire import SliceCost
from .label import LabelPlan
from .measure import PlannedLabel
from .standing import Standing

__all__ = ["PLAN_FORMATS", "Text", "read_costs", "read_label_plan", "write_label_plan"]

PLAN_FORMATS = ("jsonl", "csv", "label-studio", "argilla")
_NAMES = tuple(field.name for field in fields(PlannedLabel))
_STANDING = tuple(field.name for field in fields(Standing))
_DIGITS = (17, 9)
"""Digits of numbers that name a plan: all of them, and in CSV those that every spreadsheet keeps."""
_CURE = "Give the file as `nilometer plan label` wrote it."


class _Line(msgspec.Struct):
    """What a line of a plan must hold; the sizes of strata become those of arrays."""

    trace_id: str
    slice: str
    stratum: Annotated[int, Meta(ge=0, le=1000)]
    stratum_size: Annotated[int, Meta(ge=1, le=10_000_000)]
    inclusion_probability: Annotated[float, Meta(gt=0, le=1)]
    p_correct: Annotated[float, Meta(ge=0, le=1)] | None
    labels_before: Annotated[int, Meta(ge=0, le=2**40)]
    correct_before: Annotated[float, Meta(ge=0, le=2**40)]


_Share = Annotated[float, Meta(ge=0, le=1)] | None


class _StandingLine(msgspec.Struct):
    """What a line on a slice must hold."""

    slice: str
    n: Annotated[int, Meta(ge=0, le=2**40)]
    n_labels: Annotated[int, Meta(ge=0, le=2**40)]
    realized_accuracy: _Share
    confidence_level: _Share
    accuracy: _Share
    low: _Share
    high: _Share
    method: str | None
    spread: Annotated[float, Meta(ge=0)] | None
    degrees: Annotated[float, Meta(gt=0)] | None


class Text(NamedTuple):
    """What an annotator sees."""

    prompt: str | None
    answer: str | None


def write_label_plan(
    path: Path,
    planned: Sequence[PlannedLabel],
    texts: Mapping[str, Text],
    *,
    form: str = "jsonl",
    standing: Sequence[Standing] = (),
) -> None:
    """Write the responses to label with their texts, and what is known of every slice.

    ``jsonl`` and ``csv`` are read back by ``read_label_plan``. ``label-studio`` is a JSON list of tasks (import it in
    a project; ``trace_id`` is in ``data``). ``argilla`` is JSONL of records with ``id``, ``fields`` and ``metadata``.
    Both show annotators the texts and leave out what would sway them: predictions and what is known of the slice.

    Raises
    ------
    ConfigError
        If the form is none of these.
    """
    if form not in PLAN_FORMATS:
        raise ConfigError(f"`form` must be one of {', '.join(PLAN_FORMATS)}, got {form!r}.")
    rows = [(row, texts.get(row.trace_id, Text(None, None))) for row in planned]
    key = _plan_key([*planned, *standing], digits=_DIGITS[form == "csv"])
    with whole_file(path) as file:
        file.write(_written(rows, form, standing=standing, key=key).encode("utf-8", "replace"))


def _written(rows: Sequence[tuple[PlannedLabel, Text]], form: str, *, standing: Sequence[Standing], key: str) -> str:
    if form == "label-studio":
        tasks = [{"data": {"trace_id": row.trace_id, "slice": row.slice, **_shown(text)}} for row, text in rows]
        return json.dumps(tasks, ensure_ascii=False, indent=1)
    if form == "argilla":
        return "".join(json.dumps(_argilla(*row), ensure_ascii=False) + "\n" for row in rows)
    own = {"plan": key}
    labels = [{**asdict(row), **own, **text._asdict()} for row, text in rows]
    slices = [{**finite(asdict(row)), **own} for row in standing]
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in (*labels, *slices))
    out = io.StringIO(newline="")
    names = [*_NAMES, "plan", "prompt", "answer", "correct", *(name for name in _STANDING if name not in _NAMES)]
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows(_cells({**row, "correct": ""}) for row in labels)
    writer.writerows(_cells(row) for row in slices)
    return out.getvalue()


def _plan_key(rows: Iterable[PlannedLabel | Standing], *, digits: int) -> str:
    """Name of a plan: the same for the same rows in any order."""
    lines = sorted("\0".join(_digits(value, digits) for value in finite(asdict(row)).values()) for row in rows)
    return blake2b("\n".join(lines).encode("utf-8", "replace"), digest_size=8).hexdigest()


def _digits(value: Any, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float | int) else str(value)


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Cells whose texts no spreadsheet takes for a formula."""
    return {name: safe_cell(value) for name, value in row.items()}


def _argilla(row: PlannedLabel, text: Text) -> dict[str, Any]:
    return {"id": row.trace_id, "fields": _shown(text), "metadata": {"trace_id": row.trace_id, "slice": row.slice}}


def _shown(text: Text) -> dict[str, str]:
    return {"prompt": text.prompt or "", "answer": text.answer or ""}


def read_label_plan(path: Path) -> LabelPlan:
    """Read a plan written as JSONL or CSV.

    Raises
    ------
    TraceFormatError
        If a line is not one of a plan, or lines are missing, changed or of another plan; plans of version 0.2.0 do not
        show that.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            is_csv = file.read(1) != "{"
            file.seek(0)
            read = [_row(path, number, row) for number, row in _lines(file, is_csv=is_csv)]
    except (UnicodeDecodeError, csv.Error) as exc:
        raise TraceFormatError(f"{path}: not a label plan ({exc}). {_CURE}") from exc
    planned = [row for _, row in read if isinstance(row, PlannedLabel)]
    standing = [row for _, row in read if isinstance(row, Standing)]
    if not planned:
        raise TraceFormatError(f"{path}:1: the plan is empty.")
    _check_consistent(path, planned)
    keys = {key for key, _ in read}
    if keys != {None} and keys != {_plan_key([*planned, *standing], digits=_DIGITS[is_csv])}:
        raise TraceFormatError(f"{path}: lines are missing, changed or of another plan. {_CURE}")
    return LabelPlan(tuple(planned), (), tuple(standing))


def _lines(file: TextIO, *, is_csv: bool) -> Iterable[tuple[int, Any]]:
    if is_csv:
        return enumerate(csv.DictReader(file), 2)
    return ((i, line) for i, line in enumerate(file, 1) if line.strip())


def _row(path: Path, number: int, row: Any) -> tuple[str | None, PlannedLabel | Standing]:
    """Return the key of a line's plan, and what it holds: a response to label, or what is known of a slice."""
    try:
        values = row if isinstance(row, dict) else msgspec.json.decode(row, type=dict[str, Any])
        key = values.get("plan") or ("" if "plan" in values else None)
        is_label = bool(values.get("trace_id")) or "method" not in values
        names, kind = (_NAMES, _Line) if is_label else (_STANDING, _StandingLine)
        if isinstance(row, dict):
            values = {name: _cell(values[name], is_quoted=key is not None) for name in names}
        kept: Any = msgspec.convert({name: values[name] for name in names}, kind, strict=not isinstance(row, dict))
    except (KeyError, ValueError, TypeError, RecursionError) as exc:
        raise TraceFormatError(f"{path}:{number}: not a line of a label plan ({exc}). {_CURE}") from exc
    found = {name: getattr(kept, name) for name in names}
    return key, PlannedLabel(**found) if is_label else _known(found)


def _known(found: Mapping[str, Any]) -> Standing:
    """Put a slice together; degrees of freedom without a bound are written as nothing."""
    endless = found["spread"] is not None and found["degrees"] is None
    return Standing(**{**found, "degrees": float("inf") if endless else found["degrees"]})


def _cell(value: str | None, *, is_quoted: bool) -> str | None:
    return plain_cell(value) if value and is_quoted else value or None


def _check_consistent(path: Path, planned: Sequence[PlannedLabel]) -> None:
    """Refuse rows that no plan can hold together."""
    if len({row.trace_id for row in planned}) < len(planned):
        raise TraceFormatError(f"{path}: a response must be in a plan once, got one twice. {_CURE}")
    if any(row.correct_before > row.labels_before for row in planned):
        raise TraceFormatError(f"{path}: `correct_before` must be <= `labels_before`. {_CURE}")
    sizes: dict[tuple[str, int], set[int]] = {}
    for row in planned:
        sizes.setdefault((row.slice, row.stratum), set()).add(row.stratum_size)
    for (name, stratum), found in sizes.items():
        if len(found) > 1:
            raise TraceFormatError(
                f"{path}: stratum {stratum} of {name!r} must have one size, got {sorted(found)}. {_CURE}"
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
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                values = [float(row.get(name) or default) for name, default in zip(usual._fields, usual, strict=True)]
                costs[row["slice"]] = _checked_cost(SliceCost(float(row["cost"]), *values[1:]))
            except (KeyError, TypeError, ValueError) as exc:
                raise TraceFormatError(
                    f"{path}:{number}: a line must have a slice and a cost > 0, and numbers in examples and exponent."
                ) from exc
    return costs


def _checked_cost(cost: SliceCost) -> SliceCost:
    if not all(isfinite(value) and value > 0 for value in cost):
        raise ValueError(f"got {cost}")
    return cost
