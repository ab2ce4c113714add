"""Traffic over time: estimated and realised accuracy per slice and window, what changed, and alerts."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.display import Displayed
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    AccuracyChange,
    Estimate,
    LabelledAccuracy,
    NotEnoughData,
    Sentinel,
    Windows,
    cut_windows,
    decompose_change,
    ppi_mean,
)
from nilometer.traces import slice_names

from .alerts import Alert, Scores, below_alert, change_alerts, disagreement, fall_alert, mix_p_value

__all__ = ["Watch", "WatchOptions", "WindowSlice", "build_watch"]

Floats = NDArray[np.float64]
REFERENCE = "(reference)"


class WatchOptions(NamedTuple):
    """What to look for."""

    every: str = "day"
    """Windows, as in ``cut_windows``."""
    incomplete: str = "keep"
    below: float | None = None
    """Least accuracy, None asks for no alert about the level."""
    confidence_level: float = 0.95
    least_change: float = 0.02
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSlice:
    """One slice in one window."""

    window: str
    slice: str
    n: int
    share: float
    estimate: Estimate | NotEnoughData | None
    """None without a sentinel."""
    realized: LabelledAccuracy | None
    """From the labels of this window, None with fewer than 2."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Watch(Displayed):
    """Everything the verb ``watch`` shows, as numbers."""

    by: tuple[str, ...]
    windows: tuple[str, ...]
    rows: tuple[WindowSlice, ...]
    changes: tuple[tuple[str, AccuracyChange], ...]
    """Window and its change from the reference, split into mix and within."""
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        changes = [
            {"window": window, **change._asdict(), "slices": [row._asdict() for row in change.slices]}
            for window, change in self.changes
        ]
        return {**asdict(self), "changes": changes}


class _Traffic(NamedTuple):
    """One stretch of traffic, row by row."""

    profiles: pa.Table
    names: NDArray[np.str_]
    correct: Floats
    p_correct: Floats
    score: Floats
    clusters: NDArray[np.str_]

    def rows(self, mask: NDArray[np.bool_]) -> "_Traffic":
        return _Traffic(
            self.profiles.filter(pa.array(mask)),
            self.names[mask],
            self.correct[mask],
            self.p_correct[mask],
            self.score[mask],
            self.clusters[mask],
        )


def build_watch(
    profiles: pa.Table,
    is_reference: NDArray[np.bool_] | None,
    *,
    by: tuple[str, ...],
    correct: Floats,
    sentinel: Sentinel | None,
    options: WatchOptions,
) -> Watch:
    """Compare windows of traffic with a reference.

    Parameters
    ----------
    profiles
        From ``profile_traces``, with ``time``.
    is_reference
        Shape (n,), responses of the trusted period; None takes the first window.
    by
        Slice keys.
    correct
        Shape (n,), labels, NaN where there is none.
    sentinel
        Fitted; None compares scores and mix only.
    options
        Windows, threshold and levels.

    Raises
    ------
    NotEnoughDataError
        If there is no reference, or nothing to compare with it.
    """
    names = np.asarray(slice_names(profiles, by).to_pylist())
    score = _score(profiles)
    p_correct = np.full(len(names), np.nan) if sentinel is None else sentinel.predict_proba(profiles)[:, 1]
    clusters = np.array(
        [a or b for a, b in zip(*(profiles[c].to_pylist() for c in ("prompt_id", "trace_id")), strict=True)]
    )
    traffic = _Traffic(profiles, names, np.asarray(correct, dtype=np.float64), p_correct, score, clusters)
    times = profiles["time"].to_numpy()
    if is_reference is None:
        cut = cut_windows(times, by=options.every, incomplete=options.incomplete)
        is_reference = cut.place == 0
    reference, later = traffic.rows(is_reference), traffic.rows(~is_reference)
    if not len(reference.names) or not len(later.names):
        raise NotEnoughDataError(
            f"{len(reference.names)} responses are reference and {len(later.names)} are to be watched.",
            "Give traffic of both, or smaller windows with --every.",
        )
    windows = cut_windows(times[~is_reference], by=options.every, incomplete=options.incomplete)
    parts = [later.rows(windows.place == i) for i in range(len(windows.windows))]
    return _compare(reference, parts, by=by, sentinel=sentinel, windows=windows, options=options)


