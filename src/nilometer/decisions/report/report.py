"""The report as numbers: estimates per slice and what a reader needs to judge them."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nilometer.display import Displayed
from nilometer.errors import MissingLogprobsError
from nilometer.estimators import (
    LEAST_SLICES,
    Estimate,
    NotEnoughData,
    Sentinel,
    SliceEstimates,
    labelled_accuracies,
    left_out_probabilities,
    with_other_models,
)
from nilometer.traces import attribute_keys, slice_names

from ..watch.watch import Watch
from .outlook import Outlook, build_outlook, watch_outlook
from .overall import ALL_TRAFFIC

__all__ = ["Curve", "Example", "Report", "build_report", "choose_families", "choose_keys", "short_name"]

_USUAL_KEYS = ("domain", "task", "dataset", "tenant", "route")
_BINS, _FIRST_LABELS = 10, 100
_DECILES = tuple(f"decile_{i}" for i in range(10))


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart: name, x and y, with the band y ± half."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    half: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """One answer with the entropy of each of its tokens, in nats."""

    trace_id: str
    slice: str
    prompt: str | None
    tokens: tuple[str, ...]
    entropies: tuple[float, ...]
    correct: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Report(Displayed):
    """Everything the pages show, as numbers."""

    by: tuple[str, ...]
    n: int
    n_labels: int
    method: str
    confidence_level: float
    estimates: SliceEstimates
    ranking: tuple[tuple[str, int, float], ...] = ()
    """Without labels and sentinel: slice, responses and mean largest entropy, most unsure first."""
    entropy_curves: tuple[Curve, ...] = ()
    calibration: Curve | None = None
    scores: tuple[Curve, ...] = ()
    examples: tuple[Example, ...] = ()
    diagnosis: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    outlook: Outlook | None = None
    """Labels counted in, and what to label and to acquire next; None for a ranking."""
    watch: Watch | None = None
    """Windows of time and alerts, where the responses have times."""
    inputs: str = "FILES"
    """Files, labels and sentinel as words of a shell, so that the commands below can be pasted."""

    @property
    def overall(self) -> Estimate | NotEnoughData:
        """Accuracy of all traffic."""
        if self.outlook is not None and self.outlook.overall is not None:
            return self.outlook.overall
        why = ("No labels and no sentinel.", "Label some hundred responses.")
        return NotEnoughData(slice=ALL_TRAFFIC, n=self.n, reason=why[0], needed=why[1], n_labels=self.n_labels)

    @property
    def best_estimates(self) -> SliceEstimates:
        """The estimates with everything that is known counted in."""
        return self.estimates if self.outlook is None else self.outlook.estimates

    @property
    def label_command(self) -> str:
        """The command that names the responses of the planned labels."""
        n = self.outlook.budget if self.outlook else _FIRST_LABELS
        return f"nilometer plan label {self.inputs} --by {shlex.quote(','.join(self.by))} --budget {n} --out plan.jsonl"

    @property
    def watch_command(self) -> str:
        """The command that follows the slices over time."""
        return f"nilometer watch {self.inputs} --by {shlex.quote(','.join(self.by))} --out watch.html"

    @property
    def acquire_command(self) -> str:
        """The command that plans examples with costs of one's own."""
        n = self.outlook.n_examples if self.outlook else 0
        return f"nilometer plan acquire {self.inputs} --by {shlex.quote(','.join(self.by))} --budget {n}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "estimates"}
        plain["entropy_curves"] = [asdict(curve) for curve in self.entropy_curves]
        plain["scores"] = [asdict(curve) for curve in self.scores]
        plain["calibration"] = asdict(self.calibration) if self.calibration else None
        plain["examples"] = [asdict(example) for example in self.examples]
        if self.outlook is not None:
            rows = {key: [asdict(row) for row in getattr(self.outlook, key)] for key in ("plan", "acquisition")}
            plain["outlook"] = {**self.outlook._asdict(), **rows, "estimates": self.outlook.estimates.to_dicts()}
            del plain["outlook"]["overall"]
        plain["watch"] = self.watch.to_dict() if self.watch else None
        return {**plain, "estimates": self.estimates.to_dicts(), "overall": asdict(self.overall)}


