"""Alerts: what changed by more than chance, with one false-alarm rate for all that was looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nilometer.arrays import Floats, Ints
from nilometer.estimators import (
    Estimate,
    LabelledAccuracy,
    NotEnoughData,
    RiskMonitor,
    holm,
    mean_change,
    permuted_mean_change,
    score_drift,
    start_monitor,
    update_monitor,
)

__all__ = ["Alert", "Scores", "below_alert", "change_alerts", "disagreement", "fall_alert", "mix_p_value"]

_MEAN = "accuracy changed"
_ENOUGH_CLUSTERS, _MOST_PERMUTATIONS = 100, 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One detected change.

    ``kind`` is ``accuracy changed``, ``scores drifted`` or ``mix changed`` (without labels: look at the slice),
    ``estimate below`` (the whole interval is below the least accuracy) or ``accuracy fell`` (labels prove it).
    """

    kind: str
    slice: str
    window: str
    message: str
    p_value: float | None = None
    """After Holm's adjustment, or anytime-valid for ``accuracy fell``."""
    change: float | None = None
    """Of the mean probability of a correct answer, for ``accuracy changed``."""


class Scores(NamedTuple):
    """What is compared of the responses of one slice in one stretch of traffic."""

    p_correct: Floats
    score: Floats
    clusters: Ints
    """Number of the prompt."""


def change_alerts(
    looks: Sequence[tuple[str, str, Scores, Scores]],
    mix: Sequence[tuple[str, float]],
    *,
    confidence_level: float = 0.95,
    least_change: float = 0.02,
    rng: np.random.Generator,
) -> list[Alert]:
    r"""Find what changed since the reference, without labels.

    For every (slice, window): Welch's test of the mean probability of a correct answer (responses to one
    prompt as one), and the Kolmogorov-Smirnov test of the score; for every window the test of the mix. All p-values
    together are adjusted by Holm, so that the chance of any false alarm in one run is 1 − ``confidence_level``
    at most. Welch's test is too sure of slices with a handful of prompts, so what it would alert on is tested again by
    shuffling prompts (``permuted_mean_change``), and the larger p-value counts. An alert of ``accuracy changed`` also
    needs a change of ``least_change``.

    Parameters
    ----------
    looks
        Slice, window, reference and monitored scores.
    mix
        Window and p-value of ``mix_p_value``.
    confidence_level
        1 − the false-alarm rate of the run.
    least_change
        Smallest change of the mean probability worth an alert.
    rng
        Shuffles prompts.
    """
    found, p_values = _looked_at(looks, least_change)
    found += [("mix changed", "(all)", window, "the shares of the slices changed", None) for window, _ in mix]
    p_values += [p_value for _, p_value in mix]
    level = 1 - confidence_level
    surer = _confirmed(
        found, np.array(p_values), {(name, window): sides for name, window, *sides in looks}, level=level, rng=rng
    )
    return [
        Alert(kind=kind, slice=name, window=window, message=message, p_value=float(p), change=change)
        for (kind, name, window, message, change), p in zip(found, holm(surer), strict=True)
        if p <= level
    ]


_Look = tuple[str, str, str, str, float | None]
"""Kind, slice, window, message and change of one test."""


def _looked_at(
    looks: Sequence[tuple[str, str, Scores, Scores]], least_change: float
) -> tuple[list[_Look], list[float]]:
    """Every test of scores, and its p-value."""
    found: list[_Look] = []
    p_values: list[float] = []
    for slice_name, window, before, after in looks:
        change = mean_change(
            before.p_correct, after.p_correct, reference_clusters=before.clusters, clusters=after.clusters
        )
        if change is not None:
            said = f"estimated accuracy {'fell' if change.change < 0 else 'rose'} by {abs(change.change):.3f}"
            found.append((_MEAN, slice_name, window, said, change.change))
            p_values.append(change.p_value if abs(change.change) >= least_change else 1.0)
        drift = score_drift(*(_one_per_cluster(side) for side in (before, after)))
        if drift is not None:
            said = f"the score drifted: Kolmogorov-Smirnov {drift.ks:.2f}, mean shift {drift.wasserstein:.3g}"
            found.append(("scores drifted", slice_name, window, said, None))
            p_values.append(drift.p_value)
    return found, p_values


