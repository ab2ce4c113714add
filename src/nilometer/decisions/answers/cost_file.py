"""Cost matrices from files."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nilometer.errors import ConfigError

from .labels import CostMatrix

__all__ = ["read_cost_matrix"]


def read_cost_matrix(path: Path, *, tail: float = 1.0) -> CostMatrix:
    r"""Read a cost matrix: CSV with the labels in the first line and an answer before each row, or JSON.

    JSON is ``{"answer": {"label": cost, ...}, ...}``. Names that are numbers become numbers.

    Parameters
    ----------
    path
        The file.
    tail
        As in ``CostMatrix``.

    Raises
    ------
    ConfigError
        If a row lacks a label or a cost is no number.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "costs.csv"
    ...     _ = path.write_text("answer,ok,fraud\nok,0,100\nask,2,2\n")
    ...     matrix = read_cost_matrix(path)
    >>> matrix.answers, matrix.labels, matrix.costs.tolist()
    (('ok', 'ask'), ('ok', 'fraud'), [[0.0, 100.0], [2.0, 2.0]])
    """
    text = path.read_text(encoding="utf-8-sig")
    rows = _json_rows(path, text) if text.lstrip()[:1] == "{" else _csv_rows(path, text)
    labels = tuple(dict.fromkeys(label for row in rows.values() for label in row))
    costs = [
        [_cost(path, row.get(label), f"{answer} under {label}") for label in labels] for answer, row in rows.items()
    ]
    if not rows or not labels:
        raise ConfigError(f"{path}: a cost matrix must have at least one answer and one label, got none.")
    return CostMatrix(costs=costs, labels=tuple(map(_name, labels)), answers=tuple(map(_name, rows)), tail=tail)


def _json_rows(path: Path, text: str) -> dict[str, Mapping[str, Any]]:
    try:
        rows = json.loads(text)
    except ValueError as exc:
        raise ConfigError(f"{path}: costs must be a JSON object of answers, or CSV ({exc}).") from exc
    if not all(isinstance(row, dict) for row in rows.values()):
        raise ConfigError(f'{path}: every answer must hold its costs by label, {{"A": {{"A": 0}}}}.')
    return dict(rows)


def _csv_rows(path: Path, text: str) -> dict[str, Mapping[str, Any]]:
    header, *lines = [row for row in csv.reader(io.StringIO(text)) if row] or [[]]
    uneven = [number for number, row in enumerate(lines, start=2) if len(row) != len(header)]
    if uneven:
        raise ConfigError(f"{path}:{uneven[0]}: a row must have {len(header)} cells, an answer and its costs.")
    names = [name.strip() for name in header[1:]]
    return {row[0].strip(): dict(zip(names, row[1:], strict=True)) for row in lines}


def _cost(path: Path, value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{path}: the cost of {where} must be a number, got {value!r}.") from None


def _name(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
