"""Traffic over time: estimated and realised accuracy per slice and window, what changed, and alerts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.display import Displayed
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    AccuracyChange,
    Estimate,
    LabelledAccuracy,
    NotEnoughData,
    Responses,
    Sentinel,
    cut_responses,
    cut_windows,
    decompose_change,
    ppi_mean,
)

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


def build_watch(
    profiles: Any,
    is_reference: NDArray[np.bool_] | None = None,
    *,
    by: Sequence[str] = (),
    correct: Any = None,
    sentinel: Sentinel | None = None,
    options: WatchOptions | None = None,
) -> Watch:
    """Compare windows of traffic with a reference.

    Parameters
    ----------
    profiles
        From ``profile_traces`` with ``time`` (Arrow, polars, pandas), or ``Responses`` of ``cut_responses``, which hold
        keys and labels already.
    is_reference
        Shape (n,), responses of the trusted period; None takes the first window.
    by
        Slice keys; empty chooses one.
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
    options = options or WatchOptions()
    traffic = cut_responses(profiles, by, correct=correct)
    p_correct = np.full(len(traffic), np.nan) if sentinel is None else sentinel.predict_proba(traffic)[:, 1]
    traffic = traffic.with_p_correct(p_correct)
    times = traffic.times
    if is_reference is None:
        cut = cut_windows(times, by=options.every, incomplete=options.incomplete)
        is_reference = cut.place == 0
    n_reference = int(is_reference.sum())
    if n_reference in {0, len(traffic)}:
        raise NotEnoughDataError(
            f"{n_reference} responses are reference and {len(traffic) - n_reference} are to be watched.",
            "Give traffic of both, or smaller windows.",
        )
    windows = cut_windows(times[~is_reference], by=options.every, incomplete=options.incomplete)
    place = np.full(len(traffic), -1)
    place[~is_reference] = windows.place
    parts = [_Part(REFERENCE, traffic, np.flatnonzero(is_reference))]
    parts += [_Part(w.name, traffic, np.flatnonzero(place == i)) for i, w in enumerate(windows.windows)]
    return _compare(parts, sentinel, notes=windows.notes, options=options)


class _Part:
    """The responses of one window, with the rows and scores of every slice at hand."""

    def __init__(self, window: str, traffic: Responses, rows: NDArray[np.int64]) -> None:
        self.window = window
        self.responses = traffic.rows(rows)
        self._score, self._prompts = self.responses.profiles.score, self.responses.prompts
        self.slices = dict(self.responses.slices.rows())

    def scores(self, name: str) -> Scores:
        """Return what is compared of one slice."""
        rows = self.slices.get(name, np.empty(0, dtype=np.int64))
        return Scores(self.responses.p_correct[rows], self._score[rows], self._prompts[rows])

    def counts(self, slices: Sequence[str]) -> NDArray[np.int64]:
        """Prompts of each slice: several answers to one prompt came together and count once."""
        return np.array([np.unique(self.scores(name).clusters).size for name in slices], dtype=np.int64)


def _compare(
    parts: Sequence[_Part], sentinel: Sentinel | None, *, notes: Sequence[str], options: WatchOptions
) -> Watch:
    slices = sorted(set().union(*(part.slices for part in parts)))
    rows = [row for part in parts for row in _rows(part, sentinel, options=options)]
    alerts = [*_change_alerts(parts, slices, options=options), *_level_alerts(rows, parts, slices, options=options)]
    windows = tuple(part.window for part in parts[1:])
    changes = tuple((window, _change(rows, window, slices)) for window in windows) if sentinel is not None else ()
    off = {disagreement(row.estimate, row.realized) for row in rows if row.estimate is not None}
    said = () if sentinel is not None else ("no sentinel: scores and mix are compared, not accuracy",)
    return Watch(
        by=parts[0].responses.keys,
        windows=windows,
        rows=tuple(rows),
        alerts=tuple(alerts),
        notes=(*notes, *sorted(off - {""}), *said),
        changes=tuple((window, change) for window, change in changes if change is not None),
    )


def _change_alerts(parts: Sequence[_Part], slices: Sequence[str], *, options: WatchOptions) -> list[Alert]:
    """Compare every slice and the mix of each window with the reference."""
    reference, later = parts[0], parts[1:]
    before, counts = {name: reference.scores(name) for name in slices}, reference.counts(slices)
    return change_alerts(
        [(name, part.window, before[name], part.scores(name)) for part in later for name in slices],
        [(part.window, mix_p_value(counts, part.counts(slices))) for part in later],
        confidence_level=options.confidence_level,
        least_change=options.least_change,
        rng=np.random.default_rng(options.seed),
    )


def _rows(part: _Part, sentinel: Sentinel | None, *, options: WatchOptions) -> Iterator[WindowSlice]:
    own = part.responses
    estimates = {} if sentinel is None else {row.slice: row for row in sentinel.estimate(own.unlabelled)}
    for name, rows in part.slices.items():
        yield WindowSlice(
            window=part.window,
            slice=name,
            n=len(rows),
            share=len(rows) / len(own),
            estimate=estimates.get(name),
            realized=_realized(own.correct[rows], own.p_correct[rows], options.confidence_level),
        )


def _realized(correct: Floats, p_correct: Floats, confidence_level: float) -> LabelledAccuracy | None:
    """Accuracy by the labels of a window; probabilities that are not known count as their mean."""
    if (~np.isnan(correct)).sum() < 2:
        return None
    known = ~np.isnan(p_correct)
    filled = np.where(known, p_correct, p_correct[known].mean() if known.any() else 0.5)
    return ppi_mean(correct, filled, confidence_level=confidence_level)


def _level_alerts(
    rows: Sequence[WindowSlice], parts: Sequence[_Part], slices: Sequence[str], *, options: WatchOptions
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
        batches = [(part.window, *_batch(part, name)) for part in parts[1:]]
        alert = fall_alert(name, batches, least=options.below, confidence_level=level, rng=rng)
        if alert is not None:
            yield alert


def _batch(part: _Part, name: str) -> tuple[Floats, Floats]:
    rows = part.slices.get(name, np.empty(0, dtype=np.int64))
    return part.responses.correct[rows], np.nan_to_num(part.responses.p_correct[rows], nan=0.5)


def _change(rows: Sequence[WindowSlice], window: str, slices: Sequence[str]) -> AccuracyChange | None:
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
