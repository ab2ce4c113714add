"""Second opinions beside log-probabilities: a second rule on the responses that have them, carried to the slice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats
from nilometer.signals import opinion_of

from ..estimate import Estimate, NotEnoughData
from ..profiles import Profiles
from ..residuals import LEAST_SLICES
from ..responses import Responses
from ..state import SliceSums
from .facts import SliceFacts
from .fitted import Fitted, fit_rules
from .left_out import Gain, LeftOut, as_columns, compare_errors, family_of_slices, fit_left_out, left_out_probabilities
from .rules.label_free import combined_rows
from .rules.reference import LEAST_LABELS
from .rules.rule import AccuracyRule, target_scores
from .sums import in_effective_responses

__all__ = ["Finish", "Second", "finish_slices", "fit_second", "second_columns", "second_sums"]


_LEAST_OPINIONS = 10
"""Responses of a slice with second opinions from which these are used."""
_FEW = 0.5
"""A model that was asked for less than this share of the responses that another was asked for is left out."""
_SAME = 0.995
"""Agreement from which two models are taken for one."""
_NOISE_LABELS = 5.0
"""Responses that the noise of all slices counts for in the noise of one."""
_SURELY_NONE = 2.0
"""Standard errors below zero from which second opinions are taken for a loss."""
_DEVIATION = 1.25
"""Standard deviation over mean absolute error of a normal distribution."""
_SAMPLE = 50
"""Opinions of a slice whose worth is named."""
_WIDEST, _NARROWEST, _DEGREES = 0.2, 0.06, 4.0
"""Spread that is expected without any skill beyond log-probabilities, the least that is ever expected, and the degrees
of freedom of that expectation."""


class Second(NamedTuple):
    """A rule that reads second opinions, and what they are worth."""

    names: tuple[str, ...]
    """Columns of the second opinions."""
    fitted: Fitted
    weight: float
    """Of the mean difference between the log-probabilities of all responses and of those with second opinions."""
    noise: float
    """Variance of a response's probability around what log-probabilities say of it."""
    gain: Gain
    """Errors on left-out families with second opinions, and with log-probabilities alone."""

    def worth_labels(self, n_opinions: float = np.inf) -> float:
        r"""Labels of a slice that would lower the error of its estimate as much as opinions on n of its responses do.

        .. math:: n = \frac{v}{(1.25\,e)^2 + s^2 / n_o} - \frac{v}{(1.25\,e_0)^2}

        with :math:`e, e_0` the mean absolute errors on left-out families with second opinions and without, 1.25 the
        ratio of standard deviation and mean absolute error of a normal distribution, :math:`s^2` the variance that
        opinions on a sample leave, and v the mean of a (1 - a) over the labelled slices. Never below 0.
        """
        realized = self.fitted.columns.realized
        variance = max(float((realized * (1 - realized)).mean()), 0.01)
        own = (_DEVIATION * self.gain.error) ** 2 + self.noise / n_opinions
        without = (_DEVIATION * self.gain.other_error) ** 2
        return max(variance / max(own, 1e-6) - variance / max(without, 1e-6), 0.0)

    @property
    def is_used(self) -> bool:
        """Whether estimates with second opinions are not surely worse than without."""
        loses = self.gain.gain + _SURELY_NONE * self.gain.standard_error <= 0
        return not loses and not self.fitted.verdict.falls_back and self.fitted.verdict.residuals is not None


class Finish(NamedTuple):
    """How estimates are finished, as in ``Fitted.finish``."""

    foreign: str = ""
    simultaneous: int = 1
    left_out: bool = False


