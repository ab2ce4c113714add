"""Alerts put together: one event for each cause, with its start, its slices, its size and the likely reason."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nilometer.estimators import Estimate

from .alerts import Alert
from .reasons import Stretch, likely_reasons

__all__ = ["Event", "build_events"]

ALL = "(all)"
_LEVEL = ("estimate below", "accuracy fell")
_MIX = "mix changed"
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: alerts of one cause."""

    kind: str
    """``accuracy fell``, ``accuracy rose``, ``answers changed``, ``mix changed`` or ``accuracy below``."""
    start: str
    """First window with an alert."""
    end: str
    """Last window with an alert."""
    slices: tuple[str, ...]
    """Slices with an alert; ``(all)`` for a change of the mix."""
    n_slices: int
    """Slices that were looked at."""
    before: float | None
    """Accuracy of these slices in the reference, None where it is not known."""
    after: float | None
    """And in the windows from start to end."""
    reasons: tuple[str, ...]
    """What else changed with it in the data, the likeliest first."""
    alerts: tuple[Alert, ...]
    """The evidence."""

    @property
    def sentence(self) -> str:
        """Say what happened, since when, where, by how much and the likely reason."""
        return self.told(dict(zip(self.slices, self.slices, strict=True)))

    def told(self, names: Mapping[str, str]) -> str:
        """The same with other names of the slices."""
        where = "" if self.slices == (ALL,) else f" in {self._where(names)}"
        until = f"Since {self.start}" if self.start != self.end else f"In {self.start}"
        what = {"mix changed": "the mix of slices changed"}.get(self.kind, self.kind)
        size = ""
        if self.before is not None and self.after is not None and self.kind != "answers changed":
            size = f", from {self.before:.2f} to {self.after:.2f}"
        why = f" Likely reason: {'; '.join(self.reasons)}." if self.reasons else " The data show no reason."
        return f"{until}: {what}{where}{size}.{why}"

    def _where(self, names: Mapping[str, str]) -> str:
        if len(self.slices) == self.n_slices and self.n_slices > 1:
            return f"all {self.n_slices:,} slices"
        if len(self.slices) <= _NAMED:
            said = ", ".join(names.get(name, name) for name in self.slices)
            return f"{said} ({len(self.slices):,} of {self.n_slices:,} slices)" if self.n_slices > 1 else said
        return f"{len(self.slices):,} of {self.n_slices:,} slices"


@dataclass(frozen=True, slots=True)
class _Run:
    """Alerts of one slice in windows that follow each other, one quiet window between them at most."""

    slice: str
    first: int
    last: int
    alerts: tuple[Alert, ...]

    @property
    def is_change(self) -> bool:
        return any(alert.kind not in _LEVEL for alert in self.alerts)


def build_events(
    alerts: Sequence[Alert], stretches: Sequence[Stretch], rows: Mapping[tuple[str, str], Any], *, slices: Sequence[str]
) -> tuple[Event, ...]:
    """Put alerts of one cause together.

    Alerts of a slice in windows that follow each other are one run. Runs that begin in the same window, or in the one
    after it, have one cause, and so have all that begin after the model was changed and before it is changed again.
    Slices that became better and slices that became worse are told apart, and so is a change of the mix.

    Parameters
    ----------
    alerts
        Of one watch.
    stretches
        The reference, then every window in order of time.
    rows
        Rows of the watch by window and slice.
    slices
        All that were looked at.
    """
    place = {stretch.window: i for i, stretch in enumerate(stretches)}
    by_slice: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_slice.setdefault(alert.slice, []).append(alert)
    runs = [run for name, own in by_slice.items() for run in _runs(name, own, place)]
    changed = [i for i in range(1, len(stretches)) if stretches[i].models != stretches[i - 1].models]
    found: list[Event] = []
    for group in _groups(runs, changed):
        for kind, own in _by_kind(group):
            found.append(_event(kind, own, stretches, rows=rows, n_slices=len(slices)))
    return tuple(sorted(found, key=lambda event: (place[event.start], event.kind)))


