"""The routing report as numbers: qualities, families, slices and policies."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Floats
from nilometer.display import Displayed
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import FamilyCheck, NotEnoughData, Smoothie, find_families

from .answer_table import AnswerTable
from .cost_quality import PolicyPoint
from .policies import policy_points
from .router import Router, label_answers

__all__ = ["ModelRow", "RouteReport", "SliceRow", "build_route_report", "lonely_models"]


LEAST_PROMPTS = 10
_LONELY = 2.0


class ModelRow(NamedTuple):
    """What is known about one model."""

    model: str
    n_answers: int
    quality: float
    """Minus the estimated error, from agreement alone; high is good."""
    low: float | None
    high: float | None
    accuracy: float | None
    """Prediction-powered accuracy; None without labels."""
    accuracy_low: float | None
    accuracy_high: float | None
    n_labels: int
    cost: float | None


class SliceRow(NamedTuple):
    """Which model a slice gets, and why."""

    slice: str
    n: int
    model: str
    reason: str
    qualities: tuple[float, ...]
    """In the order of the models; high is good."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    realized: tuple[float | None, ...]
    """Mean score of each model's labelled answers; None without any."""


@dataclass(frozen=True, kw_only=True, repr=False)
class RouteReport(Displayed):
    """Everything the pages show, as numbers."""

    by: str
    names: tuple[str, ...]
    """Models in the order of the columns of ``slices``."""
    n_prompts: int
    models: tuple[ModelRow, ...]
    """Best first."""
    best: str
    separation: str
    """Whether the best is really better, as a sentence."""
    families: FamilyCheck
    slices: tuple[SliceRow | NotEnoughData, ...] = ()
    policies: tuple[PolicyPoint, ...] = ()
    cost_unit: str = "calls"
    budget: float | None = None
    """Mean cost per prompt that the router stays within."""
    explanation: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "by": self.by,
            "n_prompts": self.n_prompts,
            "models": [row._asdict() for row in self.models],
            "best": self.best,
            "separation": self.separation,
            "families": {
                "families": [list(family) for family in self.families.families],
                "reason": self.families.reason,
                "best_masked": self.families.best_masked,
                "changed_routes": self.families.changed_routes,
                "pairs": [pair._asdict() for pair in self.families.pairs],
            },
            "slices": [_plain(row, self.names) for row in self.slices],
            "policies": [point._asdict() for point in self.policies],
            "cost_unit": self.cost_unit,
            "budget": self.budget,
            "explanation": self.explanation,
            "notes": list(self.notes),
        }


def build_route_report(
    router: Router, table: AnswerTable, *, slices: Sequence[str] | None = None, by: str = "", notes: Sequence[str] = ()
) -> RouteReport:
    """Put together what is known about the models and the ways to use them.

    Parameters
    ----------
    router
        Fitted on ``table``.
    table
        The answers; with scores the policies are judged on the labelled prompts.
    slices
        (prompts,) slice of each; None for no slices.
    by
        What the slices are, for the heading.
    notes
        Sentences on how the data were read, without their period.

    Raises
    ------
    NotEnoughDataError
        As `Smoothie.fit`.
    """
    smoothie = router.smoothie
    said = [*notes, *lonely_models(smoothie)]
    points: tuple[PolicyPoint, ...] = ()
    if table.scores is not None:
        try:
            points = policy_points(router, table, confidence_level=smoothie.confidence_level)
            said.append("The router saw the labels that the policies are judged on; judge it on others before use")
        except NotEnoughDataError as exc:
            said.append(f"Policies are not judged. {exc.reason}")
    names = np.asarray(slices, dtype=np.str_) if slices is not None else None
    rows = (
        ()
        if names is None
        else tuple(_slice(router, table.rows(names == name), name) for name in np.unique(names).tolist())
    )
    explain = router.route(None if table.prompts is None else table.prompts[0]).reason
    return RouteReport(
        by=by,
        names=table.models,
        n_prompts=len(table),
        models=_model_rows(router, table),
        best=_best(router, table),
        separation=_separation(smoothie),
        families=find_families(table.single, models=table.models),
        slices=rows,
        policies=points,
        cost_unit="calls" if table.costs is None else "cost",
        budget=router.budget,
        explanation=explain,
        notes=tuple(said),
    )


