"""A fitted sentinel as a value: rules, left-out slices and hulls, and the estimate of one slice from them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Floats, Ints

from ..estimate import Estimate, NotEnoughData
from ..intervals import conformal_size, half_widths, t_quantile
from ..missing import MOST_RELATED
from ..residuals import LEAST_SLICES, Residuals, error_unit, pool_residuals
from ..responses import Responses
from .facts import SliceFacts, bound_of, realized_of, said_of
from .known import KnownSlices, fit_known_slices, known_interval
from .left_out import Gain, LeftOut, LeftOutColumns, Skill, as_columns, fit_left_out, fit_skill, left_out_residuals
from .rules.levels import fit_level_slope, spread_levels
from .rules.reference import MOST_WITHOUT_LOGPROBS
from .rules.rule import STRATA, AccuracyRule, FitPlan, fit_rule
from .support import Outside, Support, fit_support

__all__ = ["GUARDED", "Fitted", "Verdict", "fit_rules", "needed_features"]


GUARDED = ("max", "nll_sum")
"""Features by which a slice may lie outside what was labelled."""
_OUTSIDE_WIDENING = 1.5
"""Factor on the spread of a slice outside what was labelled; docs/estimation.md has the coverage with it."""
_SURELY_NONE = 2.0
"""Standard errors below zero from which the gain over the constant is taken for a loss; less is mostly noise."""
_MANY_LABELS = 1000
"""Labels from which no refits are made: the spread over families then hides what drawing labels again adds."""


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
    rule: AccuracyRule
    left_out: dict[str, LeftOut]
    again: tuple[AccuracyRule, ...]
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
        names = sorted({one.family for one in self.left_out.values()})
        slope = fit_level_slope(self.columns.estimated, self.columns.realized, self.columns.family)
        return slope.new, dict(zip(names, slope.left_out.tolist(), strict=True))

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

    def rule_for(self, name: str) -> AccuracyRule:
        """Return the rule that estimates a slice: for a labelled one that which never saw its family."""
        own = self.left_out.get(name)
        return self.rule if own is None else own.rule

    def finish(
        self, facts: Sequence[SliceFacts], *, foreign: str = "", simultaneous: int = 1, left_out: bool = False
    ) -> list[Estimate | NotEnoughData]:
        """Estimate slices from what is known of them.

        ``foreign`` is what is to be noted of the models they came from, ``simultaneous`` the number of intervals that
        hold together. Labels of another model say nothing of this one, so they are then not used as the slice's own.
        """
        found: dict[int, Estimate | NotEnoughData] = {}
        alike: dict[tuple[int | None, bool], list[int]] = {}
        for i, row in enumerate(facts):
            seen = self._without_logprobs(row, needs_logprobs=True) is None
            if row.own is not None and seen and not left_out and not foreign:
                found[i] = self._by_own_labels(row, row.own, simultaneous=simultaneous)
                continue
            group = self.left_out[row.name].group if row.name in self.left_out else None
            refused = self._refused(row, self._verdict_for(group))
            if refused is not None:
                found[i] = refused
            else:
                alike.setdefault((group, row.outside is not None), []).append(i)
        for (group, is_outside), places in alike.items():
            rows, verdict = [facts[i] for i in places], self._verdict_for(group)
            estimates = self._by_rule(rows, verdict, is_outside=is_outside, foreign=foreign, simultaneous=simultaneous)
            found |= zip(places, estimates, strict=True)
        return [found[i] for i in range(len(facts))]

    def _verdict_for(self, group: int | None) -> Verdict:
        return self.verdict if group is None else self.verdicts[group]

    def _refused(self, facts: SliceFacts, verdict: Verdict) -> NotEnoughData | None:
        outside = None if verdict.falls_back else facts.outside
        refusal = self._refusal(facts, verdict.residuals, outside=outside, needs_logprobs=not verdict.falls_back)
        if refusal is None:
            return None
        return NotEnoughData(slice=facts.name, n=facts.n, reason=refusal[0], needed=refusal[1], **realized_of(facts))

    def _by_rule(
        self, rows: Sequence[SliceFacts], verdict: Verdict, *, is_outside: bool, foreign: str, simultaneous: int
    ) -> Iterator[Estimate]:
        """Estimate slices that have the same residuals."""
        assert verdict.residuals is not None, "slices without residuals are refused before"
        constant, is_outside = verdict.falls_back, is_outside and not verdict.falls_back
        residuals = verdict.residuals
        residuals = residuals._replace(spread=residuals.spread * (_OUTSIDE_WIDENING if is_outside else 1.0))
        accuracies = np.array([row.accuracies for row in rows])
        if constant:
            rule = self.rule_for(rows[0].name)
            accuracies = np.tile([one.accuracy for one in (rule, *self.again)], (len(rows), 1))
        ends = self._ends(rows, accuracies, residuals, simultaneous=simultaneous)
        for row, accuracy, own in zip(rows, accuracies[:, 0].tolist(), ends, strict=True):
            bound = {} if constant else bound_of(row, own["low"], own["high"])
            outside = f"{row.outside.note}; interval widened" if is_outside and row.outside else ""
            notes = (row.note, outside, said_of(row, bound), foreign)
            yield Estimate(
                slice=row.name,
                n=row.n,
                accuracy=accuracy,
                confidence_level=self.confidence_level,
                method="constant" if constant else self.rule_for(row.name).plan.name,
                in_support=not is_outside,
                note="; ".join(filter(None, notes)),
                **realized_of(row),
                **own,
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
        bound = bound_of(facts, low, high)
        return Estimate(
            slice=facts.name,
            n=facts.n,
            accuracy=accuracy,
            low=low,
            high=high,
            confidence_level=level,
            method="own labels",
            note=said_of(facts, bound),
            spread=spread,
            degrees=float(n_labels),
            **realized_of(facts),
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
        self, rows: Sequence[SliceFacts], accuracies: Floats, residuals: Residuals, *, simultaneous: int
    ) -> Iterator[dict[str, Any]]:
        """Ends of the intervals, and what they were made of, by the names that they have in an estimate."""
        level, accuracy = self.confidence_level, accuracies[:, 0]
        refits = accuracies[:, 1:]
        drawn = refits.std(axis=1, ddof=1) if refits.shape[1] > 1 else np.zeros(len(rows))
        noise = np.hypot(drawn, np.sqrt([row.sampling for row in rows]))
        n = np.array([row.n_effective for row in rows])
        half = half_widths(accuracy, residuals, n=n, label_noise=noise, confidence_level=level)
        spread, degrees = half / t_quantile(residuals, level), residuals.degrees + residuals.prior_degrees
        if simultaneous > 1:
            half = half_widths(
                accuracy, residuals, n=n, label_noise=noise, confidence_level=level, simultaneous=simultaneous
            )
        size = conformal_size(residuals, confidence_level=level)
        ends = [*_cut(accuracy, half), *([] if size is None else _cut(accuracy, size * error_unit(accuracy)))]
        for scale, *found in zip(spread.tolist(), *(end.tolist() for end in ends), strict=True):
            low, high, beside_low, beside_high = (*found, None, None)[:4]
            own = {"low": low, "high": high, "conformal_low": beside_low, "conformal_high": beside_high}
            yield {**own, "spread": scale, "degrees": degrees}

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


def _cut(centre: Floats, half: Floats) -> tuple[Floats, Floats]:
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


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


def _own_lines(labelled: Responses, rule: AccuracyRule) -> KnownSlices:
    labelled = labelled.rows(rule.plan.known(labelled.profiles))
    return fit_known_slices(rule.p_mixed(labelled.profiles), labelled.correct, labelled.slices)


def _fit_again(
    labelled: Responses, rule: AccuracyRule, plan: FitPlan, *, bootstraps: int, seed: int
) -> tuple[AccuracyRule, ...]:
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
