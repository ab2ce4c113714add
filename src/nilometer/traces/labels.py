"""Human or automatic verdicts that arrive later and from elsewhere, joined to traces by id."""

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nilometer.errors import TraceFormatError

from .schema import LABEL_SCHEMA

__all__ = ["LABEL_COLUMNS", "LabelReport", "join_labels", "parse_correct", "read_labels"]

LABEL_COLUMNS = ("correct", "label", "is_correct", "score", "success", "passed")
_TRUE = {"true", "t", "yes", "y", "correct", "right", "pass", "passed", "good", "up", "thumbs_up", "1", "👍"}
_FALSE = {"false", "f", "no", "n", "incorrect", "wrong", "fail", "failed", "bad", "down", "thumbs_down", "0", "👎"}
_NONE = {"", "null", "none", "nan", "na", "n/a", "-"}
_EXAMPLES = 5


@dataclass(slots=True)
class LabelReport:
    """What became of the labels."""

    n_labels: int = 0
    n_matched: int = 0
    n_unmatched: int = 0
    n_duplicates: int = 0
    n_conflicts: int = 0
    unmatched: list[str] = field(default_factory=list)
    """The first few ids that match no trace."""


def parse_correct(value: Any) -> float | None:  # noqa: ANN401
    """Read a verdict in any of the usual spellings as a number in [0, 1]; None means "no verdict".

    Raises
    ------
    TraceFormatError
        If the value is a number outside [0, 1] or an unknown word.

    Examples
    --------
    >>> [parse_correct(v) for v in (True, "Wrong", "0.5", "", None)]
    [1.0, 0.0, 0.5, None, None]
    """
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _NONE:
            return None
        if word in _TRUE or word in _FALSE:
            return float(word in _TRUE)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TraceFormatError(f"a label must be true/false, a score in [0, 1] or a usual word, got {value!r}.") from None
    if not 0 <= number <= 1:
        raise TraceFormatError(f"a label must lie in [0, 1], got {value!r}. Divide percentages by 100.")
    return number


def read_labels(paths: str | Path | Sequence[str | Path], *, key: str = "trace_id") -> pa.Table:
    """Read labels from CSV, TSV, JSONL or Parquet into ``LABEL_SCHEMA``.

    Parameters
    ----------
    paths
        One file or several; ``.gz`` is read as it is.
    key
        Column that holds the id of the trace.

    Raises
    ------
    TraceFormatError
        If the key or every known label column is missing, or a label is not readable (``file:line: reason``).

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "labels.csv"
    ...     _ = file.write_text("trace_id,correct\\na,yes\\nb,0\\n")
    ...     read_labels(file)["correct"].to_pylist()
    [1.0, 0.0]
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    rows = [row for path in files for row in _rows(Path(path), key)]
    return pa.Table.from_pylist(rows, schema=LABEL_SCHEMA)


def join_labels(trace_ids: pa.Array | pa.ChunkedArray, labels: pa.Table) -> tuple[NDArray[np.float32], LabelReport]:
    """Give every trace its label, NaN where there is none.

    Of several labels for one id the last counts; that they differ is counted as a conflict.

    Examples
    --------
    >>> labels = pa.table({"trace_id": ["b", "z"], "correct": [1.0, 0.0]})
    >>> correct, report = join_labels(pa.array(["a", "b"]), labels)
    >>> correct.tolist(), report.unmatched
    ([nan, 1.0], ['z'])
    """
    report = LabelReport(n_labels=labels.num_rows)
    last: dict[str, float] = {}
    for trace_id, correct in zip(labels["trace_id"].to_pylist(), labels["correct"].to_pylist(), strict=True):
        if trace_id in last:
            report.n_duplicates += 1
            report.n_conflicts += last[trace_id] != correct
        last[trace_id] = correct
    keys = pa.array(list(last), type=pa.string())
    ids = trace_ids.combine_chunks() if isinstance(trace_ids, pa.ChunkedArray) else trace_ids
    places = pc.index_in(ids.cast(pa.string()), value_set=keys).to_numpy(zero_copy_only=False).astype(float)
    joined = np.full(len(ids), np.nan, dtype=np.float32)
    found = ~np.isnan(places)
    if last:
        joined[found] = np.array(list(last.values()), dtype=np.float32)[places[found].astype(np.int64)]
    matched = np.zeros(len(last), dtype=bool)
    matched[places[found].astype(np.int64)] = True
    report.n_matched = int(matched.sum())
    report.n_unmatched = len(last) - report.n_matched
    report.unmatched = [keys[int(i)].as_py() for i in np.flatnonzero(~matched)[:_EXAMPLES]]
    return joined, report


def _rows(path: Path, key: str) -> Iterator[dict[str, Any]]:
    name = path.name.removesuffix(".gz")
    if name.endswith((".parquet", ".pq")):
        source: Iterable[tuple[int, dict[str, Any]]] = enumerate(pq.read_table(path).to_pylist(), start=1)
    else:
        data = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
        text = data.decode("utf-8-sig", errors="strict")
        source = _json_rows(path, text) if text.lstrip()[:1] == "{" else _csv_rows(text, tab=name.endswith(".tsv"))
    for number, row in source:
        try:
            label = _label(row, key)
        except TraceFormatError as exc:
            raise TraceFormatError(f"{path}:{number}: {exc}") from exc
        if label is not None:
            yield label


def _label(row: dict[str, Any], key: str) -> dict[str, Any] | None:
    if row.get(key) in (None, ""):
        raise TraceFormatError(f"`{key}` is missing; the columns are {sorted(map(str, row))}. Name the id column with --label-key.")
    column = next((name for name in LABEL_COLUMNS if name in row), None)
    if column is None:
        raise TraceFormatError(f"a label column is missing: one of {', '.join(LABEL_COLUMNS)}; got {sorted(map(str, row))}.")
    correct = parse_correct(row[column])
    if correct is None:
        return None
    return {"trace_id": str(row[key]), "correct": correct, "source": row.get("source"), "time": None}


def _csv_rows(text: str, *, tab: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if tab else ",")
    for row in reader:
        yield reader.line_num, row


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError as exc:
                raise TraceFormatError(f"{path}:{number}: not a JSON object ({exc}).") from exc
