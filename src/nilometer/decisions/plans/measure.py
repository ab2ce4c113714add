"""What the labels of a plan show, and what they can be expected to show before they are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    LabelledAccuracy,
    NotEnoughData,
    SliceEstimates,
    StratumSums,
    combine_slices,
    draw_accuracies,
    score_interval,
    stratified_mean_of_sums,
)

from .standing import Standing

__all__ = ["Design", "PlannedLabel", "design_of", "labels_alone", "measure_plan", "promised_half_width"]

_DRAWS = 16
_EDGE = 0.01


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


class Design(NamedTuple):
    """How the labels of one slice are drawn: H strata, fields of shape (H,)."""

    sizes: Floats
    n_labels: Floats
    p_correct: Floats
    """Mean predicted correctness of the drawn responses."""
    labels_before: int
    correct_before: float


def design_of(planned: Sequence[PlannedLabel]) -> Design:
    """Return how the planned labels of one slice were drawn."""
    strata = sorted({row.stratum for row in planned})
    own = [[row for row in planned if row.stratum == stratum] for stratum in strata]
    p = [np.mean([0.5 if row.p_correct is None else row.p_correct for row in rows]) for rows in own]
    return Design(
        np.array([rows[0].stratum_size for rows in own], dtype=np.float64),
        np.array([len(rows) for rows in own], dtype=np.float64),
        np.array(p, dtype=np.float64),
        planned[0].labels_before,
        planned[0].correct_before,
    )


def promised_half_width(
    design: Design, standing: Standing, *, rng: np.random.Generator, confidence_level: float = 0.95
) -> float:
    r"""Half-width of the interval that ``measure_plan`` will give, the median over what the labels may say.

    The accuracy a of the slice is drawn from its number now, the predicted correctness :math:`p_h` of each stratum is
    moved on the log-odds scale to agree with it, labels are drawn and measured:

    .. math:: \operatorname{logit} q_h = \operatorname{logit} p_h + c, \quad
              \sum_h \frac{N_h}{N} q_h = a, \qquad k_h \sim \operatorname{Binomial}(m_h, q_h)

    Parameters
    ----------
    design
        Of the planned labels.
    standing
        What is known of the slice now.
    rng
        Of the draws.
    confidence_level
        Of the interval.
    """
    accuracies = draw_accuracies(standing.estimate, _DRAWS, rng=rng)
    rests = []
    for accuracy in accuracies.tolist():
        counts = rng.binomial(design.n_labels.astype(np.int64), _moved(design, accuracy)).astype(np.float64)
        sums = StratumSums(design.sizes, design.n_labels, counts, counts)
        rests.append(stratified_mean_of_sums(sums, confidence_level=confidence_level))
    return float(np.median([(found.high - found.low) / 2 for found in _estimated(rests, standing)]))


def _moved(design: Design, accuracy: float) -> Floats:
    """Chances of a correct answer in the strata that agree with an accuracy of the slice."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    share = design.sizes / design.sizes.sum()
    centre = logit(np.clip(design.p_correct, _EDGE, 1 - _EDGE))
    wanted = float(np.clip(accuracy, _EDGE, 1 - _EDGE))
    shift = brentq(lambda c: float(share @ expit(centre + c)) - wanted, -20.0, 20.0)
    return np.asarray(expit(centre + shift))


def measure_plan(
    rounds: Sequence[Sequence[PlannedLabel]],
    correct: Mapping[str, float],
    *,
    standing: Sequence[Standing] = (),
    confidence_level: float = 0.95,
) -> SliceEstimates:
    r"""Accuracy of every slice once the labels of one or more plans are there.

    In each round the labels that were there before count as known, and the drawn ones speak for the rest by stratum.
    Given the rounds before, each round's estimate is unbiased for all responses of the slice, so rounds are averaged
    with weights in proportion to their labels. Labels still missing are taken as missing at random in their stratum.
    The result is combined with the number that the slice had before (``combine``), so that nothing that was known is
    lost; a slice that no plan asks about keeps its number.

    Parameters
    ----------
    rounds
        Rows of one ``LabelPlan`` each, made one after the other.
    correct
        Label by trace id.
    standing
        Of the first plan. Without it the labels alone give the numbers, of the planned slices only.
    confidence_level
        Of intervals from labels alone; the others keep that of the estimate.
    """
    known = {row.slice: row for row in standing}
    names = sorted({row.slice for planned in rounds for row in planned} | set(known))
    return SliceEstimates(
        _measured(name, rounds, correct, standing=known.get(name), confidence_level=confidence_level) for name in names
    )