def _confirmed(
    found: Sequence[_Look],
    p_values: Floats,
    looks: Mapping[tuple[str, str], Sequence[Scores]],
    *,
    level: float,
    rng: np.random.Generator,
) -> Floats:
    """Raise the p-values of changed means to those of the permutation test, where they would alert.

    Holm's procedure then alerts on the same as if all had been tested again: raising some p-values never lets
    another one in.
    """
    raised = p_values.copy()
    n_permutations = int(min(np.ceil(2 * len(p_values) / level), _MOST_PERMUTATIONS))
    for i in np.flatnonzero(holm(p_values) <= level).tolist():
        kind, name, window, _, _ = found[i]
        if kind != _MEAN:
            continue
        before, after = looks[name, window]
        if min(len(np.unique(side.clusters)) for side in (before, after)) >= _ENOUGH_CLUSTERS:
            continue
        again = permuted_mean_change(
            before.p_correct,
            after.p_correct,
            reference_clusters=before.clusters,
            clusters=after.clusters,
            n_permutations=n_permutations,
            rng=rng,
        )
        raised[i] = max(raised[i], again or 0.0)
    return raised


def _one_per_cluster(side: Scores) -> Floats:
    """First score of each prompt: the test of distributions knows no clusters."""
    _, first = np.unique(side.clusters, return_index=True)
    return side.score[np.sort(first)]


def mix_p_value(before: Ints, after: Ints) -> float:
    """P-value of "the shares of the slices are the same", by the chi-square test of the two counts.

    Examples
    --------
    >>> mix_p_value(np.array([50, 50]), np.array([50, 50]))
    1.0
    """
    from scipy.stats import chi2_contingency

    table = np.stack([before, after])
    table = table[:, table.sum(axis=0) > 0]
    if (table.sum(axis=1) == 0).any():
        return 1.0
    return float(chi2_contingency(table, correction=False).pvalue)


def below_alert(estimate: Estimate | NotEnoughData, window: str, *, least: float) -> Alert | None:
    """Alert if the whole interval of an estimate lies below ``least``."""
    if not isinstance(estimate, Estimate) or estimate.high >= least:
        return None
    said = f"estimated accuracy {estimate.accuracy:.2f}, at most {estimate.high:.2f}, is below {least:g}"
    return Alert(kind="estimate below", slice=estimate.slice, window=window, message=said)


def disagreement(estimate: Estimate | NotEnoughData, realized: LabelledAccuracy | None) -> str:
    """Say that the interval of the estimate and that of the labels have no accuracy in common; empty if they have."""
    if realized is None or not isinstance(estimate, Estimate):
        return ""
    if estimate.low <= realized.high and realized.low <= estimate.high:
        return ""
    return (
        f"{estimate.slice}: labels say {realized.low:.2f} to {realized.high:.2f}, the estimate {estimate.low:.2f} to "
        f"{estimate.high:.2f}; fit the sentinel again with these labels"
    )


def fall_alert(
    name: str,
    batches: Sequence[tuple[str, Floats, Floats]],
    *,
    least: float,
    confidence_level: float,
    rng: np.random.Generator,
) -> Alert | None:
    """Alert at the first window after which labels prove that the accuracy of a slice fell below ``least``.

    Parameters
    ----------
    name
        The slice.
    batches
        Window, labels (NaN where there is none) and probabilities, in order of time.
    least
        Alert when accuracy falls below this.
    confidence_level
        1 − chance of a false alarm over all windows together.
    rng
        Puts labels in random order.
    """
    state: RiskMonitor = start_monitor(least)
    for window, correct, p_correct in batches:
        state = update_monitor(state, correct, p_correct, rng=rng)
        if state.has_fallen(confidence_level):
            said = f"{state.n_labels} labels prove an accuracy below {least:g}"
            return Alert(kind="accuracy fell", slice=name, window=window, message=said, p_value=state.p_value)
    return None
