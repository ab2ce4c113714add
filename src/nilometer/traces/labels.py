"""Human or automatic verdicts that arrive later and from elsewhere, joined to traces by id."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nilometer.errors import TraceFormatError

from .labelfiles import label_rows
from .schema import LABEL_SCHEMA

__all__ = ["LABEL_COLUMNS", "LabelReport", "join_labels", "parse_correct", "read_labels"]

LABEL_COLUMNS = ("correct", "label", "is_correct", "score", "success", "passed")
"""Names under which a label is looked for, in this order."""

_TRUE = {"true", "t", "yes", "y", "correct", "right", "pass", "passed", "good", "up", "thumbs_up", "👍"}
_FALSE = {"false", "f", "no", "n", "incorrect", "wrong", "fail", "failed", "bad", "down", "thumbs_down", "👎"}
_NONE = {"", "null", "none", "nan", "na", "n/a", "-"}
_EXAMPLES = 5
_BAD_LINES = 100
_SHOWN = 300
_LATEST = 1e11
"""In seconds, the year 5138; a larger number counts smaller units."""
_NO_TIME = np.iinfo(np.int64).min


@dataclass(slots=True)
class LabelReport:
    """What became of the labels."""

    n_labels: int = 0
    """Readable labels, repeated ones included."""
    n_matched: int = 0
    """Different ids that belong to a trace."""
    n_unmatched: int = 0
    """Different ids that belong to no trace."""
    n_duplicates: int = 0
    """Labels beyond the first of their id."""
    n_conflicts: int = 0
    """Ids whose labels differ."""
    unmatched: list[str] = field(default_factory=list)
    """The first few ids that match no trace."""
    n_bad: int = 0
    """Rows that could not be read."""
    n_empty: int = 0
    """Rows without a verdict."""
    bad_lines: list[str] = field(default_factory=list)
    """The first 100 of them as ``file:line: reason``."""


def parse_correct(value: Any) -> float | None:
    """Read a verdict in any of the usual spellings as a number in [0, 1]; None means "no verdict".

    True/false, yes/no, correct/incorrect, right/wrong, pass/fail, good/bad, thumbs up/down (word or emoji),
    1/0 and every number in [0, 1], whatever the case.

    Raises
    ------
    TraceFormatError
        If the value is a percentage, a number outside [0, 1] or an unknown word.

    Examples
    --------
    >>> [parse_correct(v) for v in (True, "Wrong", "0.5", "thumbs up", "", None)]
    [1.0, 0.0, 0.5, 1.0, None, None]
    """
    if value is None:
        return None
    if isinstance(value, str):
        word = "_".join(value.lower().replace("-", " ").split()) if value.strip() != "-" else "-"
        if word in _NONE:
            return None
        if word in _TRUE or word in _FALSE:
            return float(word in _TRUE)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        shown = _shown(value)
        cure = " Divide percentages by 100." if "%" in shown else ""
        raise TraceFormatError(
            f"a label must be true/false, a score in [0, 1] or a usual word, got {shown}.{cure}"
        ) from None
    if np.isnan(number):
        return None
    if not 0 <= number <= 1:
        raise TraceFormatError(f"a label must lie in [0, 1], got {_shown(value)}. Divide percentages by 100.")
    return number


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 10**60:
        return "a number of more than 60 digits"
    return f"{value!r:.100}"


def read_labels(
    paths: str | Path | Sequence[str | Path], *, key: str = "trace_id", report: LabelReport | None = None
) -> pa.Table:
    r"""Read labels from CSV, TSV, JSONL or Parquet into ``LABEL_SCHEMA``.

    The label is the first of the columns ``LABEL_COLUMNS`` that is there; ``source`` and ``time`` are kept
    where given. Rows without a verdict are left out.

    Parameters
    ----------
    paths
        One file or several; ``.gz`` is read as it is.
    key
        Column that holds the id of the trace. With ``key="prompt_id"`` one label serves every response to
        a prompt: the ids stand in ``trace_id`` all the same, so join them to the prompt ids of the traces.
    report
        Counts unreadable rows instead of raising at the first.

    Raises
    ------
    TraceFormatError
        If the key or every label column is missing, or, without `report`, a row is not readable
        (``file:line: reason``).

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "labels.csv"
    ...     _ = file.write_text("trace_id,correct\na,yes\nb,0\n")
    ...     read_labels(file)["correct"].to_pylist()
    [1.0, 0.0]
    """
    counts = LabelReport() if report is None else report
    tables = []
    for path in [paths] if isinstance(paths, str | Path) else list(paths):
        rows = _Rows(Path(path), key, counts)
        for number, row in label_rows(Path(path), (key, *LABEL_COLUMNS, "source", "time"), rows.bad):
            rows.add(number, row)
        if report is None and counts.bad_lines:
            raise TraceFormatError(counts.bad_lines[0])
        tables.append(rows.table())
    labels = pa.concat_tables(tables) if tables else LABEL_SCHEMA.empty_table()
    counts.n_labels += labels.num_rows
    return labels


def join_labels(trace_ids: pa.Array | pa.ChunkedArray, labels: pa.Table) -> tuple[NDArray[np.float32], LabelReport]:
    """Give every trace its label, NaN where there is none; linear in traces plus labels.

    Of several labels for one id the one with the latest ``time`` counts, a label without a time being older
    than every one with; at equal times the last row does. Ids whose labels differ are counted as conflicts.

    Examples
    --------
    >>> labels = pa.table({"trace_id": ["b", "z"], "correct": [1.0, 0.0]})
    >>> correct, report = join_labels(pa.array(["a", "b"]), labels)
    >>> correct.tolist(), report.unmatched
    ([nan, 1.0], ['z'])
    """
    ids = _flat(trace_ids)
    report = LabelReport(n_labels=labels.num_rows)
    joined = np.full(len(ids), np.nan, dtype=np.float32)
    if not labels.num_rows:
        return joined, report
    encoded = _flat(labels["trace_id"]).dictionary_encode()
    keys, values = encoded.dictionary, _latest(labels, encoded.indices.to_numpy(), report)
    places = pc.index_in(ids, value_set=keys).fill_null(-1).to_numpy(zero_copy_only=False)
    found = places >= 0
    joined[found] = values[places[found]]
    matched = np.zeros(len(keys), dtype=bool)
    matched[places[found]] = True
    report.n_matched = int(matched.sum())
    report.n_unmatched = len(keys) - report.n_matched
    report.unmatched = keys.take(pa.array(np.flatnonzero(~matched)[:_EXAMPLES])).to_pylist()
    return joined, report


def _flat(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    return (ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids).cast(pa.string())


def _latest(labels: pa.Table, codes: NDArray[np.int32], report: LabelReport) -> NDArray[np.float32]:
    """Pick the label that counts for each id, in order of the codes."""
    values = np.asarray(labels["correct"].to_numpy(), dtype=np.float32)
    times = np.full(len(codes), _NO_TIME)
    if "time" in labels.column_names and labels["time"].null_count < labels.num_rows:
        stamps = labels["time"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        times = stamps.fill_null(_NO_TIME).to_numpy()
    order = np.lexsort((np.arange(len(codes)), times, codes))
    values, codes = values[order], codes[order]
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    report.n_duplicates = len(codes) - len(starts)
    differ = np.maximum.reduceat(values, starts) != np.minimum.reduceat(values, starts)
    report.n_conflicts = int(differ.sum())
    picked: NDArray[np.float32] = values[np.r_[starts[1:], len(codes)] - 1]
    return picked


class _Rows:
    """Labels of one file, gathered by column."""

    def __init__(self, path: Path, key: str, counts: LabelReport) -> None:
        self._path, self._key, self._counts = path, key, counts
        self._rows: list[tuple[str, float, str | None, datetime | None]] = []
        self._misfit: str | None = None
        self._n_fitting = 0

    def add(self, number: int, row: dict[str, Any]) -> None:
        """Take one row; one that cannot be read is counted."""
        misfit = self._misfit_of(row)
        if misfit is not None:
            self._misfit = self._misfit or misfit
            self.bad(number, misfit)
            return
        self._n_fitting += 1
        try:
            self._append(row)
        except TraceFormatError as exc:
            self.bad(number, str(exc))

    def bad(self, number: int, reason: str) -> None:
        """Count a row that cannot be read."""
        self._counts.n_bad += 1
        if len(self._counts.bad_lines) < _BAD_LINES:
            self._counts.bad_lines.append(f"{self._path}:{number}: {reason}")

    def _append(self, row: dict[str, Any]) -> None:
        given = (row[name] for name in LABEL_COLUMNS if name in row)
        correct = next((verdict for verdict in map(parse_correct, given) if verdict is not None), None)
        if correct is None:  # not labelled yet, or a line of a plan on a slice
            self._counts.n_empty += 1
            return
        identity = row.get(self._key)
        if identity is None or identity == "":
            raise TraceFormatError(f"`{self._key}` is empty or missing.")
        if isinstance(identity, bool) or not isinstance(identity, str | int | float):
            raise TraceFormatError(f"`{self._key}` must be a text or a number, got {_shown(identity)}.")
        source = row.get("source")
        self._rows.append((_id(identity), correct, None if source is None else str(source), _moment(row.get("time"))))

    def _misfit_of(self, row: dict[str, Any]) -> str | None:
        """Say what a row lacks to be a label at all; each row may name its label differently."""
        given = ", ".join(map(str, row))[:_SHOWN]
        if self._key not in row:
            return (
                f"column `{self._key}` is missing; the columns are {given}."
                " Name the column that holds the ids (`key`, `--label-key`)."
            )
        if not any(name in row for name in LABEL_COLUMNS):
            return f"a label column must be named one of {', '.join(LABEL_COLUMNS)}; got {given}."
        return None

    def table(self) -> pa.Table:
        """Return what was read.

        Raises
        ------
        TraceFormatError
            If no row at all has the columns of a label.
        """
        if self._misfit is not None and not self._n_fitting:
            raise TraceFormatError(f"{self._path}: {self._misfit}")
        columns = zip(*self._rows, strict=True) if self._rows else ((),) * len(LABEL_SCHEMA)
        arrays = [pa.array(list(values), column.type) for values, column in zip(columns, LABEL_SCHEMA, strict=True)]
        return pa.table(arrays, schema=LABEL_SCHEMA)


def _id(value: str | int | float) -> str:
    if isinstance(value, int) and abs(value) > 10**60:
        raise TraceFormatError("an id must have at most 60 digits.")
    return str(value)


def _moment(value: Any) -> datetime | None:
    """Read a time given as such, in seconds since 1970, or as an ISO 8601 text."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(_seconds(value), tz=UTC)
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        raise TraceFormatError(f"`time` must be ISO 8601 or seconds since 1970, got {_shown(value)}.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(value: float) -> float:
    """Take large numbers as milliseconds, microseconds or nanoseconds."""
    size = float(value)
    while _LATEST < abs(size) < _LATEST * 1e9:
        size /= 1000
    return size
