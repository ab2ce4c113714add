"""A fitted sentinel as a value: rules, left-out slices and hulls, and the estimate of one slice from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Floats, Ints

from ..estimate import Estimate, NotEnoughData
from ..intervals import (
    LEAST_SLICES,
    Residuals,
    conformal_interval,
    interval_spread,
    pool_residuals,
    prediction_interval,
    spread_interval,
)
from ..missing import MOST_RELATED
from ..responses import Responses
from .known import KnownSlices, fit_known_slices, known_interval
from .left_out import Gain, LeftOut, LeftOutColumns, Skill, as_columns, fit_left_out, fit_skill, left_out_residuals
from .rules.levels import fit_level_slope, spread_levels
from .rules.reference import MOST_WITHOUT_LOGPROBS
from .rules.rule import STRATA, FitPlan, Rule, fit_rule
from .support import Outside, Support, fit_support

__all__ = ["GUARDED", "Fitted", "SliceFacts", "Verdict", "fit_rules", "needed_features"]


GUARDED = ("max", "nll_sum")
"""Features by which a slice may lie outside what was labelled."""
_OUTSIDE_WIDENING = 1.5
"""Factor on the spread of a slice outside what was labelled; docs/estimation.md has the coverage with it."""
_SURELY_NONE = 2.0
"""Standard errors below zero from which the gain over the constant is taken for a loss; less is mostly noise."""
_MANY_LABELS = 1000
"""Labels from which no refits are made: the spread over families then hides what drawing labels again adds."""


class SliceFacts(NamedTuple):
    """What is known of a slice before its interval is made."""

    name: str
    n: int
    n_labels: int
    n_correct: float
    n_effective: float
    """Responses that would tell as much if all had the same probability of capture; n where they have."""
    n_known: float
    """Those of ``n_effective`` that have every number the rules need."""
    outside: Outside | None
    accuracies: Floats
    """Shape (1 + refits,): accuracy by the slice's own rule, then by the rules fitted on labels drawn again."""
    related: str = ""
    """In what its responses without log-probabilities differ from the others."""
    own: tuple[float, float, int] | None = None
    """Accuracy by the slice's own labels, its standard deviation, and their number, where it has enough of them."""
    sampling: float = 0.0
    """Variance of the accuracies because only some responses have second opinions."""
    note: str = ""
    """What a reader should know of how it was estimated."""

    @property
    def missing(self) -> float:
        """Share of responses without log-probabilities."""
        return 1 - self.n_known / self.n_effective


class Verdict(NamedTuple):
    """What left-out families say of the estimates."""

    skill: Skill | None
    """Worth of the estimates; None with fewer than two families."""
    falls_back: bool
    """Whether the default is worse than the constant, by two standard errors."""
    residuals: Residuals | None
    """Residuals of what is estimated; None with too few families for an interval."""