def fit_second(labelled: Responses, base: Fitted, *, bootstraps: int, seed: int) -> tuple[Second | None, list[str]]:
    r"""Fit a rule with second opinions as more features, on the labelled responses that have all of them.

    Each slice is then estimated by a control variate: with :math:`u` the score of the second rule on the m responses
    that have opinions and z that of log-probabilities alone,

    .. math:: \hat a = \bar u_m + w (\bar z_n - \bar z_m), \quad w = \operatorname{cov}(u, z) / \operatorname{var}(z)

    inside slices, cut to [0, 1]. Its sampling variance :math:`s^2_{u - w z} (1/m - 1/n)` widens the interval.

    Parameters
    ----------
    labelled
        Labelled responses, with the columns of the opinions.
    base
        Fitted on log-probabilities alone.
    bootstraps, seed
        As for the base.

    Returns
    -------
    The rule, None where there are too few opinions, and sentences on what was found.

    References
    ----------
    Cochran (1977), "Sampling Techniques", ch. 7 (regression estimators).
    """
    names, notes = _usable(labelled.profiles) if base.rule.plan.method == "combined" else ((), [])
    if not names:
        return None, notes
    models = ", ".join(opinion_of(name) for name in names)
    known = np.logical_and.reduce([~np.isnan(labelled.profiles.column(name)) for name in names])
    rows = labelled.rows(known & base.rule.plan.known(labelled.profiles))
    families = len(family_of_slices(rows)) if len(rows) else 0
    if len(rows) < LEAST_LABELS or families < LEAST_SLICES:
        few = f"second opinions ({models}) are on {len(rows):,} labelled responses of {families} families"
        return None, [*notes, f"{few}, so they are not used: at least {LEAST_SLICES} families need them"]
    own = base.rule.plan
    plan = replace(own, features=(*own.features, *names), opinions=names)
    fitted = fit_rules(rows, plan, confidence_level=base.confidence_level, pool=(), bootstraps=bootstraps, seed=seed)
    without = fit_left_out(rows, own)
    fitted = replace(fitted, prior=(_expected_spread(rows, fitted.left_out, without), _DEGREES))
    columns, other = (as_columns(one.values()).spread() for one in (fitted.left_out, without))
    gain = compare_errors(columns, other.estimated, confidence_level=base.confidence_level)
    second = Second(names, fitted, *_control(rows, fitted, base), gain)
    return second, [*notes, _describe(second, models)]


def _usable(profiles: Profiles) -> tuple[tuple[str, ...], list[str]]:
    """Columns of second opinions that can be learned from, and a sentence on each that cannot."""
    counts = {name: int((~np.isnan(profiles.column(name))).sum()) for name in profiles.names if opinion_of(name)}
    kept, notes, most = [], [], max(counts.values(), default=0)
    for name, n in counts.items():
        fault = _fault(profiles.column(name), n, most)
        if fault:
            notes.append(f"{opinion_of(name)} {fault}: its second opinions are not used")
        else:
            kept.append(name)
    return tuple(kept), notes


def _fault(column: Floats, n: int, most: int) -> str:
    """What makes the second opinions of a model useless; empty where nothing does."""
    if not n:
        return "was asked about no labelled response"
    if n < _FEW * most:
        return f"was asked about {n:,} labelled responses, another model about {most:,}"
    share = float(np.nanmean(column))
    if share >= _SAME:
        return f"gives the same answer in {share:.1%} of the labelled responses, like the same model under another name"
    if not share:
        return "never gives the same answer, as if it had answered other prompts or were compared in the wrong way"
    return ""


def _expected_spread(rows: Responses, with_: Mapping[str, LeftOut], without: Mapping[str, LeftOut]) -> float:
    r"""Spread of the residuals to expect: :math:`0.2\,(B / B_0)^3`, at least 0.06.

    B is the Brier score of left-out responses with second opinions, :math:`B_0` that by log-probabilities alone. Chosen
    on the choice half of the models of MMLU-Pro (studies/second_opinions.py).
    """
    own, other = (
        float(((labels - p) ** 2).mean())
        for p, labels in (left_out_probabilities(rows, one) for one in (with_, without))
    )
    return max(_WIDEST * min(own / other, 1.0) ** 3, _NARROWEST) if other else _WIDEST


def _control(rows: Responses, second: Fitted, base: Fitted) -> tuple[float, float]:
    """Weight of the control variate, and variance of what it leaves, both inside slices."""
    u, z = (_row_scores(fitted.rule, rows.profiles) for fitted in (second, base))
    place, counts = rows.slices.codes, np.maximum(rows.slices.counts, 1)
    u, z = (values - (np.bincount(place, values, len(counts)) / counts)[place] for values in (u, z))
    weight = float(u @ z) / float(z @ z) if float(z @ z) > 0 else 0.0
    degrees = max(len(rows) - len(counts), 1)
    return weight, float(((u - weight * z) ** 2).sum()) / degrees


