"""Slices estimated by rules that never saw their family, and what such estimates are worth."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats, Ints
from nilometer.traces import index_slices

from ..residuals import LEAST_SLICES, Residuals, fit_residuals
from ..responses import Responses
from .rules.levels import fit_level_slope, spread_levels
from .rules.rule import AccuracyRule, FitPlan, fit_rule
from .rules.threshold import Threshold, fit_threshold, thresholded_accuracy

__all__ = [
    "MOST_GROUPS",
    "Gain",
    "LeftOut",
    "LeftOutColumns",
    "Skill",
    "as_columns",
    "compare_errors",
    "describe_skill",
    "family_of_slices",
    "fit_left_out",
    "fit_skill",
    "left_out_probabilities",
    "left_out_residuals",
]


MOST_GROUPS = 50


class LeftOut(NamedTuple):
    """A labelled slice, estimated by a rule that never saw its family."""

    rule: AccuracyRule
    family: str
    group: int
    """Families of one group were left out together; each family is a group of its own where they are few."""
    estimated: float
    realized: float
    n_labels: int
    constant: float
    """Accuracy of the other families."""
    atc: float
    """Estimate by thresholding one feature."""


class LeftOutColumns(NamedTuple):
    """The numbers of all left-out slices, each of shape (slices,)."""

    family: Ints
    """Number of the family, in the order of their names."""
    group: Floats
    estimated: Floats
    realized: Floats
    n_labels: Floats
    constant: Floats
    atc: Floats

    def without(self, group: float) -> "LeftOutColumns":
        """Leave one group of families out."""
        return LeftOutColumns(*(column[self.group != group] for column in self))

    def spread(self) -> "LeftOutColumns":
        """Spread the slices of each family by the slope that the others have."""
        place = np.unique(self.family, return_inverse=True)[1]
        slope = fit_level_slope(self.estimated, self.realized, place).left_out
        return self._replace(estimated=spread_levels(self.estimated, place, slope[place]))


class Gain(NamedTuple):
    """How much smaller the error of left-out slices is than that of a simpler estimate."""

    error: float
    """Mean absolute error of the estimates, families weighted equally."""
    other_error: float
    """That of the simpler estimate."""
    gain: float
    """``other_error - error``; above 0 the estimates are worth something."""
    low: float
    high: float
    """Interval of ``gain``, by t over the families."""
    standard_error: float
    n_families: int


class Skill(NamedTuple):
    """Worth of the estimates, measured on families that were left out."""

    over_constant: Gain
    """Against the accuracy of the other families."""
    over_atc: Gain
    """Against a threshold on one feature."""
    n_families: int


def family_of_slices(labelled: Responses) -> dict[str, list[str]]:
    """Return the slices of every family in a group whose absence leaves labels of both kinds.

    Raises
    ------
    ValueError
        If a slice lies in two families.
    """
    groups = set(_groups(labelled))
    group_of = dict(zip(labelled.families.names, _group_codes(labelled).tolist(), strict=True))
    slices: dict[str, list[str]] = {}
    for name, family in labelled.family_of.items():
        if group_of[family] in groups:
            slices.setdefault(family, []).append(name)
    return slices


def _group_codes(labelled: Responses) -> Ints:
    """Group of every family, shape (families,)."""
    return np.arange(len(labelled.families.names)) % MOST_GROUPS


def _groups(labelled: Responses) -> list[int]:
    """Groups of families whose absence leaves labels of both kinds."""
    group = _group_codes(labelled)[labelled.families.codes]
    right, wrong = np.bincount(group, labelled.correct >= 0.5), np.bincount(group, labelled.correct < 0.5)
    return np.flatnonzero((right.sum() > right) & (wrong.sum() > wrong)).tolist()


def fit_left_out(labelled: Responses, plan: FitPlan) -> dict[str, LeftOut]:
    """Estimate every labelled slice by a rule that never saw its family.

    Every group of families takes a fit on nearly all labels, so of more than ``MOST_GROUPS`` families several are left
    out together, every ``MOST_GROUPS``-th by name.
    """
    left_out: dict[str, LeftOut] = {}
    group_of, family_of = _group_codes(labelled)[labelled.families.codes], labelled.family_of
    for group in _groups(labelled):
        own, rest = labelled.rows(group_of == group), labelled.rows(group_of != group)
        rule, threshold = fit_rule(rest, plan), _threshold(rest, plan.feature)
        otherwise = float(rest.correct.mean())
        estimated = rule.estimate_slices(own.profiles, own.slices).tolist()
        score = own.profiles.column(plan.feature) if plan.feature in own.profiles.names else np.full(len(own), np.nan)
        for (name, rows), one in zip(own.slices.rows(), estimated, strict=True):
            left_out[name] = LeftOut(
                rule,
                family_of[name],
                group,
                one,
                float(own.correct[rows].mean()),
                len(rows),
                rule.accuracy,
                _thresholded(score[rows], threshold, otherwise=otherwise),
            )
    return dict(sorted(left_out.items()))


def _threshold(rest: Responses, feature: str) -> Threshold | None:
    """Threshold of one feature on the responses that have it; None if none has."""
    if feature not in rest.profiles.names:
        return None
    score = rest.profiles.column(feature)
    known = ~np.isnan(score)
    return fit_threshold(score[known], rest.correct[known], weights=rest.weights[known]) if known.any() else None


def _thresholded(score: Floats, threshold: Threshold | None, *, otherwise: float) -> float:
    """Estimate by thresholding one feature; ``otherwise`` where it is not known."""
    given = score[~np.isnan(score)]
    return otherwise if threshold is None or not given.size else thresholded_accuracy(given, threshold)


def as_columns(left_out: Iterable[LeftOut]) -> LeftOutColumns:
    """Put the numbers of the left-out slices side by side."""
    rows = list(left_out)
    numbers = [[getattr(row, name) for row in rows] for name in LeftOutColumns._fields[1:]]
    family = index_slices([row.family for row in rows]).codes
    return LeftOutColumns(family, *(np.array(v, dtype=np.float64) for v in numbers))


def left_out_residuals(columns: LeftOutColumns, *, constant: bool = False) -> Residuals | None:
    """Summarise the residuals; None from fewer than ``LEAST_SLICES`` families.

    ``constant`` takes those of the constant estimate.
    """
    if np.unique(columns.family).size < LEAST_SLICES:
        return None
    estimated = columns.constant if constant else columns.estimated
    return fit_residuals(estimated, columns.realized, columns.n_labels, families=columns.family)


def fit_skill(columns: LeftOutColumns, *, confidence_level: float = 0.95) -> Skill | None:
    """Compare the errors of left-out slices with simpler estimates; None from fewer than two families."""
    names, place, sizes = np.unique(columns.family, return_inverse=True, return_counts=True)
    if names.size < 2:
        return None
    errors = [
        np.bincount(place, np.abs(values - columns.realized)) / sizes
        for values in (columns.estimated, columns.constant, columns.atc)
    ]
    over_constant, over_atc = (_gain(errors[0], other, confidence_level) for other in errors[1:])
    return Skill(over_constant, over_atc, int(names.size))


def compare_errors(columns: LeftOutColumns, other: Floats, *, confidence_level: float = 0.95) -> Gain:
    """Compare the errors of left-out slices with those of other estimates of them, shape (slices,)."""
    _, place, sizes = np.unique(columns.family, return_inverse=True, return_counts=True)
    own, their = (
        np.bincount(place, np.abs(values - columns.realized)) / sizes for values in (columns.estimated, other)
    )
    return _gain(own, their, confidence_level)


def _gain(error: Floats, other: Floats, confidence_level: float) -> Gain:
    from scipy.stats import t

    gain = other - error
    standard_error = float(gain.std(ddof=1) / np.sqrt(gain.size))
    half = float(t.ppf(0.5 + confidence_level / 2, gain.size - 1)) * standard_error
    mean = float(gain.mean())
    return Gain(float(error.mean()), float(other.mean()), mean, mean - half, mean + half, standard_error, gain.size)


def left_out_probabilities(labelled: Responses, left_out: Mapping[str, LeftOut]) -> tuple[Floats, Floats]:
    """Return (probability of a correct answer, label) of the labelled responses, each family left out once.

    Families whose absence leaves labels of one kind only are not among them.
    """
    names = labelled.slices.names
    groups = np.array([left_out[name].group if name in left_out else -1 for name in names], dtype=np.int64)
    rules = {one.group: one.rule for one in left_out.values()}
    own = groups[labelled.slices.codes]
    found = np.empty(len(labelled))
    for group, rule in rules.items():
        rows = np.flatnonzero(own == group)
        found[rows] = rule.p_correct(labelled.profiles.rows(rows))
    order = np.argsort(labelled.slices.codes, kind="stable")
    order = order[own[order] >= 0]
    return found[order], labelled.correct[order]


def describe_skill(skill: Skill | None, *, falls_back: bool) -> list[str]:
    """Say what the estimates are worth on left-out families."""
    if skill is None:
        return []
    own, other = skill.over_constant, skill.over_atc
    if falls_back:
        return [
            f"on {skill.n_families} left-out families the estimates from log-probabilities were off by "
            f"{own.error:.3f}, the labelled accuracy alone by {own.other_error:.3f}: no skill, so every slice gets the "
            "labelled accuracy, with the interval that belongs to it"
        ]
    return [
        f"on {skill.n_families} left-out families the estimates were off by {own.error:.3f}, the labelled accuracy "
        f"alone by {own.other_error:.3f} (gain {own.gain:+.3f}, {own.low:+.3f} to {own.high:+.3f}), a threshold on "
        f"one feature by {other.other_error:.3f} (gain {other.gain:+.3f}, {other.low:+.3f} to {other.high:+.3f})"
    ]