@dataclass(frozen=True)
class Fitted:
    """What a sentinel learned."""

    labelled: Responses
    rule: Rule
    left_out: dict[str, LeftOut]
    again: tuple[Rule, ...]
    """Rules fitted on labels drawn again."""
    support: dict[str, Support]
    confidence_level: float
    pool: tuple[Residuals, ...] = ()
    own: KnownSlices | None = None
    """Lines of the slices with labels of their own; None for methods other than ``combined``."""
    prior: tuple[float, float] | None = None
    """Expected spread of the residuals and its degrees of freedom; None for those of log-probabilities alone."""

    @cached_property
    def columns(self) -> LeftOutColumns:
        """Numbers of the left-out slices, before those of a family are spread."""
        return as_columns(self.left_out.values())

    @cached_property
    def verdict(self) -> Verdict:
        """What all left-out families say."""
        return self._judge(self.columns)

    @cached_property
    def verdicts(self) -> dict[int, Verdict]:
        """What the others say, for every group of left-out families."""
        return {int(group): self._judge(self.columns.without(group)) for group in np.unique(self.columns.group)}

    def _judge(self, columns: LeftOutColumns) -> Verdict:
        columns = columns.spread() if self.spreads else columns
        skill = fit_skill(columns, confidence_level=self.confidence_level)
        chooses = self.rule.plan.method == "combined" and skill is not None and skill.n_families >= LEAST_SLICES
        gain = skill.over_constant if skill is not None and chooses else None
        constant = gain is not None and gain.gain + _SURELY_NONE * gain.standard_error <= 0
        own = left_out_residuals(columns, constant=constant)
        if gain is not None and own is not None:
            own = _unsure(own, left_out_residuals(columns, constant=not constant), gain)
        if own is not None and self.prior is not None:
            own = own._replace(prior_spread=self.prior[0], prior_degrees=self.prior[1])
        return Verdict(skill, constant, None if own is None else pool_residuals(own, self.pool))

    @property
    def spreads(self) -> bool:
        """Whether the slices of a family are spread around their mean, as the default method does."""
        return self.rule.plan.method == "combined"

    @cached_property
    def _slopes(self) -> tuple[float, dict[str, float]]:
        """Slope for the slices of a new family, and for those of each labelled one."""
        names, place = np.unique(self.columns.family, return_inverse=True)
        slope = fit_level_slope(self.columns.estimated, self.columns.realized, place)
        return slope.new, dict(zip(names.tolist(), slope.left_out.tolist(), strict=True))

    def spread(self, facts: Iterable[SliceFacts], families: Mapping[str, str]) -> list[SliceFacts]:
        """Spread the estimates of the slices of each family; ``families`` names those of slices that are not labelled.

        A slice that is in neither is a family of its own.
        """
        rows = list(facts)
        if not self.spreads or not rows:
            return rows
        new, left_out = self._slopes
        labelled = {name: one.family for name, one in self.left_out.items()}
        units = [labelled.get(row.name) or families.get(row.name) or f"\0{row.name}" for row in rows]
        place = np.unique(units, return_inverse=True)[1]
        slope = np.array([left_out.get(unit, new) for unit in units])
        accuracies = np.array([row.accuracies for row in rows])
        spread = np.stack([spread_levels(column, place, slope) for column in accuracies.T], axis=1)
        return [row._replace(accuracies=moved) for row, moved in zip(rows, spread, strict=True)]

    def rule_for(self, name: str) -> Rule:
        """Return the rule that estimates a slice: for a labelled one that which never saw its family."""
        own = self.left_out.get(name)
        return self.rule if own is None else own.rule

    def finish(
        self, facts: SliceFacts, *, foreign: str = "", simultaneous: int = 1, left_out: bool = False
    ) -> Estimate | NotEnoughData:
        """Estimate one slice from what is known of it.

        ``foreign`` is what is to be noted of the models it came from, ``simultaneous`` the number of intervals that
        hold together. Labels of another model say nothing of this one, so they are then not used as the slice's own.
        """
        seen = self._without_logprobs(facts, needs_logprobs=True) is None
        if facts.own is not None and seen and not left_out and not foreign:
            return self._by_own_labels(facts, facts.own, simultaneous=simultaneous)
        own = self.left_out.get(facts.name)
        verdict = self.verdict if own is None else self.verdicts[own.group]
        outside = None if verdict.falls_back else facts.outside
        refusal = self._refusal(facts, verdict.residuals, outside=outside, needs_logprobs=not verdict.falls_back)
        if verdict.residuals is None or refusal is not None:
            reason, needed = refusal or ("", "")
            return NotEnoughData(slice=facts.name, n=facts.n, reason=reason, needed=needed, **_realized(facts))
        rule, residuals = self.rule_for(facts.name), verdict.residuals
        accuracies = facts.accuracies
        if verdict.falls_back:
            accuracies = np.array([one.accuracy for one in (rule, *self.again)])
        residuals = residuals._replace(spread=residuals.spread * (_OUTSIDE_WIDENING if outside else 1.0))
        accuracy = float(accuracies[0])
        noise = float(np.hypot(np.std(accuracies[1:], ddof=1) if accuracies.size > 2 else 0.0, facts.sampling**0.5))
        ends = self._ends(accuracy, residuals, noise, n=facts.n_effective, simultaneous=simultaneous)
        bound = {} if verdict.falls_back else _bound(facts, ends["low"], ends["high"])
        notes = (facts.note, f"{outside.note}; interval widened" if outside else "", _said(facts, bound), foreign)
        return Estimate(
            slice=facts.name,
            n=facts.n,
            accuracy=accuracy,
            confidence_level=self.confidence_level,
            method="constant" if verdict.falls_back else rule.plan.name,
            in_support=not outside,
            note="; ".join(filter(None, notes)),
            **_realized(facts),
            **ends,
            **bound,
        )

    def _by_own_labels(self, facts: SliceFacts, own: tuple[float, float, int], *, simultaneous: int) -> Estimate:
        level, (accuracy, deviation, n_labels) = self.confidence_level, own
        low, high, spread = known_interval(
            accuracy,
            deviation,
            n=facts.n_effective,
            n_labels=n_labels,
            confidence_level=level,
            simultaneous=simultaneous,
        )
        bound = _bound(facts, low, high)
        return Estimate(
            slice=facts.name,
            n=facts.n,
            accuracy=accuracy,
            low=low,
            high=high,
            confidence_level=level,
            method="own labels",
            note=_said(facts, bound),
            spread=spread,
            degrees=float(n_labels),
            **_realized(facts),
            **bound,
        )

    def _without_logprobs(self, facts: SliceFacts, *, needs_logprobs: bool) -> tuple[str, str] | None:
        """Reason not to estimate a slice of which many responses have no log-probabilities; None where it can be."""
        without = f"{facts.missing:.0%} of the responses have no log-probabilities"
        if facts.missing > MOST_WITHOUT_LOGPROBS:
            return f"{without}.", "Ask the provider for `logprobs`."
        if facts.related and facts.missing > MOST_RELATED and needs_logprobs:
            needed = "Find out why they are lost, or slice by it."
            return f"{without}, and these differ from the others in {facts.related}.", needed
        return None

    def _ends(
        self, accuracy: float, residuals: Residuals, noise: float, *, n: float, simultaneous: int
    ) -> dict[str, Any]:
        """Ends of the intervals, and what they were made of, by the names that they have in an estimate."""
        level = self.confidence_level
        spread, degrees = interval_spread(accuracy, residuals, n=n, confidence_level=level, label_noise=noise)
        low, high = spread_interval(accuracy, spread, degrees, confidence_level=level)
        if simultaneous > 1:
            low, high = prediction_interval(
                accuracy, residuals, n=n, confidence_level=level, simultaneous=simultaneous, label_noise=noise
            )
        beside = conformal_interval(accuracy, residuals, confidence_level=level) or (None, None)
        ends = {"low": low, "high": high, "conformal_low": beside[0], "conformal_high": beside[1]}
        return {**ends, "spread": spread, "degrees": degrees}

    def _refusal(
        self, facts: SliceFacts, residuals: Residuals | None, *, outside: Outside | None, needs_logprobs: bool
    ) -> tuple[str, str] | None:
        """Reason for which a slice cannot be estimated, and what is needed; None where it can."""
        own = self.left_out.get(facts.name)
        without = self._without_logprobs(facts, needs_logprobs=needs_logprobs)
        if without is not None:
            return without
        if residuals is None:
            families = self.labelled.families.names
            k = len(families) - (own is not None and own.family in families)
            kind = "slices" if families == self.labelled.slices.names else "families of slices"
            reason = f"an interval needs {LEAST_SLICES} other labelled {kind}, there are {k}."
            return reason, f"Label responses of {max(LEAST_SLICES - k, 1)} more {kind}."
        if outside and outside.is_refused and own is None:
            reason = f"{outside.note}, and {outside.beyond:.0%} of the responses are surer than every labelled one."
            return reason, outside.needed
        return None


