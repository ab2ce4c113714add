"""What the verbs read: profiles from traces or from a profile file, and labels for them."""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from nilometer import estimators, signals, traces
from nilometer.errors import ConfigError, TraceFormatError

from .common import about_responses, check_bad_lines, expand_files, n_processes, progress, talk
from .opinions import TEXT_COLUMNS, Opinions, add_second

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


__all__ = ["Inputs", "read_correct", "read_inputs"]

_EXAMPLES = 8
"""Answers kept to be shown."""


@dataclass
class Inputs:
    """Profiles, and what was seen while the traces went by."""

    profiles: pa.Table
    least_confident: list[dict[str, Any]] = field(default_factory=list)
    diagnosis: dict[str, Any] = field(default_factory=dict)
    texts: pa.Table | None = None
    """Prompts and answers, where they were to be kept."""


def read_inputs(
    files: list[str],
    *,
    by: Sequence[str] = (),
    wire_format: traces.Layout | None = None,
    strict: bool = False,
    second: Opinions | None = None,
    features: Collection[str] | None = None,
    keep_texts: bool = False,
) -> Inputs:
    """Read traces and profile them as they stream by, or read finished profiles.

    Of the features those are kept that `features` or a slice key names; None keeps all.

    Slice keys that need a column of the traces which profiles do not keep (``provider``, ``length(answer)``) become
    columns of the profiles. So do second opinions.

    Raises
    ------
    TraceFormatError
        If there is no response, or more than one line in a hundred is bad.
    """
    import pyarrow as pa

    paths = expand_files(files)
    if all(signals.is_profile_file(path) for path in paths):
        profiles = signals.read_profiles(paths)
        return Inputs(profiles if second is None else add_second(profiles, None, second))
    stream = traces.read_traces(
        paths, format=wire_format, strict=strict, keep=("attention",) if traces.has_attention(paths) else ()
    )
    stream.in_parallel(n_processes())
    seen: list[pa.RecordBatch] = []
    texts: list[pa.RecordBatch] = []
    least = _LeastConfident()
    only_in_traces = _only_in_traces(by)
    dropped = _dropped(features, by)

    def watched() -> Iterator[pa.RecordBatch]:
        with progress("Reading", total=lambda: about_responses(paths)) as advance:
            for batch in stream:
                profile = _with_keys(signals.profile_batch(batch), batch, only_in_traces)
                least.add(batch, profile)
                seen.append(_packed(profile.drop_columns([*dropped & {*profile.schema.names}])))
                if keep_texts or second is not None:
                    texts.append(_packed(batch.select(list(TEXT_COLUMNS))))
                advance(batch.num_rows)
                yield batch

    diagnosis = traces.diagnose(watched(), stream=stream)
    check_bad_lines(stream.report)
    if not seen:
        raise TraceFormatError(f"{', '.join(map(str, paths))}: no response could be read.")
    if stream.report.n_duplicates:
        talk(f"{stream.report.n_duplicates:,} responses repeat a trace_id; all are kept.")
    profiles = pa.Table.from_batches(seen)
    kept = pa.Table.from_batches(texts) if texts else None
    if second is not None:
        profiles = add_second(profiles, kept, second)
    return Inputs(profiles, least.rows(), diagnosis.to_dict(), kept if keep_texts else None)


def _dropped(features: Collection[str] | None, by: Sequence[str]) -> set[str]:
    """Return the features that need not be kept."""
    if features is None:
        return set()
    named = {word.lower() for key in by for word in re.findall(r"\w+", key)}
    return {*signals.FEATURE_NAMES, *signals.ATTENTION_FEATURE_NAMES} - {*features} - named


def _packed(profile: pa.RecordBatch) -> pa.RecordBatch:
    """Return the same rows in one piece of memory of their own, so that those of the traces can be given back."""
    import pyarrow as pa

    return pa.ipc.read_record_batch(profile.serialize(), profile.schema)


