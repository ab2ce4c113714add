"""A fitted sentinel as a value: rules, left-out slices and hulls, and the estimate of one slice from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..estimate import Estimate, NotEnoughData
from ..intervals import LEAST_SLICES, Residuals, conformal_interval, pool_residuals, prediction_interval
from ..profiles import Profiles, distinct
from .left_out import Gain, LeftOut, LeftOutColumns, Skill, as_columns, fit_left_out, fit_skill, left_out_residuals
from .reference import MOST_WITHOUT_LOGPROBS, foreign_models
from .rule import STRATA, Labelled, Plan, Rule, fit_rule
from .support import Outside, Support, fit_support, outside_every_support

__all__ = ["Fitted", "Verdict", "fit_sentinel", "needed_features"]

Floats = NDArray[np.float64]

_OUTSIDE_WIDENING = 1.5
_MANY_LABELS = 1000
_GUARDED = ("max", "nll_sum")


class Verdict(NamedTuple):
    """What left-out families say of the estimates."""

    skill: Skill | None
    """Worth of the estimates; None with fewer than two families."""
    falls_back: bool
    """Whether the default is worth no more than the constant."""
    residuals: Residuals | None
    """Residuals of what is estimated; None with too few families for an interval."""


@dataclass(frozen=True)
class Fitted:
    """What a sentinel learned."""

    labelled: Labelled
    rule: Rule
    left_out: dict[str, LeftOut]
    again: tuple[Rule, ...]
    """Rules fitted on labels drawn again."""
    support: dict[str, Support]
    confidence_level: float
    pool: tuple[Residuals, ...] = ()

    @cached_property
    def columns(self) -> LeftOutColumns:
        """Numbers of the left-out slices."""
        return as_columns(self.left_out.values())

    @cached_property
    def judged(self) -> dict[str | None, Verdict]:
        """Verdict on the estimates, with all families (None) and without each."""
        return {family: self._judge(self.columns.without(family)) for family in (None, *np.unique(self.columns.family))}

    def _judge(self, columns: LeftOutColumns) -> Verdict:
        skill = fit_skill(columns, confidence_level=self.confidence_level)
        chooses = self.rule.plan.method == "combined" and skill is not None and skill.n_families >= LEAST_SLICES
        gain = skill.over_constant if skill is not None and chooses else None
        constant = gain is not None and gain.gain <= 0
        own = left_out_residuals(columns, constant=constant)
        if gain is not None and own is not None:
            own = _unsure(own, left_out_residuals(columns, constant=not constant), gain)
        return Verdict(skill, constant, None if own is None else pool_residuals(own, self.pool))

    def estimate(
        self, name: str, profiles: Profiles, labels: Floats, *, simultaneous: int = 1
    ) -> Estimate | NotEnoughData:
        """Estimate one slice; a labelled one by the rule that never saw its family."""
        known = labels[~np.isnan(labels)]
        seen = {
            "slice": name,
            "n": len(profiles),
            "n_labels": int(known.size),
            "realized_accuracy": float(known.mean()) if known.size else None,
        }
        own = self.left_out.get(name)
        family = own.family if own else None
        _, constant, residuals = self.judged[family]
        outside = None if constant else outside_every_support(_guarded(profiles), self.support)
        refusal = self._refusal(profiles, residuals, outside=None if own else outside, family=family)
        if residuals is None or refusal:
            return NotEnoughData(**seen, **refusal)  # type: ignore[arg-type]
        rule = own.rule if own else self.rule
        accuracy = rule.accuracy if constant else rule.estimate(profiles)
        residuals = residuals._replace(spread=residuals.spread * (_OUTSIDE_WIDENING if outside else 1.0))
        notes = (
            f"{outside.note}; interval widened" if outside else "",
            foreign_models(profiles, self.labelled.profiles),
        )
        noise = self._label_noise(profiles, constant=constant)
        return Estimate(
            **seen,  # type: ignore[arg-type]
            **self._ends(accuracy, residuals, n=len(profiles), simultaneous=simultaneous, label_noise=noise),
            accuracy=accuracy,
            confidence_level=self.confidence_level,
            method="constant" if constant else rule.plan.name,
            in_support=not outside,
            note="; ".join(filter(None, notes)),
        )

    def _ends(
        self, accuracy: float, residuals: Residuals, *, n: int, simultaneous: int, label_noise: float
    ) -> dict[str, Any]:
        """Ends of the interval and of the distribution-free one, by the names that they have in an estimate."""
        low, high = prediction_interval(
            accuracy,
            residuals,
            n=n,
            confidence_level=self.confidence_level,
            simultaneous=simultaneous,
            label_noise=label_noise,
        )
        beside = conformal_interval(accuracy, residuals, confidence_level=self.confidence_level) or (None, None)
        return {"low": low, "high": high, "conformal_low": beside[0], "conformal_high": beside[1]}

    def _refusal(
        self, profiles: Profiles, residuals: Residuals | None, *, outside: Outside | None, family: str | None
    ) -> dict[str, str]:
        missing = 1 - float(self.rule.plan.known(profiles).mean())
        if missing > MOST_WITHOUT_LOGPROBS:
            reason = f"{missing:.0%} of the responses have no log-probabilities."
            return {"reason": reason, "needed": "Ask the provider for `logprobs`."}
        if residuals is None:
            families = self.labelled.families
            k = len({unit for unit in families.tolist() if unit != family})
            kind = "slices" if np.array_equal(families, self.labelled.slices) else "families of slices"
            reason = f"an interval needs {LEAST_SLICES} other labelled {kind}, there are {k}."
            return {"reason": reason, "needed": f"Label responses of {max(LEAST_SLICES - k, 1)} more {kind}."}
        if outside and outside.is_refused:
            reason = f"{outside.note}, and {outside.beyond:.0%} of the responses are beyond every labelled one."
            return {"reason": reason, "needed": outside.needed}
        return {}

    def _label_noise(self, profiles: Profiles, *, constant: bool) -> float:
        """Standard deviation of the estimate over labels drawn again."""
        if not self.again:
            return 0.0
        return float(np.std([rule.accuracy if constant else rule.estimate(profiles) for rule in self.again], ddof=1))


def _unsure(own: Residuals, other: Residuals | None, gain: Gain) -> Residuals:
    """Mix in the spread of the estimate that was not chosen, by the p-value of "there is no difference".

    The one that was chosen on the same families looks better than it is.
    """
    from scipy.stats import t

    if other is None or gain.standard_error == 0:
        return own
    wrong = 2 * float(t.cdf(-abs(gain.gain) / gain.standard_error, gain.n_families - 1))
    spread, noise = (
        (1 - wrong) * mine + wrong * its for mine, its in ((own.spread**2, other.spread**2), (own.noise, other.noise))
    )
    return own._replace(spread=float(np.sqrt(spread)), noise=noise) if other.spread > own.spread else own


def needed_features(plan: Plan) -> set[str]:
    """Name all that a fitted sentinel looks at."""
    return {*plan.features, plan.feature, *STRATA, *_GUARDED}


def fit_sentinel(
    labelled: Labelled, plan: Plan, *, confidence_level: float, pool: Sequence[Residuals], bootstraps: int, seed: int
) -> Fitted:
    """Fit the rule, the rules without each family, and the rules on labels drawn again."""
    labelled = labelled._replace(profiles=labelled.profiles.only(needed_features(plan)))
    rule = fit_rule(labelled, plan)
    fixed = replace(plan, hyperparameters=getattr(rule.classifier, "chosen_", None))
    parts = [_guarded(labelled.profiles.rows(labelled.slices == name)) for name in distinct(labelled.slices)[0]]
    return Fitted(
        labelled,
        rule,
        fit_left_out(labelled, fixed),
        _fit_again(labelled, fixed, bootstraps=bootstraps, seed=seed),
        {name: fit_support([part[name] for part in parts]) for name in _GUARDED},
        confidence_level,
        tuple(pool),
    )


def _fit_again(labelled: Labelled, plan: Plan, *, bootstraps: int, seed: int) -> tuple[Rule, ...]:
    """Fit on labels drawn again inside each slice; nothing where labels are many or fits are slow."""
    n = len(labelled.correct)
    if bootstraps < 2 or n >= _MANY_LABELS or plan.arm.needs_left_out or plan.recipe.classifier != "monotone":
        return ()
    rng = np.random.default_rng(seed)
    parts = [np.flatnonzero(labelled.slices == name) for name in distinct(labelled.slices)[0]]
    rules = []
    for _ in range(bootstraps):
        rows = np.concatenate([rng.choice(part, size=part.size) for part in parts])
        if np.unique(labelled.correct[rows] >= 0.5).size == 2:
            rules.append(fit_rule(labelled.rows(rows), plan))
    return tuple(rules) if len(rules) > 1 else ()


def _guarded(profiles: Profiles) -> dict[str, Floats]:
    columns = {name: profiles.column(name) if name in profiles.names else np.empty(0) for name in _GUARDED}
    return {name: values[~np.isnan(values)] for name, values in columns.items()}