def _bound(facts: SliceFacts, low: float, high: float) -> dict[str, Any]:
    """Return what holds of all responses whatever those without log-probabilities are; nothing where there are none."""
    if not facts.missing:
        return {}
    known = 1 - facts.missing
    return {"missing_share": facts.missing, "bound_low": known * low, "bound_high": known * high + facts.missing}


def _said(facts: SliceFacts, bound: dict[str, Any]) -> str:
    if not bound:
        return ""
    ends = f"{bound['bound_low']:.2f} to {bound['bound_high']:.2f} whatever they are"
    related = f" and differ in {facts.related}" if facts.related else ""
    return f"{facts.missing:.0%} of the responses have no log-probabilities{related}: {ends}"


def _realized(facts: SliceFacts) -> dict[str, Any]:
    return {
        "n_labels": facts.n_labels,
        "realized_accuracy": facts.n_correct / facts.n_labels if facts.n_labels else None,
    }


def _unsure(own: Residuals, other: Residuals | None, gain: Gain) -> Residuals:
    """Inflate the spread for having chosen between two estimates on the same data.

    The variance of the one that was not chosen counts by the p-value of no difference, where it is larger.
    """
    from scipy.stats import t

    if other is None or gain.standard_error == 0 or other.spread <= own.spread:
        return own
    wrong = 2 * float(t.cdf(-abs(gain.gain) / gain.standard_error, gain.n_families - 1))
    variance = (1 - wrong) * own.spread**2 + wrong * other.spread**2
    noise = (1 - wrong) * own.noise + wrong * other.noise
    return own._replace(spread=float(np.sqrt(variance)), noise=noise)


