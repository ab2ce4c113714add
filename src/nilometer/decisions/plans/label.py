"""What to label next: how many responses of each slice, which ones, with known inclusion probabilities."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from nilometer.arrays import Floats, Ints
from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    NotEnoughData,
    Responses,
    cut_strata,
    neyman_allocation,
    prior_spread,
    with_labels,
)

from .measure import PlannedLabel, design_of, promised_half_width
from .standing import Standing, standing_of

__all__ = ["LabelOptions", "LabelPlan", "SlicePlan", "allocate_labels", "plan_labels"]

_MOST_STRATA = 5
_UNKNOWN = 0.29
"""Standard deviation of an accuracy of which nothing is known: that of a uniform one."""
_LEAST_VARIANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePlan:
    """What the plan does for one slice; half-widths are of its interval, in units of accuracy."""

    slice: str
    n: int
    n_labels: int
    n_new: int
    half_width: float
    """Of its interval now: half of its length."""
    expected_half_width: float
    """Of the interval that ``measure_plan`` will give, the median over what the labels may say."""


class LabelOptions(NamedTuple):
    """How to plan labels."""

    weigh: str = "traffic"
    """``"traffic"``: a slice counts by its share of responses; ``"equal"``: all slices count the same."""
    confidence_level: float = 0.95
    """Of the intervals of slices that have no estimate; the others keep that of theirs."""


class LabelPlan(NamedTuple):
    """Which responses to label next."""

    labels: tuple[PlannedLabel, ...]
    slices: tuple[SlicePlan, ...]
    """What the plan does for every slice; empty in a plan that was read from a file."""
    standing: tuple[Standing, ...] = ()
    """What is known of every slice before the plan's labels."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {key: [asdict(row) for row in rows] for key, rows in self._asdict().items()}


def plan_labels(
    responses: Responses,
    estimates: Iterable[Estimate | NotEnoughData],
    budget: int,
    *,
    rng: np.random.Generator,
    believed: Iterable[Estimate | NotEnoughData] | None = None,
    options: LabelOptions | None = None,
) -> LabelPlan:
    """Choose which responses to label next.

    Labels go to slices one by one, each to the one whose variance, weighted by its traffic, falls most
    (``allocate_labels``). Inside a slice the unlabelled responses are cut into strata of like predicted
    correctness, Neyman's allocation shares the labels out, and responses are drawn at random: so every response has a
    known chance, and the labels alone give a valid interval whatever the predictions are worth.

    The expected half-widths are those of ``measure_plan``, simulated: labels are drawn by the plan's own design, with
    an accuracy of the slice drawn from what is known of it, and measured as they will be.

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
    believed
        The numbers of the slices from everything that is known (``headline_estimates``); None makes them from the
        estimates and the labels.
    options
        How slices count, and the level of the half-widths.

    Raises
    ------
    ConfigError
        If ``weigh`` is unknown, or the budget is more than the unlabelled responses.
    NotEnoughDataError
        If there is no response without a label.
    """
    weigh, level = options or LabelOptions()
    if weigh not in {"traffic", "equal"}:
        raise ConfigError(f"`weigh` must be traffic or equal, got {weigh!r}.")
    names, rows = responses.slices.names, [own for _, own in responses.slices.rows()]
    label_free = tuple(estimates)
    known = {row.slice: row for row in label_free}
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
    planned = {
        name: _drawn(name, responses.rows(own), int(count), rng=rng)
        for name, own, count in zip(names, rows, new, strict=True)
        if count
    }
    if believed is None:
        blank = [known.get(name) or _nothing(name, len(own)) for name, own in zip(names, rows, strict=True)]
        believed = with_labels(blank, responses, confidence_level=level)
    standing = tuple(standing_of(row) for row in believed)
    slices = [
        _slice_plan(row, planned.get(row.slice, ()), rng=np.random.default_rng(i), confidence_level=level)
        for i, row in enumerate(standing)
    ]
    return LabelPlan(tuple(row for rows in planned.values() for row in rows), tuple(slices), standing)


def _nothing(name: str, n: int) -> NotEnoughData:
    return NotEnoughData(slice=name, n=n, reason="No sentinel.", needed="Label at least 2 of its responses.")


def _slice_plan(
    row: Standing, planned: Sequence[PlannedLabel], *, rng: np.random.Generator, confidence_level: float
) -> SlicePlan:
    """Say what the plan does for a slice."""
    half = expected = row.half_width
    if planned:
        expected = promised_half_width(design_of(planned), row, rng=rng, confidence_level=confidence_level)
    return SlicePlan(
        slice=row.slice,
        n=row.n,
        n_labels=row.n_labels,
        n_new=len(planned),
        half_width=half,
        expected_half_width=expected,
    )


class _SliceStates(NamedTuple):
    """What is known of S slices, each field of shape (S,)."""

    sizes: Ints
    known: Ints
    """Labels."""
    variances: Floats
    """Variance of one label."""
    priors: Floats
    """Variance of the accuracy without labels."""


def allocate_labels(
    sizes: Ints,
    known: Ints,
    budget: int,
    *,
    variances: Floats,
    priors: Floats,
    weights: Floats,
) -> Ints:
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


def _variance(m: Ints, sizes: Ints, variances: Floats, *, priors: Floats) -> Floats:
    """Variance of the accuracy of each slice after m labels."""
    from_labels = variances * (1 / np.maximum(m, 1) - 1 / sizes)
    both = priors * from_labels / np.maximum(priors + from_labels, 1e-300)
    return np.asarray(np.where(m == 0, priors, both))


def _slice_states(
    responses: Responses, rows: Sequence[Ints], estimates: Sequence[Estimate | NotEnoughData | None]
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