def choose_keys(profiles: pa.Table, keys: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Slice keys to use and, where none were asked for, a sentence on which were taken."""
    if keys:
        return tuple(keys), ""
    found = attribute_keys(profiles)
    usual = [key for key in _USUAL_KEYS if key in found][:1] or ["model"]
    return tuple(usual), f"no --by was given, so slices are by {usual[0]}"


def short_name(name: str, by: Sequence[str]) -> str:
    """Leave the keys out of a slice name, for tables whose heading names them.

    Examples
    --------
    >>> short_name("domain=gcd, level=1", ("domain", "level"))
    'gcd, 1'
    """
    for key in by if len(by) > 1 else ():
        name = re.sub(rf"(^|, ){re.escape(key)}=", r"\1", name, count=1)
    return name


def choose_families(
    profiles: pa.Table, keys: Sequence[str], correct: NDArray[np.float32]
) -> tuple[NDArray[np.str_] | None, str]:
    """Family of every response, by the first of several slice keys, and a sentence that says so.

    None where there is one key only, or where the first has too few labelled values to leave any out.
    """
    if len(keys) < 2:
        return None, ""
    families = np.asarray(slice_names(profiles, keys[:1]).to_pylist())
    n_families = len(set(families[~np.isnan(correct)].tolist()))
    if n_families < LEAST_SLICES:
        few = f"only {n_families} values of {keys[0]} have labels, so slices of one {keys[0]} are taken as independent"
        return None, f"{few}; intervals may be too narrow for a new {keys[0]}"
    return families, f"intervals are made from {n_families} labelled values of {keys[0]}, each left out whole"


def build_report(
    profiles: pa.Table,
    *,
    by: Sequence[str],
    correct: NDArray[np.float32],
    sentinel: Sentinel | None = None,
    others: Sequence[Sentinel] = (),
    extra: dict[str, Any] | None = None,
) -> Report:
    """Estimate the accuracy of every slice and gather what the report shows.

    Parameters
    ----------
    profiles
        From ``profile_traces``.
    by
        Slice keys; empty chooses one.
    correct
        Shape (n,), labels where known, NaN elsewhere.
    sentinel
        A fitted one, or one with the wanted parameters that is fitted on the labelled responses; None is the
        default. Without labels and without a fitted sentinel the report holds only a ranking by uncalibrated entropy.
    others
        Fitted sentinels of other models or earlier versions, by the same keys; see ``with_other_models``.
    extra
        ``examples`` and ``diagnosis`` to be shown with it.

    Raises
    ------
    MissingLogprobsError
        If no response has log-probabilities.
    NotEnoughDataError
        If the labels do not allow a fit.
    """
    _check_logprobs(profiles)
    keys, note = choose_keys(profiles, by)
    names = np.asarray(slice_names(profiles, keys).to_pylist())
    notes = [note] if note else []
    n_labels = int((~np.isnan(correct)).sum())
    shared: dict[str, Any] = {"by": keys, "n": len(profiles), "n_labels": n_labels, **(extra or {})}
    fitted = sentinel or Sentinel()
    is_fitted = hasattr(fitted, "fitted_")
    if not is_fitted and not n_labels:
        return _ranked(profiles, names, shared, notes=notes, confidence_level=fitted.confidence_level)
    if not is_fitted:
        families, said = choose_families(profiles, keys, correct)
        notes.append(said)
        fitted.fit(profiles, correct, groups=names, families=families)
    estimates, said = _estimates(fitted, profiles, names, correct=correct, others=others)
    watch, watched = watch_outlook(fitted, profiles, keys, correct=correct)
    return Report(
        **shared,
        method="constant" if fitted.falls_back_ else fitted.plan_.name,
        confidence_level=fitted.confidence_level,
        estimates=estimates,
        outlook=build_outlook(fitted, profiles, names, correct=correct, estimates=estimates),
        watch=watch,
        entropy_curves=_entropy_curves(profiles, correct),
        calibration=_calibration(fitted),
        scores=_scores(profiles, correct),
        notes=tuple(filter(None, (*notes, said, *fitted.notes_, *_assumptions(fitted), watched))),
    )


def _ranked(
    profiles: pa.Table,
    names: NDArray[np.str_],
    shared: dict[str, Any],
    *,
    notes: Sequence[str],
    confidence_level: float,
) -> Report:
    """Return all that can be said without labels and without a sentinel: a ranking."""
    why = "no labels and no --sentinel: slices are ranked by entropy, uncalibrated; give --labels"
    return Report(
        **shared,
        method="uncalibrated ranking",
        confidence_level=confidence_level,
        estimates=SliceEstimates([]),
        ranking=_ranking(profiles, names),
        notes=(*notes, why),
    )


def _check_logprobs(profiles: pa.Table) -> None:
    if np.isnan(profiles["nll_sum"].to_numpy()).all() and np.isnan(profiles["max"].to_numpy()).all():
        raise MissingLogprobsError(
            f"none of the {len(profiles):,} responses has log-probabilities. "
            "Ask the provider for them (`logprobs=true, top_logprobs=20`); `nilometer doctor` says more."
        )


def _estimates(
    sentinel: Sentinel,
    profiles: pa.Table,
    names: NDArray[np.str_],
    *,
    correct: NDArray[np.float32],
    others: Sequence[Sentinel],
) -> tuple[SliceEstimates, str]:
    estimates = sentinel.estimate(profiles, by=names, correct=correct)
    if not others:
        return estimates, ""
    known = [labelled_accuracies(other) for other in others]
    return with_other_models(estimates, known, confidence_level=sentinel.confidence_level)[:2]


def _assumptions(sentinel: Sentinel) -> tuple[str, ...]:
    return (
        f"fitted on {sentinel.n_labels_:,} labels in {len(sentinel.slices_)} slices; a labelled slice is estimated "
        "without its own labels",
        "an interval holds if the slice is exchangeable with the labelled ones; answers that are wrong with "
        "confidence are not seen by log-probabilities",
    )


def _ranking(profiles: pa.Table, names: NDArray[np.str_]) -> tuple[tuple[str, int, float], ...]:
    values = profiles["max"].to_numpy()
    values = profiles["nll_max"].to_numpy() if np.isnan(values).all() else values
    rows = []
    for name in np.unique(names):
        own = values[names == name]
        known = own[~np.isnan(own)]
        rows.append((str(name), int(own.size), float(known.mean()) if known.size else float("inf")))
    return tuple(sorted(rows, key=lambda row: -row[2]))


def _groups(correct: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    if np.isnan(correct).all():
        return {"all answers": np.ones(len(correct), dtype=bool)}
    return {"correct": correct >= 0.5, "wrong": correct < 0.5}


def _entropy_curves(profiles: pa.Table, correct: NDArray[np.float32]) -> tuple[Curve, ...]:
    matrix = np.stack([profiles[name].to_numpy() for name in _DECILES], axis=1).astype(np.float64)
    curves = []
    for name, rows in _groups(correct).items():
        own = matrix[rows]
        own = own[~np.isnan(own).any(axis=1)]
        if len(own) > 1:
            half = 1.96 * own.std(axis=0, ddof=1) / np.sqrt(len(own))
            x = tuple((i + 0.5) / 10 for i in range(10))
            curves.append(Curve(name, x, tuple(own.mean(axis=0).tolist()), tuple(half.tolist())))
    return tuple(curves)


def _calibration(sentinel: Sentinel) -> Curve | None:
    probabilities, labels = left_out_probabilities(sentinel.labelled_, sentinel.left_out_)
    if not probabilities.size:
        return None
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, _BINS + 1)))
    place = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, max(len(edges) - 2, 0))
    bins = [place == i for i in np.unique(place)]
    x = tuple(float(probabilities[own].mean()) for own in bins)
    y = tuple(float(labels[own].mean()) for own in bins)
    half = tuple(float(1.96 * np.sqrt(m * (1 - m) / own.sum())) for m, own in zip(y, bins, strict=True))
    return Curve("leave-one-family-out", x, y, half)


def _scores(profiles: pa.Table, correct: NDArray[np.float32]) -> tuple[Curve, ...]:
    values = profiles["max"].to_numpy().astype(np.float64)
    known = values[~np.isnan(values)]
    if not known.size or known.min() == known.max():
        return ()
    edges = np.linspace(0, float(known.max()), 25)
    centres = tuple(((edges[1:] + edges[:-1]) / 2).tolist())
    curves = []
    for name, rows in _groups(correct).items():
        own = values[rows & ~np.isnan(values)]
        if own.size:
            curves.append(Curve(name, centres, tuple((np.histogram(own, edges)[0] / own.size).tolist())))
    return tuple(curves)
