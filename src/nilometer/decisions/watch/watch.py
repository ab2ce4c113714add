"""Traffic over time: estimated and realised accuracy per slice and window, what changed, and alerts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Bools, Floats, Ints, Times
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
    fit_sentinel,
    labelled_mean,
)

from ..headline.basis import headline_rows
from ..headline.epochs import model_epochs
from ..headline.headline import headline_estimates
from .alerts import Alert, Scores, below_alert, change_alerts, disagreement, fall_alert, mix_p_value
from .events import Event, build_events
from .reasons import stretch_of

__all__ = ["Watch", "WatchOptions", "WindowSlice", "build_watch"]

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
    estimate: Estimate | NotEnoughData
    """From everything that is known: log-probabilities and the labels of this window."""
    realized: LabelledAccuracy | None
    """From the labels of this window alone, None with fewer than 2."""
    label_free: Estimate | NotEnoughData | None = None
    """Without the labels of this window; None where it was not asked for."""


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
    events: tuple[Event, ...] = ()
    """The alerts put together by cause, oldest first."""
    every: str = "day"
    """How the windows were cut."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        changes = [
            {"window": window, **change._asdict(), "slices": [row._asdict() for row in change.slices]}
            for window, change in self.changes
        ]
        events = [{**asdict(event), "sentence": event.sentence} for event in self.events]
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        alerts, rows = [asdict(alert) for alert in self.alerts], [_plain(row) for row in self.rows]
        return {**plain, "alerts": alerts, "changes": changes, "events": events, "rows": rows}


def _plain(row: WindowSlice) -> dict[str, Any]:
    parts = [None if part is None else headline_rows([part])[0] for part in (row.estimate, row.label_free)]
    realized = None if row.realized is None else asdict(row.realized)
    plain = {name: getattr(row, name) for name in row.__dataclass_fields__}
    return {**plain, "realized": realized, "estimate": parts[0], "label_free": parts[1]}