def _only_in_traces(keys: Sequence[str]) -> list[str]:
    """Slice keys that need a column of the traces which profiles do not keep."""
    lost = set(traces.TRACE_SCHEMA.names) - set(signals.PROFILE_COLUMNS)
    needed = re.compile(rf"\b({'|'.join(sorted(lost))})\b", re.IGNORECASE)
    return [key for key in keys if needed.search(key)]


def _with_keys(profile: pa.RecordBatch, batch: pa.RecordBatch, keys: Sequence[str]) -> pa.RecordBatch:
    for key in keys:
        if key not in profile.schema.names:
            profile = profile.append_column(key, traces.slice_names(batch, [key]))
    return profile


def read_correct(profiles: pa.Table, labels: list[str] | None, *, key: str) -> NDArray[np.float32]:
    """Labels of every profile: those in the traces, and over them those of label files. Says what did not match.

    Raises
    ------
    ConfigError
        If there are labels and none matches a response.
    """
    import numpy as np

    inline: NDArray[np.float32] = profiles["correct"].to_numpy().astype(np.float32)
    if not labels:
        return inline
    report = traces.LabelReport()
    table = traces.read_labels(expand_files(labels), key=key, report=report)
    for line in report.bad_lines:
        talk(line)
    ids = profiles["prompt_id" if key == "prompt_id" else "trace_id"]
    joined, matched = traces.join_labels(ids, table)
    if not matched.n_matched:
        raise ConfigError(
            f"none of the {matched.n_labels:,} labels matches a response: labels have ids like "
            f"{', '.join(matched.unmatched[:2])}, responses like {', '.join(map(str, ids[:2].to_pylist()))}. "
            "Name the label column that holds the id with --label-key."
        )
    n_ids = matched.n_matched + matched.n_unmatched
    talk(f"{matched.n_matched:,} of {n_ids:,} labelled ids match a response.")
    if matched.n_unmatched:
        talk(f"{matched.n_unmatched:,} match none, for example {', '.join(matched.unmatched)}.")
    if matched.n_duplicates:
        talk(
            f"{matched.n_duplicates:,} labels repeat an id, {matched.n_conflicts:,} ids have labels that contradict "
            "each other: the latest label by `time` counts, without times the last."
        )
    return np.where(np.isnan(joined), inline, joined)


class _LeastConfident:
    """The answers whose tokens the model was least sure of, kept while batches go by."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, int, dict[str, Any]]] = []
        self._order = count()

    def add(self, batch: pa.RecordBatch, profile: pa.RecordBatch) -> None:
        """Keep those of a batch that are less sure than the ones kept so far."""
        import numpy as np

        score = np.nan_to_num(estimators.as_profiles(profile).score, nan=-1.0)
        for row in np.argsort(-score)[:_EXAMPLES]:
            if score[row] < 0 or (len(self._kept) == _EXAMPLES and score[row] <= self._kept[0][0]):
                break
            example = _example(batch.slice(int(row), 1))
            if example is None:
                continue
            heapq.heappush(self._kept, (float(score[row]), next(self._order), example))
            if len(self._kept) > _EXAMPLES:
                heapq.heappop(self._kept)

    def rows(self) -> list[dict[str, Any]]:
        """Return them, least sure first."""
        return [example for _, _, example in sorted(self._kept, key=lambda item: -item[0])]


def _example(one: pa.RecordBatch) -> dict[str, Any] | None:
    """Tokens and entropies of one response, and what names it; None without tokens."""
    import numpy as np

    tokens = one.column("tokens")[0].as_py()
    if not tokens:
        return None
    ragged = signals.ragged_from_batch(one)
    entropies = np.nan_to_num(signals.token_entropy(ragged.chosen, ragged.top)).tolist()
    values = {name: one.column(name)[0].as_py() for name in ("trace_id", "prompt", "correct", "attributes")}
    return {**values, "tokens": tokens, "entropies": entropies}
