"""What ``nilometer decide`` reads: posteriors and truths from files of samples, responses and logs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nilometer import estimators, models, signals, traces
from nilometer.errors import ConfigError, MissingLogprobsError, NotEnoughDataError, TraceFormatError

from .common import check_bad_lines, expand_files

__all__ = ["Asked", "Reading", "listed_candidates", "read_posteriors", "read_questions", "read_truths"]

_OWN = {"samples", "label_logprobs", "resps", "pseudo_references"}
"""Keys of lines that are no response of a server."""
_DRAWN = ("nilometer", "plain", "wide", "columns", "lm_eval")
"""Formats whose answers are draws where the texts of the alternatives are not kept."""
_IDS = ("prompt_id", "custom_id", "trace_id", "id", "doc_id")
_TRUTHS = ("truth", "gold", "target", "answer", "label")
_SHOWN = 100
_CANDIDATE = (str, int, float, list)


class Reading(NamedTuple):
    """How answers are read."""

    parse: signals.Parser
    """Of what a model said."""
    plain: signals.Parser
    """Of truths, which stand alone."""
    labels: tuple[Any, ...] | None = None
    field: str | None = None
    pattern: str | None = None
    fallback: str = "error"


@dataclass
class Asked:
    """The posteriors of a file, in its order, and what could not be made one."""

    ids: list[str] = field(default_factory=list)
    posteriors: list[estimators.Posterior | NotEnoughDataError] = field(default_factory=list)
    greedy: list[Any] = field(default_factory=list)
    """The greedy answer where the file holds one, else None."""
    truths: dict[str, Any] = field(default_factory=dict)
    candidates: dict[str, list[Any]] = field(default_factory=dict)
    """What may be answered, where a line names it."""
    facts: list[dict[str, Any]] = field(default_factory=list)
    """More to say of each prompt, after live runs."""
    summary: dict[str, Any] = field(default_factory=dict)
    bad_lines: list[str] = field(default_factory=list)
    n_bad: int = 0
    n_skipped: int = 0
    n_damaged: int = 0
    n_cut: int = 0
    left_out: list[str] = field(default_factory=list)

    @property
    def n_traces(self) -> int:
        """Prompts read."""
        return len(self.ids)

    def add(self, identity: str, posterior: estimators.Posterior | NotEnoughDataError, greedy: Any = None) -> None:
        """Keep one prompt."""
        self.ids.append(identity)
        self.posteriors.append(posterior)
        self.greedy.append(greedy)


def read_posteriors(files: list[str], reading: Reading, layout: traces.Layout) -> Asked:
    """Read one posterior per line, or per prompt of traces.

    A line holds ``samples`` (with ``logprobs`` and ``sampling_logprobs`` where known), ``label_logprobs``, or a sample
    of lm-evaluation-harness. Every format of traces is read as such and grouped by ``prompt_id``: with a scale the
    log-probabilities at the score, else the answers as draws.

    Raises
    ------
    TraceFormatError
        If nothing can be read, or more than one line in a hundred is bad.
    """
    asked = Asked()
    for path in expand_files(files):
        if not layout.is_given and _holds_samples(path):
            _read_lines(path, reading, asked)
        else:
            _read_traces(path, reading, asked, layout)
    for identity, truth in asked.truths.items():
        asked.truths[identity] = _as_value(truth, reading)
    check_bad_lines(asked)
    if not asked.ids:
        raise TraceFormatError(f"{', '.join(files)}: no prompt could be read.")
    return asked


def _holds_samples(path: Path) -> bool:
    """Return whether the first line of a file holds samples or probabilities of labels instead of a response."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(1 << 20).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        raise TraceFormatError(f"{path}: the file is empty or holds no JSON object.")
    first: dict[str, Any] = next((row for _, row in _objects(path, Asked())), {}) if head[:1] in (b"{", b"[") else {}
    return not _OWN.isdisjoint(first)


def _objects(path: Path, asked: Asked) -> Any:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as exc:
                _bad(asked, f"{path}:{number}: not a JSON object ({exc}).")
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                _bad(asked, f"{path}:{number}: not a JSON object.")


def read_questions(files: Sequence[str]) -> list[models.Question]:
    """Read the prompts of files, in their order."""
    suites = (models.make_suite(path, models.SuiteOptions()) for path in files)
    return [one for suite in suites for part in suite.values() for one in part]


def _bad(asked: Asked, reason: str) -> None:
    asked.n_bad += 1
    if len(asked.bad_lines) < _SHOWN:
        asked.bad_lines.append(reason)


def _read_lines(path: Path, reading: Reading, asked: Asked) -> None:
    for number, row in _objects(path, asked):
        identity = next((str(row[key]) for key in _IDS if row.get(key) is not None), f"{path.stem}:{number}")
        truth = next((row[key] for key in _TRUTHS[:3] if row.get(key) is not None), None)
        try:
            candidates = _candidates(row, reading)
            posterior = _posterior(row, reading)
        except MissingLogprobsError as exc:
            raise ConfigError(f"{path}:{number}: {exc} (`--fallback samples`)") from exc
        except (ValueError, TypeError, AttributeError, KeyError) as exc:
            _bad(asked, f"{path}:{number}: {exc}")
            continue
        asked.add(identity, posterior, _as_value(row.get("greedy"), reading))
        if candidates is not None:
            asked.candidates[identity] = candidates
        if truth is not None:
            asked.truths[identity] = truth