def _describe(second: Second, models: str) -> str:
    gain = second.gain
    found = (
        f"on {gain.n_families} left-out families the estimates with second opinions ({models}) were off by "
        f"{gain.error:.3f}, with log-probabilities alone by {gain.other_error:.3f} (gain {gain.gain:+.3f}, "
        f"{gain.low:+.3f} to {gain.high:+.3f})"
    )
    if not second.is_used:
        return f"{found}, so they are not used"
    n = round(second.worth_labels(_SAMPLE))
    return f"{found}; on {_SAMPLE} responses of a slice they are worth about {n} labels of it"


def _row_scores(rule: AccuracyRule, profiles: Profiles) -> Floats:
    """Score of each response whose mean is the estimate of the rule, shape (n,)."""
    if rule.learned is None:
        return np.full(len(profiles), rule.accuracy)
    return combined_rows(rule.learned, target_scores(rule, profiles))


def second_columns(second: Second) -> tuple[str, ...]:
    """What has to be summed beside the sums of log-probabilities."""
    return ("second.n", "second.z", "second.d", "second.dd", *(f"second.u{i}" for i in range(_n_rules(second))))


def _n_rules(second: Second) -> int:
    return 1 + len(second.fitted.again)


def second_sums(second: Second, base: Fitted, responses: Responses) -> dict[str, Floats]:
    """What each response adds to the sums of ``second_columns``, each of shape (n,); nothing without opinions."""
    columns = {name: np.zeros(len(responses)) for name in second_columns(second)}
    if not set(second.names) <= set(responses.profiles.names):
        return columns
    plan = second.fitted.rule.plan
    known = plan.known(responses.profiles) & base.rule.plan.known(responses.profiles)
    for name, rows in responses.slices.rows():
        rows = rows[known[rows]]
        if not rows.size:
            continue
        own = responses.profiles.rows(rows)
        z = _row_scores(base.rule_for(name), own)
        scores = [_row_scores(rule, own) for rule in (second.fitted.rule_for(name), *second.fitted.again)]
        d = scores[0] - second.weight * z
        for column, values in zip(columns.values(), (np.ones(len(z)), z, d, d * d, *scores), strict=True):
            column[rows] = values
    return columns


def finish_slices(
    base: Fitted,
    second: Second | None,
    facts: Sequence[SliceFacts],
    *,
    sums: SliceSums,
    families: Mapping[str, str],
    how: Finish,
) -> list[Estimate | NotEnoughData]:
    """Estimate every slice: by its own labels, by second opinions where enough of it has them, else by the base.

    ``sums`` hold the columns of the base and of ``second``; ``families`` names those of slices that are not labelled.
    """
    other: dict[str, SliceFacts] = {}
    if second is not None and second.is_used:
        seconded = _second_facts(second, in_effective_responses(sums), facts)
        other = {row.name: row for row in second.fitted.spread(seconded.values(), families)}
    rows = base.spread(facts, families)
    if second is None or not other:
        return base.finish(rows, **how._asdict())
    by_labels = not how.left_out and not how.foreign
    asked = {row.name for row in rows if row.name in other and not (by_labels and row.own is not None)}
    found = base.finish([row for row in rows if row.name not in asked], **how._asdict())
    found += second.fitted.finish([other[name] for name in other if name in asked], **how._asdict())
    by_name = {row.slice: row for row in found}
    return [by_name[row.name] for row in rows]


def _second_facts(second: Second, sums: SliceSums, facts: Sequence[SliceFacts]) -> dict[str, SliceFacts]:
    """Facts of the slices with enough second opinions, by name, before the slices of a family are spread."""
    found, columns = {}, dict(zip(sums.columns, sums.values.T, strict=True))
    place = {name: i for i, name in enumerate(sums.slices)}
    for row in facts:
        i = place[row.name]
        m, z, d, dd = (float(columns[name][i]) for name in second_columns(second)[:4])
        if m < _LEAST_OPINIONS or row.n_known < m:
            continue
        scores = np.array([float(columns[f"second.u{r}"][i]) for r in range(_n_rules(second))])
        moved = scores / m + second.weight * (row.accuracies[0] - z / m)
        variance = (max(dd - d * d / m, 0.0) + _NOISE_LABELS * second.noise) / (m - 1 + _NOISE_LABELS)
        asked = "" if m == row.n_known else f"second opinions on {m:,.0f} of {row.n_known:,.0f} responses"
        found[row.name] = row._replace(
            accuracies=np.clip(moved, 0.0, 1.0),
            own=None,
            sampling=variance * max(1 / m - 1 / row.n_known, 0.0),
            note=asked,
        )
    return found