def _runs(name: str, alerts: Sequence[Alert], place: Mapping[str, int]) -> Iterable[_Run]:
    own = sorted(alerts, key=lambda alert: place[alert.window])
    start = 0
    for i in range(1, len(own) + 1):
        if i == len(own) or place[own[i].window] - place[own[i - 1].window] > 2:
            yield _Run(name, place[own[start].window], place[own[i - 1].window], tuple(own[start:i]))
            start = i


def _groups(runs: Sequence[_Run], changed: Sequence[int]) -> Iterable[list[_Run]]:
    """Runs of one cause, those of the mix by themselves."""
    for is_mix in (False, True):
        group: list[_Run] = []
        for run in sorted((run for run in runs if (run.slice == ALL) is is_mix), key=lambda run: run.first):
            if group and not _is_same_cause(group, run, changed):
                yield group
                group = []
            group.append(run)
        if group:
            yield group


def _is_same_cause(group: Sequence[_Run], run: _Run, changed: Sequence[int]) -> bool:
    start = group[0].first
    latest = max((at for at in changed if at <= run.first), default=None)
    if latest is not None and latest > start:
        return False  # the model was changed in between
    return run.first - group[-1].first <= 1 or latest is not None


def _by_kind(group: Sequence[_Run]) -> Iterable[tuple[str, list[_Run]]]:
    by_kind: dict[str, list[_Run]] = {}
    for run in group:
        by_kind.setdefault(_kind(run), []).append(run)
    moved = max(("accuracy fell", "accuracy rose"), key=lambda kind: len(by_kind.get(kind, ())))
    if moved in by_kind:  # scores that drifted in the other slices are part of it
        by_kind[moved] += by_kind.pop("answers changed", [])
    yield from by_kind.items()


def _kind(run: _Run) -> str:
    if run.slice == ALL:
        return _MIX
    if not run.is_change:
        return "accuracy below"
    if all(alert.kind == "scores drifted" for alert in run.alerts):
        return "answers changed"
    change = sum(alert.change for alert in run.alerts if alert.change is not None)
    return "accuracy rose" if change > 0 else "accuracy fell"


def _accuracies(
    runs: Sequence[_Run], stretches: Sequence[Stretch], rows: Mapping[tuple[str, str], Any]
) -> tuple[float | None, float | None]:
    """Accuracy of the slices in the reference and from start to end, weighted by responses."""
    names = {run.slice for run in runs}
    first, last = min(run.first for run in runs), max(run.last for run in runs)
    reference = [(stretches[0].window, name) for name in names]
    later = [(stretches[i].window, name) for i in range(first, last + 1) for name in names]
    before, after = (
        [rows[key] for key in keys if key in rows and isinstance(rows[key].estimate, Estimate)]
        for keys in (reference, later)
    )
    return _mean(before), _mean(after)


def _mean(rows: Sequence[Any]) -> float | None:
    n = sum(row.n for row in rows)
    return sum(row.n * row.estimate.accuracy for row in rows) / n if n else None


def _event(
    kind: str,
    runs: Sequence[_Run],
    stretches: Sequence[Stretch],
    *,
    rows: Mapping[tuple[str, str], Any],
    n_slices: int,
) -> Event:
    first, last = min(run.first for run in runs), max(run.last for run in runs)
    names = tuple(sorted({run.slice for run in runs}))
    before, after = (None, None) if kind == _MIX else _accuracies(runs, stretches, rows)
    return Event(
        kind=kind,
        start=stretches[first].window,
        end=stretches[last].window,
        slices=names,
        n_slices=n_slices,
        before=before,
        after=after,
        reasons=() if kind == "accuracy below" else likely_reasons(stretches, first, last, slices=names),
        alerts=tuple(alert for run in runs for alert in run.alerts),
    )