def lonely_models(smoothie: Smoothie) -> list[str]:
    """Sentences on models that lie far from all others: a wrong join of rows looks like that."""
    errors = np.maximum(smoothie.errors_, 0.0)
    found = []
    for j, name in enumerate(smoothie.models_):
        others = np.delete(errors, j)
        typical = float(np.median(others))
        if typical > 0 and errors[j] > _LONELY * float(others.max()) and errors[j] > 3.0 * typical:
            found.append(
                f"{name} lies {errors[j] / typical:.1f} times as far from the others as they do from each other; "
                "check that its answers belong to the same prompts"
            )
    return found


def _best(router: Router, table: AnswerTable) -> str:
    quality = router.expected(table.prompts)[0]
    return router.models[int(np.argmax(quality.mean(axis=0)))]


def _separation(smoothie: Smoothie) -> str:
    test = smoothie.qualities_.best_test()
    if test is None:
        return "One prompt tells nothing about the spread"
    gap = f"{test.difference:.3g} ({test.low:.3g} to {test.high:.3g}), p = {test.p_value:.2g}"
    if test.is_separated:
        return f"{test.best} agrees with the others more than any other model; next is {test.rival}, behind by {gap}"
    return f"{test.best} and {test.rival} cannot be distinguished by agreement: {gap}"


def _model_rows(router: Router, table: AnswerTable) -> tuple[ModelRow, ...]:
    smoothie, labelled = router.smoothie, router.labelled
    bounds = smoothie.qualities_.intervals()
    counts = table.present.sum(axis=0)
    rows = []
    for j, name in enumerate(table.models):
        rows.append(
            ModelRow(
                model=name,
                n_answers=int(counts[j]),
                quality=-float(smoothie.errors_[j]),
                low=None if bounds is None else float(bounds[0][j]),
                high=None if bounds is None else float(bounds[1][j]),
                accuracy=float(np.clip(labelled.accuracy[j], 0, 1)) if labelled else None,
                accuracy_low=float(labelled.low[j]) if labelled else None,
                accuracy_high=float(labelled.high[j]) if labelled else None,
                n_labels=int(labelled.n_labels[j]) if labelled else 0,
                cost=None if table.costs is None else float(table.costs[j]),
            )
        )
    overall = router.overall()[0][0]
    return tuple(rows[j] for j in np.argsort(-overall, kind="stable"))


def _slice(router: Router, own: AnswerTable, name: str) -> SliceRow | NotEnoughData:
    n, level = len(own), router.smoothie.confidence_level
    if n < LEAST_PROMPTS:
        return NotEnoughData(slice=name, n=n, reason="Too few prompts.", needed=f"Record {LEAST_PROMPTS} or more.")
    try:
        smoothie = Smoothie(split_two=router.smoothie.split_two, confidence_level=level)
        fitted = smoothie.fit(own.embeddings, models=own.models, groups=own.groups)
    except NotEnoughDataError as exc:
        return NotEnoughData(slice=name, n=n, reason=exc.reason, needed=exc.needed)
    bounds = fitted.qualities_.intervals()
    low, high = bounds if bounds is not None else (fitted.qualities_.quality,) * 2
    chosen, reason = _slice_choice(router, own, fitted)
    scores = own.scores
    realized = tuple(None if scores is None else _mean(scores[:, j]) for j in range(len(own.models)))
    return SliceRow(
        slice=name,
        n=n,
        model=own.models[chosen],
        reason=reason,
        qualities=tuple(map(float, fitted.qualities_.quality)),
        low=tuple(map(float, low)),
        high=tuple(map(float, high)),
        realized=realized,
    )


def _slice_choice(router: Router, own: AnswerTable, fitted: Smoothie) -> tuple[int, str]:
    """Model of a slice: the overall best unless another is significantly better here, by labels if there are any."""
    may = router.affordable()
    overall = int(np.argmax(np.where(may, router.overall()[0][0], -np.inf)))
    known = own.scores is not None and ((~np.isnan(own.scores)).sum(axis=0) > 1).all()
    qualities = label_answers(own, fitted).chosen if known else fitted.qualities_
    here = int(np.argmax(np.where(may, qualities.quality[: len(may)], -np.inf)))
    paired = qualities.differences()
    if here == overall or paired is None:
        return overall, "best over all prompts" if may.all() else "best over all prompts within the budget"
    if paired.low[here, overall] <= 0:
        return overall, f"{own.models[here]} looks better here, but not significantly"
    what = "more accurate" if known else "nearer to the others"
    return here, f"{paired.difference[here, overall]:.3g} {what} here than {own.models[overall]}"


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _plain(row: SliceRow | NotEnoughData, models: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(row, SliceRow):
        return {**row._asdict(), "models": list(models)}
    return asdict(row)