def _compare(
    reference: _Traffic,
    parts: list[_Traffic],
    *,
    by: tuple[str, ...],
    sentinel: Sentinel | None,
    windows: Windows,
    options: WatchOptions,
) -> Watch:
    labels = [window.name for window in windows.windows]
    slices = sorted(set(reference.names.tolist()).union(*(part.names.tolist() for part in parts)))
    rows = [
        row
        for window, part in zip([REFERENCE, *labels], [reference, *parts], strict=True)
        for row in _rows(part, window, sentinel, options=options)
    ]
    alerts = [
        *_change_alerts(reference, parts, slices, labels=labels, options=options),
        *_level_alerts(rows, parts, slices, labels=labels, options=options),
    ]
    changes = tuple((window, _change(rows, window, slices)) for window in labels) if sentinel is not None else ()
    off = {disagreement(row.estimate, row.realized) for row in rows if row.estimate is not None}
    notes = [*windows.notes, *sorted(off - {""})]
    if sentinel is None:
        notes.append("no sentinel: scores and mix are compared, not accuracy")
    return Watch(
        by=by,
        windows=tuple(labels),
        rows=tuple(rows),
        alerts=tuple(alerts),
        notes=tuple(notes),
        changes=tuple((window, change) for window, change in changes if change is not None),
    )


def _change_alerts(
    reference: _Traffic, parts: list[_Traffic], slices: list[str], *, labels: list[str], options: WatchOptions
) -> list[Alert]:
    """Compare every slice and the mix of each window with the reference."""
    before = _counts(reference, slices)
    windows = list(zip(labels, parts, strict=True))
    return change_alerts(
        [(name, window, _scores(reference, name), _scores(part, name)) for window, part in windows for name in slices],
        [(window, mix_p_value(before, _counts(part, slices))) for window, part in windows],
        confidence_level=options.confidence_level,
        least_change=options.least_change,
        rng=np.random.default_rng(options.seed),
    )


def _rows(part: _Traffic, window: str, sentinel: Sentinel | None, *, options: WatchOptions) -> Iterator[WindowSlice]:
    estimates = {} if sentinel is None else {row.slice: row for row in sentinel.estimate(part.profiles, by=part.names)}
    for name in sorted(set(part.names.tolist())):
        own = part.names == name
        yield WindowSlice(
            window=window,
            slice=name,
            n=int(own.sum()),
            share=float(own.mean()),
            estimate=estimates.get(name),
            realized=_realized(part.correct[own], part.p_correct[own], options.confidence_level),
        )


def _realized(correct: Floats, p_correct: Floats, confidence_level: float) -> LabelledAccuracy | None:
    """Accuracy by the labels of a window; probabilities that are not known count as their mean."""
    if (~np.isnan(correct)).sum() < 2:
        return None
    known = ~np.isnan(p_correct)
    filled = np.where(known, p_correct, p_correct[known].mean() if known.any() else 0.5)
    return ppi_mean(correct, filled, confidence_level=confidence_level)


def _level_alerts(
    rows: list[WindowSlice], parts: list[_Traffic], slices: list[str], *, labels: list[str], options: WatchOptions
) -> Iterator[Alert]:
    if options.below is None:
        return
    for row in rows:
        if row.window == REFERENCE or row.estimate is None:
            continue
        alert = below_alert(row.estimate, row.window, least=options.below)
        if alert is not None:
            yield alert
    rng = np.random.default_rng(options.seed)
    level = 1 - (1 - options.confidence_level) / len(slices)
    for name in slices:
        batches = [(window, *_batch(part, name)) for window, part in zip(labels, parts, strict=True)]
        alert = fall_alert(name, batches, least=options.below, confidence_level=level, rng=rng)
        if alert is not None:
            yield alert


def _batch(part: _Traffic, name: str) -> tuple[Floats, Floats]:
    own = part.names == name
    return part.correct[own], np.nan_to_num(part.p_correct[own], nan=0.5)


def _scores(part: _Traffic, name: str) -> Scores:
    own = part.names == name
    return Scores(part.p_correct[own], part.score[own], part.clusters[own])


def _counts(part: _Traffic, slices: list[str]) -> NDArray[np.int64]:
    """Prompts of each slice: several answers to one prompt came together and count once."""
    return np.array([len(set(part.clusters[part.names == name].tolist())) for name in slices], dtype=np.int64)


def _change(rows: list[WindowSlice], window: str, slices: list[str]) -> AccuracyChange | None:
    """Split the change from the reference; None where the accuracy of a slice with traffic is not known."""
    shares, accuracies = [], []
    for wanted in (REFERENCE, window):
        own = {row.slice: row for row in rows if row.window == wanted}
        if not all(isinstance(row.estimate, Estimate) for row in own.values()):
            return None
        shares.append(np.array([own[name].share if name in own else 0.0 for name in slices]))
        known = {name: row.estimate.accuracy for name, row in own.items() if isinstance(row.estimate, Estimate)}
        accuracies.append(np.array([known.get(name, np.nan) for name in slices]))
    return decompose_change((shares[0], shares[1]), (accuracies[0], accuracies[1]), names=np.array(slices))


def _score(profiles: pa.Table) -> Floats:
    """Largest token entropy, or the negative log-probability per token where there are no alternatives."""
    score: Floats = profiles["max"].to_numpy().astype(np.float64)
    return profiles["nll_avg"].to_numpy().astype(np.float64) if np.isnan(score).all() else score