def labels_alone(
    name: str,
    rounds: Sequence[Sequence[PlannedLabel]],
    correct: Mapping[str, float],
    *,
    confidence_level: float = 0.95,
) -> LabelledAccuracy | None:
    """Accuracy of a slice by the labels of its plans and those of before; None where they do not allow one."""
    return _merged(name, rounds, correct, confidence_level=confidence_level, before=(0, 0.0))


def _merged(
    name: str,
    rounds: Sequence[Sequence[PlannedLabel]],
    correct: Mapping[str, float],
    *,
    confidence_level: float,
    before: tuple[int, float],
) -> LabelledAccuracy | None:
    """Accuracy of the responses of a slice but those that had labels ``before``: their number and sum."""
    measured, weights = [], []
    for planned in rounds:
        own = [row for row in planned if row.slice == name]
        try:
            measured.append(_measure_round(own, correct, confidence_level=confidence_level, before=before))
        except NotEnoughDataError:
            continue
        weights.append(sum(row.trace_id in correct for row in own))
    return _merge(measured, np.array(weights) / sum(weights), confidence_level) if measured else None


def _measured(
    name: str,
    rounds: Sequence[Sequence[PlannedLabel]],
    correct: Mapping[str, float],
    *,
    standing: Standing | None,
    confidence_level: float,
) -> Estimate | NotEnoughData:
    before = (0, 0.0) if standing is None or standing.accuracy is None else (standing.n_labels, standing.n_correct)
    found = _merged(name, rounds, correct, confidence_level=confidence_level, before=before)
    if found is not None:
        return replace(_estimated([found], standing)[0], slice=name)
    if standing is not None:
        return standing.estimate
    planned = [row for one in rounds for row in one if row.slice == name]
    given = sum(row.trace_id in correct for row in planned)
    reason = f"{given} of its {len(planned)} planned responses have labels."
    needed = "Label at least 2, one in every stratum."
    return NotEnoughData(slice=name, n=sum(_sizes(planned).values()), reason=reason, needed=needed, n_labels=given)


def _estimated(found: Sequence[LabelledAccuracy], standing: Standing | None) -> list[Estimate]:
    """Combine each thing that labels may say of the rest of a slice with the number it had, and the labels of then."""
    known = None if standing is None else standing.estimate
    n_labels, n_correct = 0, 0.0
    if standing is not None and isinstance(known, Estimate):
        n, level = len(found), known.confidence_level
        found = combine_slices([known] * n, found, confidence_levels=[level] * n)
        n_labels, n_correct = standing.n_labels, standing.n_correct
    return [_whole(_with_known(one, n_labels, n_correct), standing) for one in found]


def _whole(whole: LabelledAccuracy, standing: Standing | None) -> Estimate:
    return Estimate(
        slice="" if standing is None else standing.slice,
        n=whole.n,
        accuracy=whole.accuracy,
        low=whole.low,
        high=whole.high,
        confidence_level=whole.confidence_level,
        method=whole.method,
        n_labels=whole.n_labels,
        spread=whole.standard_error,
        degrees=float("inf"),
    )


def _sizes(rows: Sequence[PlannedLabel]) -> dict[int, int]:
    return {row.stratum: row.stratum_size for row in rows}


def _measure_round(
    rows: Sequence[PlannedLabel], correct: Mapping[str, float], *, confidence_level: float, before: tuple[int, float]
) -> LabelledAccuracy:
    given = [row for row in rows if row.trace_id in correct]
    if len(given) < min(2, len(rows)) or not given or {row.stratum for row in given} != set(_sizes(rows)):
        raise NotEnoughDataError("too few of the planned responses have labels.", "Label responses of every stratum.")
    labels = np.array([correct[row.trace_id] for row in given])
    place = np.unique([row.stratum for row in given], return_inverse=True)[1]
    design = design_of(rows)
    sums = (np.bincount(place, weights) for weights in (np.ones(len(given)), labels, labels**2))
    rest = stratified_mean_of_sums(
        StratumSums(design.sizes, *(one.astype(np.float64) for one in sums)), confidence_level=confidence_level
    )
    rest = replace(rest, method="stratified, by plan")
    return _with_known(rest, design.labels_before - before[0], design.correct_before - before[1])


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