def _posterior(row: dict[str, Any], reading: Reading) -> estimators.Posterior | NotEnoughDataError:
    try:
        return _read_posterior(row, reading)
    except NotEnoughDataError as exc:
        return exc


def _read_posterior(row: dict[str, Any], reading: Reading) -> estimators.Posterior:
    temperature = row.get("temperature")
    if row.get("pseudo_references") is not None:
        return estimators.Posterior.from_samples(row["pseudo_references"], reading.parse, labels=reading.labels)
    if "samples" in row:
        return estimators.Posterior.from_samples(
            row["samples"] or (),
            reading.parse,
            labels=reading.labels,
            logprobs=row.get("logprobs"),
            sampling_logprobs=row.get("sampling_logprobs"),
            temperature=temperature,
        )
    if "label_logprobs" in row:
        parse = signals.parse_label(reading.labels) if reading.labels else reading.parse
        listed = {key: -1e9 if value is None else value for key, value in row["label_logprobs"].items()}
        return estimators.Posterior.from_label_logprobs(
            listed, labels=reading.labels, parse=parse, temperature=temperature
        )
    if "resps" in row:
        return estimators.posterior_from_lm_eval(row, reading.parse)
    raise TraceFormatError("no samples, no label_logprobs, no resps.")


def listed_candidates(given: Any) -> list[Any] | None:
    """Return the `candidates` of a line if they are a list, None where it has none.

    Raises
    ------
    TraceFormatError
        If they are no list of texts, numbers or lists.
    """
    if given is not None and not (isinstance(given, list) and all(isinstance(one, _CANDIDATE) for one in given)):
        raise TraceFormatError(f"`candidates` must be a list of texts, numbers or lists, got {str(given)[:80]!r}.")
    return given


def _candidates(row: dict[str, Any], reading: Reading) -> list[Any] | None:
    """What may be answered: the `candidates` of a line, else its samples beside `pseudo_references`."""
    given = listed_candidates(row.get("candidates"))
    if given is None:
        if row.get("pseudo_references") is None:
            return None
        given = row.get("samples") or []
    read = (_as_value(value, reading) for value in given)
    return list(dict.fromkeys(value for value in read if value is not None))


def _read_traces(path: Path, reading: Reading, asked: Asked, layout: traces.Layout) -> None:
    stream = traces.read_traces(path, keep=["top_tokens"], format=layout)
    table = stream.read_all()
    for name in ("prompt_id", "trace_id"):
        if table[name].null_count < table.num_rows:
            table = table.set_column(table.schema.get_field_index("prompt_id"), "prompt_id", table[name])
            break
    is_drawn = all(file.format in _DRAWN for file in stream.report.files)
    try:
        found = estimators.posteriors_from_traces(
            table.drop_columns("top_tokens") if is_drawn and not table["top_tokens"].drop_null() else table,
            reading.parse,
            labels=reading.labels,
            field=reading.field,
            pattern=reading.pattern,
            fallback=reading.fallback,
        )
    except MissingLogprobsError as exc:
        raise ConfigError(f"{path}: {exc} (`--fallback samples`)") from exc
    asked.bad_lines += stream.report.bad_lines
    asked.n_bad += stream.report.n_bad
    asked.n_skipped += stream.report.n_skipped
    asked.n_damaged += stream.report.n_damaged
    asked.n_cut += stream.report.n_cut
    prompts, attributes = (table[name].to_pylist() for name in ("prompt_id", "attributes"))
    own = {str(prompt): dict(pairs or ()) for prompt, pairs in zip(prompts, attributes, strict=True)}
    for identity, posterior in found.items():
        asked.add(identity, posterior, _as_value(own[identity].get("greedy"), reading))
        truth = next((own[identity][key] for key in _TRUTHS[:3] if key in own[identity]), None)
        if truth is not None:
            asked.truths[identity] = truth


def _as_value(value: Any, reading: Reading) -> Any:
    """Read a truth or a greedy answer as the samples are read; lists are sets."""
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    return reading.plain(value) if isinstance(value, str) else value


def read_truths(files: Sequence[str], reading: Reading) -> dict[str, Any]:
    """Read right answers by id from JSONL, or from CSV with a header.

    Raises
    ------
    TraceFormatError
        If a line has no id or no truth, or the truth cannot be read.
    """
    truths: dict[str, Any] = {}
    for path in expand_files(list(files)):
        for number, row in _truth_rows(path):
            identity = next((row[key] for key in _IDS if row.get(key) not in (None, "")), None)
            truth = next((row[key] for key in _TRUTHS if row.get(key) not in (None, "")), None)
            value = _as_value(truth, reading)
            if identity is None or value is None:
                raise TraceFormatError(
                    f"{path}:{number}: a line needs an id ({', '.join(_IDS)}) and a readable truth "
                    f"({', '.join(_TRUTHS)}), got {str(row)[:120]}."
                )
            truths[str(identity)] = value
    return truths


def _truth_rows(path: Path) -> Any:
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    if text.lstrip()[:1] == "{":
        counts = Asked()
        yield from _objects(path, counts)
        if counts.bad_lines:
            raise TraceFormatError(counts.bad_lines[0])
        return
    reader = csv.DictReader(io.StringIO(text))
    for row in reader:
        yield reader.line_num, row
