"""The report as numbers: estimates per slice and what a reader needs to judge them."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from nilometer.display import Displayed
from nilometer.errors import MissingLogprobsError
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
    labelled_accuracies,
    with_other_models,
)

from ..plans.slices import mean_scores
from ..watch.watch import Watch
from .curves import Curve, calibration_curve, entropy_curves, score_curves
from .outlook import Outlook, build_outlook, watch_outlook
from .overall import ALL_TRAFFIC

__all__ = ["Example", "Report", "build_report", "short_name"]

_FIRST_LABELS = 100


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
    """Estimates combined with labels, and what to label and acquire next; None for a ranking."""
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
        """The estimates from everything that is known."""
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
        If the labels do not allow a fit.
    """
    responses = cut_responses(profiles, by, correct=correct)
    _check_logprobs(responses.profiles)
    shared: dict[str, Any] = {
        "by": responses.keys,
        "n": len(responses),
        "n_labels": responses.n_labels,
        **(extra or {}),
    }
    fitted, said = sentinel or Sentinel(), ""
    if not is_fitted(fitted):
        if not responses.n_labels:
            return _ranked(responses, shared, confidence_level=fitted.confidence_level)
        fitted, said = fit_sentinel(responses, fitted)
    level = fitted.confidence_level
    estimates, replaced = _estimates(fitted, responses, others)
    watch, watched = watch_outlook(fitted, responses)
    notes = (*responses.notes, said, replaced, *fitted.notes_, *_assumptions(fitted), watched)
    return Report(
        **shared,
        method="constant" if fitted.falls_back_ else fitted.plan_.name,
        confidence_level=level,
        estimates=estimates,
        outlook=build_outlook(fitted, responses, estimates),
        watch=watch,
        entropy_curves=entropy_curves(responses, confidence_level=level),
        calibration=calibration_curve(fitted),
        scores=score_curves(responses),
        notes=tuple(filter(None, notes)),
    )


def _ranked(responses: Responses, shared: dict[str, Any], *, confidence_level: float) -> Report:
    """Return all that can be said without labels and without a sentinel: a ranking."""
    why = "there are no labels and no fitted sentinel, so slices are ranked by entropy, uncalibrated"
    return Report(
        **shared,
        method="uncalibrated ranking",
        confidence_level=confidence_level,
        estimates=SliceEstimates([]),
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


def _estimates(sentinel: Sentinel, responses: Responses, others: Sequence[Sentinel]) -> tuple[SliceEstimates, str]:
    # labels of the traffic are counted in later, and may be those of the fit: none may count twice
    estimates = sentinel.estimate(responses, left_out=responses.n_labels > 0)
    if not others:
        return estimates, ""
    known = [labelled_accuracies(other) for other in others]
    return with_other_models(estimates, known, confidence_level=sentinel.confidence_level)[:2]


def _assumptions(sentinel: Sentinel) -> tuple[str, ...]:
    return (
        f"fitted on {sentinel.n_labels_:,} labels in {len(sentinel.slices_)} slices; a labelled slice is estimated "
        "without its own labels",
        "intervals are valid if a slice resembles the labelled ones (is exchangeable with them); log-probabilities do not "
        "show answers that are confidently wrong",
    )


def _ranking(responses: Responses) -> tuple[tuple[str, int, float], ...]:
    means, counts = mean_scores(responses), responses.slices.counts
    rows = [
        (name, int(n), means.get(name, float("inf"))) for name, n in zip(responses.slices.names, counts, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: -row[2]))
