"""What to label next: how many responses of each slice, which ones, with known inclusion probabilities."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    LabelledAccuracy,
    NotEnoughData,
    Responses,
    cut_strata,
    neyman_allocation,
    prior_spread,
    score_interval,
    stratified_mean,
)

__all__ = ["LabelPlan", "PlannedLabel", "SlicePlan", "allocate_labels", "measure_plan", "plan_labels"]

Floats = NDArray[np.float64]
_MOST_STRATA = 5
_UNKNOWN = 0.29
"""Standard deviation of an accuracy of which nothing is known: that of a uniform one."""
_LEAST_VARIANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLabel:
    """One response to label."""

    trace_id: str
    slice: str
    stratum: int
    stratum_size: int
    """Responses of the slice's stratum that had no label when the plan was made, those not captured counted."""
    inclusion_probability: float
    """Chance with which this response was captured and drawn."""
    p_correct: float | None
    labels_before: int
    """Labels of the slice when the plan was made; they are not drawn again."""
    correct_before: float
    """Their sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePlan:
    """What the plan does for one slice; half-widths are of its interval, in units of accuracy."""

    slice: str
    n: int
    n_labels: int
    n_new: int
    half_width: float
    expected_half_width: float


class LabelPlan(NamedTuple):
    """Which responses to label next."""

    labels: tuple[PlannedLabel, ...]
    slices: tuple[SlicePlan, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"labels": [asdict(row) for row in self.labels], "slices": [asdict(row) for row in self.slices]}


def plan_labels(
    responses: Responses,
    estimates: Iterable[Estimate | NotEnoughData],
    budget: int,
    *,
    rng: np.random.Generator,
    weigh: str = "traffic",
    confidence_level: float = 0.95,
) -> LabelPlan:
    """Choose which responses to label next.

    Labels go to slices one by one, each to the one whose variance, weighted by its traffic, falls most
    (``allocate_labels``). Inside a slice the unlabelled responses are cut into strata of like predicted
    correctness, Neyman's allocation shares the labels out, and responses are drawn at random: so every response has a
    known chance, and ``measure_plan`` gives a valid interval whatever the predictions are worth.

    Where responses have a ``capture_probability``, each slice is first thinned to its smallest one, so that every
    request had the same chance to be there, and sizes count the requests that the responses stand for.

    Parameters
    ----------
    responses
        With slices, labels and probabilities.
    estimates
        Label-free, of the slices; a slice that has none counts as unknown.
    budget
        Labels in all.
    rng
        Draws the responses.
    weigh
        ``"traffic"``: a slice counts by its share of responses; ``"equal"``: all slices count the same.
    confidence_level
        Coverage of the reported half-widths.

    Raises
    ------
    ConfigError
        If ``weigh`` is unknown, or the budget is more than the unlabelled responses.
    NotEnoughDataError
        If there is no response without a label.
    """
    if weigh not in {"traffic", "equal"}:
        raise ConfigError(f"`weigh` must be traffic or equal, got {weigh!r}.")
    names, rows = responses.slices.names, [own for _, own in responses.slices.rows()]
    known = {row.slice: row for row in estimates}
    before = _slice_states(responses, rows, [known.get(name) for name in names])
    left = int((before.sizes - before.known).sum())
    if not left:
        raise NotEnoughDataError("every response has a label.", "Give responses without labels.")
    if not 0 < budget <= left:
        raise ConfigError(f"`budget` must lie in 1 to {left:,}, the responses without a label, got {budget:,}.")
    traffic = np.array([responses.capture_weights[own].sum() for own in rows])
    weights = traffic / traffic.sum() if weigh == "traffic" else np.full(len(names), 1 / len(names))
    new = allocate_labels(
        before.sizes, before.known, budget, variances=before.variances, priors=before.priors, weights=weights
    )
    planned = [
        row
        for name, own, count in zip(names, rows, new, strict=True)
        if count
        for row in _drawn(name, responses.rows(own), int(count), rng=rng)
    ]
    after = before._replace(known=before.known + new)
    slices = _slice_plans(names, before, after, confidence_level=confidence_level)
    return LabelPlan(tuple(planned), slices)


class _SliceStates(NamedTuple):
    """What is known of S slices, each field of shape (S,)."""

    sizes: NDArray[np.int64]
    known: NDArray[np.int64]
    """Labels."""
    variances: Floats
    """Variance of one label."""
    priors: Floats
    """Variance of the accuracy without labels."""

    def half_widths(self, confidence_level: float) -> Floats:
        """Half-widths of the intervals of the accuracies, at most 0.5."""
        from scipy.special import ndtri

        z = float(ndtri(0.5 + confidence_level / 2))
        return np.minimum(z * np.sqrt(_variance(self.known, self.sizes, self.variances, priors=self.priors)), 0.5)


def _slice_plans(
    names: Sequence[str], before: _SliceStates, after: _SliceStates, *, confidence_level: float
) -> tuple[SlicePlan, ...]:
    now, expected = (state.half_widths(confidence_level) for state in (before, after))
    return tuple(
        SlicePlan(
            slice=names[i],
            n=int(before.sizes[i]),
            n_labels=int(before.known[i]),
            n_new=int(after.known[i] - before.known[i]),
            half_width=float(now[i]),
            expected_half_width=float(expected[i]),
        )
        for i in range(len(names))
    )


def allocate_labels(
    sizes: NDArray[np.int64],
    known: NDArray[np.int64],
    budget: int,
    *,
    variances: Floats,
    priors: Floats,
    weights: Floats,
) -> NDArray[np.int64]:
    r"""Divide a budget of labels among slices so that the weighted variance drops most.

    .. math:: V_s(m) = \Big(\frac1{\tau_s^2} + \frac1{v_s (1/m - 1/N_s)}\Big)^{-1}

    Each next label goes where :math:`w_s (V_s(m) - V_s(m + 1))` is largest. V is convex in m, so this is the best.

    Parameters
    ----------
    sizes, known
        Shape (S,), responses and labels of each slice.
    budget
        Labels to share out, at most the responses without one.
    variances
        Shape (S,), variance v of one label.
    priors
        Shape (S,), variance of the accuracy without labels.
    weights
        Shape (S,).

    Examples
    --------
    >>> sizes, none = np.array([1000, 1000]), np.array([0, 0])
    >>> allocate_labels(
    ...     sizes, none, 30, variances=np.full(2, 0.2), priors=np.array([0.04, 0.0001]), weights=np.array([0.5, 0.5])
    ... ).tolist()
    [30, 0]
    """
    given = known.astype(np.int64).copy()
    variance = _variance(given, sizes, variances, priors=priors)
    following = _variance(np.minimum(given + 1, sizes), sizes, variances, priors=priors)
    for _ in range(budget):
        gain = np.where(given < sizes, weights * (variance - following), -1.0)
        best = int(np.argmax(gain))
        given[best] += 1
        one = slice(best, best + 1)
        variance[best] = following[best]
        following[one] = _variance(
            np.minimum(given[one] + 1, sizes[one]), sizes[one], variances[one], priors=priors[one]
        )
    return given - known


def _variance(m: NDArray[np.int64], sizes: NDArray[np.int64], variances: Floats, *, priors: Floats) -> Floats:
    """Variance of the accuracy of each slice after m labels."""
    from_labels = variances * (1 / np.maximum(m, 1) - 1 / sizes)
    both = priors * from_labels / np.maximum(priors + from_labels, 1e-300)
    return np.asarray(np.where(m == 0, priors, both))


def _slice_states(
    responses: Responses, rows: Sequence[NDArray[np.int64]], estimates: Sequence[Estimate | NotEnoughData | None]
) -> _SliceStates:
    p = np.where(np.isnan(responses.p_correct), 0.5, responses.p_correct)
    deviation, known = np.sqrt(p * (1 - p)), responses.is_labelled
    return _SliceStates(
        np.array([len(own) for own in rows], dtype=np.int64),
        np.array([known[own].sum() for own in rows], dtype=np.int64),
        np.array([max(float(deviation[own].mean()) ** 2, _LEAST_VARIANCE) for own in rows]),
        np.array([_prior_spread(estimate) ** 2 for estimate in estimates]),
    )


def _prior_spread(estimate: Estimate | NotEnoughData | None) -> float:
    """Standard deviation of the accuracy of a slice without labels."""
    return min(prior_spread(estimate)[0], _UNKNOWN) if isinstance(estimate, Estimate) else _UNKNOWN


def _thinned(own: Responses, count: int, *, rng: np.random.Generator) -> tuple[Responses, float]:
    """Keep responses of one slice so that each request had the same chance to be here; that chance.

    It is the smallest probability of capture, or where that leaves fewer than ``count``, what leaves as many
    (sequential Poisson sampling, Ohlsson 1998). Responses with a label stay.
    """
    chances = 1 / own.capture_weights
    free = ~own.is_labelled
    chance = float(chances[free].min())
    if np.ptp(chances[free]) == 0:
        return own, chance
    draws = chances * rng.random(len(own))
    chance = max(chance, float(np.nextafter(np.partition(draws[free], count - 1)[count - 1], 1)))
    return own.rows(~free | (draws < chance)), chance


def _drawn(name: str, own: Responses, count: int, *, rng: np.random.Generator) -> list[PlannedLabel]:
    """Draw ``count`` of the unlabelled responses of one slice, by strata of like predicted correctness."""
    own, chance = _thinned(own, count, rng=rng)
    rows = np.flatnonzero(~own.is_labelled)
    p = np.where(np.isnan(own.p_correct[rows]), 0.5, own.p_correct[rows])
    strata = cut_strata(p, max(1, min(_MOST_STRATA, count // 4)))
    sizes = np.bincount(strata)
    spreads = np.sqrt(np.bincount(strata, p * (1 - p)) / sizes)
    given = neyman_allocation(sizes, spreads, count) if count >= 2 * len(sizes) else np.array([count])
    trace_ids, planned = own.trace_ids, []
    for h, m in enumerate(given):
        for row in rng.choice(rows[strata == h] if len(given) > 1 else rows, int(m), replace=False):
            size = int(sizes[h]) if len(given) > 1 else len(rows)
            planned.append(
                PlannedLabel(
                    trace_id=str(trace_ids[row]),
                    slice=name,
                    stratum=h,
                    stratum_size=round(size / chance),
                    inclusion_probability=chance * float(m) / size,
                    p_correct=None if np.isnan(own.p_correct[row]) else float(own.p_correct[row]),
                    labels_before=own.n_labels,
                    correct_before=float(own.correct[own.is_labelled].sum()),
                )
            )
    return planned


def measure_plan(
    rounds: Sequence[Sequence[PlannedLabel]], correct: Mapping[str, float], *, confidence_level: float = 0.95
) -> dict[str, LabelledAccuracy | NotEnoughDataError]:
    r"""Accuracy of every slice of one or more plans once their labels are there.

    In each round the labels that were there before count as known, and the drawn ones speak for the rest by stratum.
    Given the rounds before, each round's estimate is unbiased for all responses of the slice, so rounds are averaged
    with weights in proportion to their labels. Labels still missing are taken as missing at random in their stratum.

    Parameters
    ----------
    rounds
        Rows of one ``LabelPlan`` each, made one after the other.
    correct
        Label by trace id.
    confidence_level
        Of the intervals.

    Returns
    -------
    By slice, the accuracy of all its responses, or why it is not known.
    """
    found: dict[str, LabelledAccuracy | NotEnoughDataError] = {}
    for name in sorted({row.slice for planned in rounds for row in planned}):
        measured, weights = [], []
        for planned in rounds:
            own = [row for row in planned if row.slice == name]
            try:
                measured.append(_measure_round(own, correct, confidence_level))
            except NotEnoughDataError as exc:
                found[name] = exc
                continue
            weights.append(sum(row.trace_id in correct for row in own))
        if measured:
            found[name] = _merge(measured, np.array(weights) / sum(weights), confidence_level)
    return found


def _measure_round(rows: list[PlannedLabel], correct: Mapping[str, float], confidence_level: float) -> LabelledAccuracy:
    sizes = {row.stratum: row.stratum_size for row in rows}
    strata = np.repeat(list(sizes), list(sizes.values()))
    labels = np.full(len(strata), np.nan)
    for stratum, start in zip(sizes, np.cumsum([0, *sizes.values()]), strict=False):
        own = [correct[row.trace_id] for row in rows if row.stratum == stratum and row.trace_id in correct]
        labels[start : start + len(own)] = own
    rest = stratified_mean(labels, strata, confidence_level=confidence_level)
    return _with_known(rest, rows[0].labels_before, rows[0].correct_before)


def _with_known(rest: LabelledAccuracy, n_known: int, n_correct: float) -> LabelledAccuracy:
    """Put labels that are known for certain to the estimate of the rest."""
    size = rest.n + n_known
    share = rest.n / size
    accuracy, low, high = ((n_correct + rest.n * a) / size for a in (rest.accuracy, rest.low, rest.high))
    return replace(
        rest,
        accuracy=accuracy,
        low=low,
        high=high,
        standard_error=share * rest.standard_error,
        n=size,
        n_labels=rest.n_labels + n_known,
        n_effective=rest.n_effective / share**2,
        method="stratified, by plan",
    )


def _merge(measured: list[LabelledAccuracy], weights: Floats, confidence_level: float) -> LabelledAccuracy:
    """Average rounds; the last knows the most labels."""
    if len(measured) == 1:
        return measured[0]
    accuracy = float(weights @ [row.accuracy for row in measured])
    effective = 1 / float(weights**2 @ [1 / row.n_effective for row in measured])
    low, high = score_interval(accuracy, effective, confidence_level=confidence_level)
    error = float(np.sqrt(weights**2 @ [row.standard_error**2 for row in measured]))
    return replace(
        measured[-1],
        accuracy=accuracy,
        low=low,
        high=high,
        standard_error=error,
        n_effective=effective,
        n_labels=max(row.n_labels for row in measured),
        method=f"stratified, by {len(measured)} plans",
    )
