"""What the verbs read: profiles from traces or from a profile file, and labels for them."""

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.signals import FEATURE_NAMES, PROFILE_COLUMNS, profile_batch, ragged_from_batch, token_entropy
from nilometer.traces import (
    TRACE_SCHEMA,
    LabelReport,
    Layout,
    diagnose,
    has_attention,
    join_labels,
    read_labels,
    read_traces,
    slice_names,
)

from .common import check_bad_lines, expand_files, progress, talk

__all__ = ["Inputs", "read_correct", "read_inputs"]

_EXAMPLES = 8
_NOT_IN_PROFILES = re.compile(rf"\b({'|'.join(set(TRACE_SCHEMA.names) - set(PROFILE_COLUMNS))})\b", re.IGNORECASE)


@dataclass
class Inputs:
    """Profiles, and what was seen while the traces went by."""

    profiles: pa.Table
    least_confident: list[dict[str, Any]] = field(default_factory=list)
    diagnosis: dict[str, Any] = field(default_factory=dict)


def read_inputs(
    files: list[str], *, by: Sequence[str] = (), wire_format: Layout | None = None, strict: bool = False
) -> Inputs:
    """Read traces and profile them as they stream by, or read finished profiles.

    Slice keys that need a column of the traces which profiles do not keep (``provider``, ``length(answer)``) become
    columns of the profiles.

    Raises
    ------
    TraceFormatError
        If there is no response, or more than one line in a hundred is bad.
    """
    paths = expand_files(files)
    if all(_holds_profiles(path) for path in paths):
        return Inputs(pa.concat_tables([pq.read_table(path) for path in paths]))
    stream = read_traces(paths, format=wire_format, strict=strict, keep=("attention",) if has_attention(paths) else ())
    seen: list[pa.RecordBatch] = []
    least: list[tuple[float, int, dict[str, Any]]] = []
    only_in_traces = [key for key in by if _NOT_IN_PROFILES.search(key)]

    def watched() -> Iterator[pa.RecordBatch]:
        with progress("Reading") as advance:
            for batch in stream:
                seen.append(_with_keys(profile_batch(batch), batch, only_in_traces))
                _keep_least(least, batch, seen[-1])
                advance(batch.num_rows)
                yield batch

    diagnosis = diagnose(watched(), stream=stream)
    check_bad_lines(stream.report)
    if not seen:
        raise TraceFormatError(f"{', '.join(map(str, paths))}: no response could be read.")
    if stream.report.n_duplicates:
        talk(f"{stream.report.n_duplicates:,} responses repeat a trace_id; all are kept.")
    examples = [row for _, _, row in sorted(least, key=lambda item: -item[0])]
    return Inputs(pa.Table.from_batches(seen), examples, diagnosis.to_dict())


def _with_keys(profile: pa.RecordBatch, batch: pa.RecordBatch, keys: Sequence[str]) -> pa.RecordBatch:
    for key in keys:
        if key not in profile.schema.names:
            profile = profile.append_column(key, slice_names(batch, [key]))
    return profile


def read_correct(profiles: pa.Table, labels: list[str] | None, *, key: str) -> NDArray[np.float32]:
    """Labels of every profile: those in the traces, and over them those of label files. Says what did not match.

    Raises
    ------
    ConfigError
        If there are labels and none matches a response.
    """
    inline: NDArray[np.float32] = profiles["correct"].to_numpy().astype(np.float32)
    if not labels:
        return inline
    report = LabelReport()
    table = read_labels(expand_files(labels), key=key, report=report)
    for line in report.bad_lines:
        talk(line)
    ids = profiles["prompt_id" if key == "prompt_id" else "trace_id"]
    joined, matched = join_labels(ids, table)
    if not matched.n_matched:
        raise ConfigError(
            f"none of the {matched.n_labels:,} labels matches a response: labels have ids like "
            f"{', '.join(matched.unmatched[:2])}, responses like {', '.join(map(str, ids[:2].to_pylist()))}. "
            "Name the label column that holds the id with --label-key."
        )
    talk(f"{matched.n_matched:,} of {matched.n_labels:,} labels match a response.")
    if matched.n_unmatched:
        talk(f"{matched.n_unmatched:,} labels match none, for example {', '.join(matched.unmatched)}.")
    return np.where(np.isnan(joined), inline, joined)


def _holds_profiles(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return False
    names = pq.read_schema(path).names
    return set(FEATURE_NAMES) <= set(names) and "chosen_logprobs" not in names


def _keep_least(least: list[tuple[float, int, dict[str, Any]]], batch: pa.RecordBatch, profile: pa.RecordBatch) -> None:
    score = np.nan_to_num(profile.column("max").to_numpy(zero_copy_only=False), nan=-1.0)
    for row in np.argsort(-score)[:_EXAMPLES]:
        if score[row] < 0 or (len(least) == _EXAMPLES and score[row] <= least[0][0]):
            break
        one = batch.slice(int(row), 1)
        tokens = one.column("tokens")[0].as_py()
        if not tokens:
            continue
        ragged = ragged_from_batch(one)
        entropies = np.nan_to_num(token_entropy(ragged.chosen, ragged.top)).tolist()
        values = {name: one.column(name)[0].as_py() for name in ("trace_id", "prompt", "correct", "attributes")}
        heapq.heappush(
            least,
            (float(score[row]), len(least) + int(row) * 1000, {**values, "tokens": tokens, "entropies": entropies}),
        )
        if len(least) > _EXAMPLES:
            heapq.heappop(least)
