"""The report as numbers: estimates per slice and what a reader needs to judge them."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from nilometer.display import Displayed
from nilometer.errors import MissingLogprobsError, NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    NotEnoughData,
    Profiles,
    Responses,
    Sentinel,
    SliceEstimates,
    cut_responses,
    fit_sentinel,
    is_fitted,
)

from ..headline.basis import basis_of, headline_rows
from ..headline.headline import current_headline, headline_estimates
from ..headline.overall import ALL_TRAFFIC
from ..plans.slices import mean_scores
from ..watch.watch import Watch
from .curves import Curve, calibration_curve, entropy_curves, score_curves
from .outlook import Outlook, build_outlook, watch_outlook

__all__ = ["Example", "Report", "build_report", "short_name"]

_LEAST_LABELS = 2


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
    """One number for every slice, from everything that is known."""
    label_free: SliceEstimates = field(default_factory=lambda: SliceEstimates([]))
    """The part of it that does not use the labels of the slice."""
    overall: Estimate | NotEnoughData
    """Accuracy of all traffic."""
    ranking: tuple[tuple[str, int, float], ...] = ()
    """Without labels and sentinel: slice, responses and mean largest entropy, most unsure first."""
    entropy_curves: tuple[Curve, ...] = ()
    calibration: Curve | None = None
    scores: tuple[Curve, ...] = ()
    examples: tuple[Example, ...] = ()
    diagnosis: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    outlook: Outlook | None = None
    """What to label and acquire next; None for a ranking."""
    watch: Watch | None = None
    """Windows of time and alerts, where the responses have times."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        own = {"estimates", "label_free", "overall"}
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in own}
        plain["entropy_curves"] = [asdict(curve) for curve in self.entropy_curves]
        plain["scores"] = [asdict(curve) for curve in self.scores]
        plain["calibration"] = asdict(self.calibration) if self.calibration else None
        plain["examples"] = [asdict(example) for example in self.examples]
        if self.outlook is not None:
            rows = {key: [asdict(row) for row in getattr(self.outlook, key)] for key in ("plan", "acquisition")}
            plain["outlook"] = {**self.outlook._asdict(), **rows}
        plain["watch"] = self.watch.to_dict() if self.watch else None
        return {
            **plain,
            "estimates": headline_rows(self.estimates),
            "label_free": headline_rows(self.label_free),
            "overall": {**asdict(self.overall), "basis": basis_of(self.overall)},
        }


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


def build_report(
    profiles: Any,
    *,
    by: Sequence[str] = (),
    correct: Any = None,
    sentinel: Sentinel | None = None,
    others: Sequence[Sentinel] = (),
    extra: dict[str, Any] | None = None,
) -> Report:
    """Estimate the accuracy of every slice and gather what the report shows.

    Parameters
    ----------
    profiles
        From ``profile_traces`` (Arrow, polars, pandas), or ``Responses`` of ``cut_responses``, which hold keys and
        labels already.
    by
        Slice keys; empty chooses one.
    correct
        Shape (n,), labels where known, NaN elsewhere.
    sentinel
        A fitted one, or one with the wanted parameters of which a clone is fitted on the labelled responses; None is
        the default. Without labels and without a fitted sentinel the report holds only a ranking by uncalibrated
        entropy.
    others
        Fitted sentinels of other models or earlier versions, by the same keys; see ``with_other_models``.
    extra
        ``examples`` and ``diagnosis`` to be shown with it.

    Raises
    ------
    MissingLogprobsError
        If no response has log-probabilities.
    NotEnoughDataError
        If the labels do not allow a fit and no slice has two.
    """
    responses = cut_responses(profiles, by, correct=correct)
    _check_logprobs(responses.profiles)
    shared: dict[str, Any] = {
        "by": responses.keys,
        "n": len(responses),
        "n_labels": responses.n_labels,
        **(extra or {}),
    }
    wanted = sentinel or Sentinel()
    saved = wanted if is_fitted(wanted) else None
    if saved is None and not responses.n_labels:
        return _ranked(responses, shared, confidence_level=wanted.confidence_level)
    fitted, said = (saved, "") if saved is not None else _fitted(wanted, responses)
    level = wanted.confidence_level
    headline = headline_estimates(fitted, responses, others=others, confidence_level=level)
    watch, watched = watch_outlook(saved, responses, confidence_level=level)
    notes = (*responses.notes, said, *headline.notes, *_assumptions(fitted), watched)
    return Report(
        **shared,
        method=_method(fitted),
        confidence_level=level,
        estimates=headline.estimates,
        label_free=headline.label_free,
        overall=headline.overall,
        outlook=build_outlook(headline, current_headline(fitted, headline, others=others)),
        watch=watch,
        entropy_curves=entropy_curves(responses, confidence_level=level),
        calibration=None if fitted is None else calibration_curve(fitted),
        scores=score_curves(responses),
        notes=tuple(filter(None, notes)),
    )


def _fitted(wanted: Sentinel, responses: Responses) -> tuple[Sentinel | None, str]:
    """Fit on the labels; None, and why, where they speak for their own slices only."""
    try:
        return fit_sentinel(responses, wanted)
    except NotEnoughDataError as exc:
        labels = np.bincount(responses.slices.codes[responses.is_labelled], minlength=1)
        if labels.max() < _LEAST_LABELS:
            raise
        return None, f"no estimate from log-probabilities ({str(exc).rstrip('.')}), so each slice has its labels alone"


def _method(sentinel: Sentinel | None) -> str:
    if sentinel is None:
        return "labels"
    return "constant" if sentinel.falls_back_ else sentinel.plan_.name


def _ranked(responses: Responses, shared: dict[str, Any], *, confidence_level: float) -> Report:
    """Return all that can be said without labels and without a sentinel: a ranking."""
    why = "there are no labels and no fitted sentinel, so slices are ranked by entropy, uncalibrated"
    return Report(
        **shared,
        method="uncalibrated ranking",
        confidence_level=confidence_level,
        estimates=SliceEstimates([]),
        overall=NotEnoughData(
            slice=ALL_TRAFFIC,
            n=len(responses),
            reason="No labels and no sentinel.",
            needed="Label some hundred responses.",
        ),
        ranking=_ranking(responses),
        notes=(*responses.notes, why),
    )


def _check_logprobs(profiles: Profiles) -> None:
    if np.isnan(profiles.score).all() and (
        "nll_sum" not in profiles.names or np.isnan(profiles.column("nll_sum")).all()
    ):
        raise MissingLogprobsError(
            f"none of the {len(profiles):,} responses has log-probabilities. "
            "Ask the provider for them (`logprobs=true, top_logprobs=20`); `nilometer doctor` reports more."
        )


def _assumptions(sentinel: Sentinel | None) -> tuple[str, ...]:
    if sentinel is None:
        return ("labels are taken as drawn at random inside each slice",)
    return (
        *sentinel.notes_,
        f"fitted on {sentinel.n_labels_:,} labels in {len(sentinel.slices_)} slices; the part of a labelled slice that "
        "rests on log-probabilities is made without its own labels, then combined with them",
        "intervals are valid if a slice resembles the labelled ones (is exchangeable with them) and its labels were drawn "
        "at random; log-probabilities do not show answers that are confidently wrong",
    )


def _ranking(responses: Responses) -> tuple[tuple[str, int, float], ...]:
    means, counts = mean_scores(responses), responses.slices.counts
    rows = [
        (name, int(n), means.get(name, float("inf"))) for name, n in zip(responses.slices.names, counts, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: -row[2]))