def build_watch(
    profiles: Any,
    is_reference: Bools | None = None,
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
        Fitted; None fits one on the labels of the reference, or on all labels where those are too few. Without labels
        scores and mix are compared only.
    options
        Windows, threshold and levels.

    Raises
    ------
    NotEnoughDataError
        If there is no reference, or nothing to compare with it.
    """
    options = options or WatchOptions()
    traffic = cut_responses(profiles, by, correct=correct)
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
    fit = _Fit(sentinel) if sentinel is not None else _fitted(traffic, is_reference, options.confidence_level)
    if fit.sentinel is not None:
        traffic = traffic.with_p_correct(fit.sentinel.predict_proba(traffic)[:, 1])
    windows = cut_windows(times[~is_reference], by=options.every, incomplete=options.incomplete)
    place = np.full(len(traffic), -1)
    place[~is_reference] = windows.place
    parts = [_Part(REFERENCE, traffic, np.flatnonzero(is_reference))]
    parts += [_Part(w.name, traffic, np.flatnonzero(place == i)) for i, w in enumerate(windows.windows)]
    rows = _all_rows(parts, traffic, fit, is_reference=is_reference, options=options)
    dates, n_watched = _dates(times[is_reference]), len(traffic) - n_reference
    counted = f"{n_reference:,} responses are the reference{dates}, {n_watched:,} are watched"
    notes = [counted, *windows.notes, *filter(None, (fit.note,))]
    return _compare(parts, rows, notes=notes, options=options)


def _dates(times: Times) -> str:
    known = times[~np.isnat(times)].astype("datetime64[D]")
    return f" ({known.min()} to {known.max()})" if known.size else ""


class _Fit(NamedTuple):
    """The sentinel of a watch, and what it was fitted on."""

    sentinel: Sentinel | None
    note: str = ""
    is_of_reference: bool = False
    """Whether it is known to have learned from labels of the reference alone."""


def _fitted(traffic: Responses, is_reference: Bools, confidence_level: float) -> _Fit:
    """Fit on the labels of the reference, else on all; None where the labels do not allow it."""
    wanted = Sentinel(confidence_level=confidence_level)
    if not traffic.n_labels:
        return _Fit(None, "no sentinel and no labels: scores and mix are compared, not accuracy")
    try:
        fitted = fit_sentinel(traffic.rows(is_reference), wanted)[0]
    except NotEnoughDataError:
        pass
    else:
        return _Fit(fitted, "the sentinel is fitted on labels of the reference", is_of_reference=True)
    try:
        said = "the reference has too few labels for a fit, so the sentinel is fitted on all labels"
        return _Fit(fit_sentinel(traffic, wanted)[0], said)
    except NotEnoughDataError as exc:
        why = str(exc).rstrip(".")
        return _Fit(None, f"no sentinel ({why}): accuracy is from the labels of each window alone")


class _Part:
    """The responses of one window, with the rows and scores of every slice at hand."""

    def __init__(self, window: str, traffic: Responses, rows: Ints) -> None:
        self.window, self.rows = window, rows
        self.responses = traffic.rows(rows)
        self._score, self._prompts = self.responses.profiles.score, self.responses.prompts
        self.slices = dict(self.responses.slices.rows())

    def scores(self, name: str) -> Scores:
        """Return what is compared of one slice."""
        rows = self.slices.get(name, np.empty(0, dtype=np.int64))
        return Scores(self.responses.p_correct[rows], self._score[rows], self._prompts[rows])

    def counts(self, slices: Sequence[str]) -> Ints:
        """Prompts of each slice: several answers to one prompt came together and count once."""
        return np.array([np.unique(self.scores(name).clusters).size for name in slices], dtype=np.int64)


def _compare(
    parts: Sequence[_Part], rows: Sequence[WindowSlice], *, notes: Sequence[str], options: WatchOptions
) -> Watch:
    slices = sorted(set().union(*(part.slices for part in parts)))
    alerts = [*_change_alerts(parts, slices, options=options), *_level_alerts(rows, parts, slices, options=options)]
    windows = tuple(part.window for part in parts[1:])
    changes = tuple((window, _change(rows, window, slices)) for window in windows)
    later = [row for row in rows if row.window != REFERENCE]
    off = {disagreement(row.label_free, row.realized) for row in later if row.label_free is not None}
    stretches = [stretch_of(part.window, part.responses) for part in parts]
    by_place = {(row.window, row.slice): row for row in rows}
    return Watch(
        by=parts[0].responses.keys,
        windows=windows,
        rows=tuple(rows),
        alerts=tuple(alerts),
        notes=(*notes, *sorted(off - {""})),
        changes=tuple((window, change) for window, change in changes if change is not None),
        events=build_events(alerts, stretches, by_place, slices=slices),
        every=options.every,
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


def _all_rows(
    parts: Sequence[_Part],
    traffic: Responses,
    fit: _Fit,
    *,
    is_reference: Bools,
    options: WatchOptions,
) -> list[WindowSlice]:
    """Rows of every window; labels of before a change of the model do not speak for windows after it."""
    epochs = model_epochs(traffic).place
    trusted = np.unique(epochs[is_reference & traffic.is_labelled])
    trusted = trusted if trusted.size else np.unique(epochs[is_reference])
    rows: list[WindowSlice] = []
    for part in parts:
        is_after = not np.isin(epochs[part.rows], trusted).any()
        is_new = is_after or part.window == REFERENCE
        left_out = True if is_new else False if fit.is_of_reference else None
        rows += _rows(part, fit.sentinel, left_out=left_out, options=options)
    return rows


def _rows(
    part: _Part, sentinel: Sentinel | None, *, left_out: bool | None, options: WatchOptions
) -> Iterator[WindowSlice]:
    own = part.responses
    blank = own.with_p_correct(np.full(len(own), np.nan))
    level = options.confidence_level
    found = headline_estimates(sentinel, blank, left_out=left_out, confidence_level=level)
    label_free = {row.slice: row for row in found.label_free}
    for row in found.estimates:
        labels = own.correct[part.slices[row.slice]]
        yield WindowSlice(
            window=part.window,
            slice=row.slice,
            n=row.n,
            share=row.n / len(own),
            estimate=row,
            realized=labelled_mean(labels, confidence_level=level) if (~np.isnan(labels)).sum() > 1 else None,
            label_free=label_free[row.slice],
        )


def _level_alerts(
    rows: Sequence[WindowSlice], parts: Sequence[_Part], slices: Sequence[str], *, options: WatchOptions
) -> Iterator[Alert]:
    if options.below is None:
        return
    for row in rows:
        if row.window == REFERENCE:
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