def needed_features(plan: FitPlan) -> set[str]:
    """Return the names of every feature that the sentinel reads."""
    return {*plan.features, *plan.opinions, plan.feature, *STRATA, *GUARDED, "nll_sum", "log_length"}


def fit_rules(
    labelled: Responses,
    plan: FitPlan,
    *,
    confidence_level: float,
    pool: Sequence[Residuals],
    bootstraps: int,
    seed: int,
) -> Fitted:
    """Fit the rule, the rules without each family, and the rules on labels drawn again."""
    labelled = labelled.only(needed_features(plan))
    rule = fit_rule(labelled, plan)
    fixed = replace(plan, hyperparameters=getattr(rule.classifier, "chosen_", None))
    parts = [rows for _, rows in labelled.slices.rows()]
    return Fitted(
        labelled,
        rule,
        fit_left_out(labelled, fixed),
        _fit_again(labelled, rule, fixed, bootstraps=bootstraps, seed=seed),
        {name: _hull(labelled, name, parts) for name in GUARDED},
        confidence_level,
        tuple(pool),
        _own_lines(labelled, rule) if plan.method == "combined" and not plan.opinions else None,
    )


def _own_lines(labelled: Responses, rule: Rule) -> KnownSlices:
    labelled = labelled.rows(rule.plan.known(labelled.profiles))
    return fit_known_slices(rule.p_mixed(labelled.profiles), labelled.correct, labelled.slices)


def _fit_again(labelled: Responses, rule: Rule, plan: FitPlan, *, bootstraps: int, seed: int) -> tuple[Rule, ...]:
    """Fit on labels drawn again inside each slice, with the weight of the rule; nothing where labels are many."""
    n = len(labelled)
    if bootstraps < 2 or n >= _MANY_LABELS or plan.arm.needs_left_out or plan.recipe.classifier != "monotone":
        return ()
    rng = np.random.default_rng(seed)
    parts = [rows for _, rows in labelled.slices.rows()]
    weight = 0.0 if rule.learned is None else rule.learned.sequence_weight
    rules = []
    for _ in range(bootstraps):
        rows = np.concatenate([rng.choice(part, size=part.size) for part in parts])
        if np.unique(labelled.correct[rows] >= 0.5).size == 2:
            rules.append(fit_rule(labelled.rows(rows), plan, sequence_weight=weight))
    return tuple(rules) if len(rules) > 1 else ()


def _hull(labelled: Responses, feature: str, parts: Sequence[Ints]) -> Support:
    if feature not in labelled.profiles.names:
        return fit_support([])
    scores = labelled.profiles.column(feature)
    return fit_support([scores[rows][~np.isnan(scores[rows])] for rows in parts])
