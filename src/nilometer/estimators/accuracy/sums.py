"""A slice as facts: from sums over its responses, or from the responses where a method needs them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from nilometer.arrays import Bools, Floats, Ints

from ..missing import count_seen, may_be_related, related_to, seen_columns
from ..profiles import Profiles
from ..responses import Responses
from ..state import SliceSums
from .facts import SliceFacts
from .fitted import GUARDED, Fitted
from .known import KnownSlices, KnownSums, known_accuracy, known_columns
from .rules.rule import AccuracyRule, target_scores
from .rules.scores import ScoreSums, score_columns
from .support import Outside, SupportCounts, count_columns, may_be_outside, outside_counts

__all__ = ["facts_of_responses", "facts_of_sums", "in_effective_responses", "sum_columns", "sum_responses"]


_COUNTS = ("n", "n_labels")
_WEIGHTED = ("weight", "weight2", "weight_labelled", "n_correct", "n_known")
_OWN = ("own.p", "own.slope", "own.moment")
_LEAST_OWN = 5
"""Labels from which a slice has an estimate of its own; with fewer it follows the rule that never saw it."""


def sum_columns(fitted: Fitted) -> tuple[str, ...]:
    """What has to be summed to estimate slices: counts, where they lie, and scores by every rule."""
    support = [_support_column(feature, name) for feature in GUARDED for name in SupportCounts._fields]
    rules = [_rule_column(i, name) for i in range(1 + len(fitted.again)) for name in fitted.rule.plan.arm.reads]
    own = _OWN if fitted.own is not None else ()
    return (*_COUNTS, *_WEIGHTED, *seen_columns(), *support, *rules, *own)


def _support_column(feature: str, name: str) -> str:
    return f"{feature}.{name}"


def _rule_column(i: int, name: str) -> str:
    return f"rule{i}.{name}"


def sum_responses(
    fitted: Fitted, responses: Responses, *, key: str = "", more: Mapping[str, Floats] | None = None
) -> SliceSums:
    r"""Sum over the responses of every slice what its estimate needs, and ``more`` columns beside it.

    All but the plain counts are weighted by :math:`w_i = 1 / \pi_i` with the probability of capture :math:`\pi_i`, so
    that what was captured rarely counts for the traffic that it stands for.
    """
    profiles = responses.profiles
    known = fitted.rule.plan.known(profiles)
    labelled = responses.is_labelled
    columns: dict[str, Floats] = {
        "n": np.ones(len(responses)),
        "n_labels": labelled.astype(np.float64),
        "weight": np.ones(len(responses)),
        "weight2": responses.capture_weights,
        "weight_labelled": labelled.astype(np.float64),
        "n_correct": np.where(labelled, responses.correct, 0.0),
        "n_known": known.astype(np.float64),
        **count_seen(responses, known),
    }
    for feature in GUARDED:
        has = feature in profiles.names
        score = profiles.column(feature) if has else np.full(len(responses), np.nan)
        counts = count_columns(score, fitted.support[feature])
        columns |= {_support_column(feature, name): column for name, column in counts.items()}
    own = _by_own_rules(fitted, responses, known)
    columns |= {_rule_column(0, name): column for name, column in own.items()}
    for i, rule in enumerate(fitted.again, 1):
        columns |= {_rule_column(i, name): column for name, column in _by_rule(rule, profiles, known).items()}
    if fitted.own is not None:
        columns |= dict(zip(_OWN, _own_columns(fitted.own, fitted.rule, responses, known=known), strict=True))
    columns |= dict(more or {})
    weights = responses.capture_weights
    if (weights != 1).any():
        columns = {name: column if name in _COUNTS else column * weights for name, column in columns.items()}
    provenance = {name: frozenset(found) for name, found in profiles.provenance.items()}
    return SliceSums.of(responses.slices, columns, key=key, provenance=provenance)


def _own_columns(own: KnownSlices, rule: AccuracyRule, responses: Responses, *, known: Bools) -> tuple[Floats, ...]:
    """What each response of a known slice adds to the sums of its own line; nothing without log-probabilities."""
    place = _own_place(own, responses.slices.names)[responses.slices.codes]
    rows = np.flatnonzero((place >= 0) & known)
    found = tuple(np.zeros(len(responses)) for _ in _OWN)
    if rows.size:
        for column, values in zip(
            found, known_columns(own, place[rows], rule.p_mixed(responses.profiles.rows(rows))), strict=True
        ):
            column[rows] = values
    return found


def _own_place(own: KnownSlices, names: tuple[str, ...]) -> Ints:
    """Number of each slice among the known ones with enough labels; -1 for the others."""
    known = {name: i for i, (name, n) in enumerate(zip(own.names, own.n_labels, strict=True)) if n >= _LEAST_OWN}
    return np.array([known.get(name, -1) for name in names], dtype=np.int64)


def _own_accuracies(fitted: Fitted, sums: SliceSums) -> list[tuple[float, float, int] | None]:
    """Accuracy of every slice by its own labels, its standard deviation and their number; None without them."""
    if fitted.own is None:
        return [None] * len(sums.slices)
    place = _own_place(fitted.own, sums.slices)
    rows = np.flatnonzero(place >= 0)
    totals = KnownSums(*(sums.column(name)[rows] for name in ("n_known", *_OWN)))
    own = fitted.own.take(place[rows])
    found = (*known_accuracy(own, totals), own.n_labels)
    pairs = dict(zip(rows.tolist(), zip(*(values.tolist() for values in found), strict=True), strict=True))
    return [pairs.get(i) for i in range(len(sums.slices))]


def _by_rule(rule: AccuracyRule, profiles: Profiles, known: Bools) -> Mapping[str, Floats]:
    """What each response adds to the sums that the method reads, by one rule; nothing without log-probabilities."""
    found = {name: np.zeros(len(profiles)) for name in rule.plan.arm.reads}
    if rule.learned is not None and known.any():
        inside = score_columns(rule.learned, target_scores(rule, profiles.rows(known)))
        for name, column in found.items():
            column[known] = inside[name]
    return found


def _by_own_rules(fitted: Fitted, responses: Responses, known: Bools) -> Mapping[str, Floats]:
    """The same by the rule of each response's slice."""
    profiles, index = responses.profiles, responses.slices
    groups = [fitted.left_out[name].group if name in fitted.left_out else None for name in index.names]
    order: dict[int | None, int] = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    if len(order) <= 1:
        return _by_rule(fitted.rule_for(index.names[0]) if index.names else fitted.rule, profiles, known)
    place = np.array([order[group] for group in groups])[index.codes]
    found = {name: np.zeros(len(profiles)) for name in fitted.rule.plan.arm.reads}
    for group, i in order.items():
        rows = np.flatnonzero(place == i)
        rule = fitted.rule_for(index.names[groups.index(group)])
        for name, column in _by_rule(rule, profiles.rows(rows), known[rows]).items():
            found[name][rows] = column
    return found


def facts_of_sums(
    fitted: Fitted, sums: SliceSums, *, median: Callable[[str, str], float] | None = None
) -> Iterator[SliceFacts]:
    """Read the facts of every slice off its sums; ``median(feature, slice)``, where known, is named in notes."""
    sums = in_effective_responses(sums)
    columns = dict(zip(sums.columns, sums.values.T, strict=True))
    own, outside = _own_accuracies(fitted, sums), _all_outside(fitted, sums, median)
    related = _all_related(sums)
    n_correct = columns["n_labels"] * columns["n_correct"] / np.maximum(columns["weight_labelled"], 1e-300)
    counts = [columns["n"].round().astype(int), columns["n_labels"].round().astype(int), n_correct]
    numbers = zip(*(one.tolist() for one in (*counts, columns["weight"], columns["n_known"])), strict=True)
    scores = zip(*(_scores(fitted, columns, r) for r in range(1 + len(fitted.again))), strict=True)
    for i, (name, row, own_scores) in enumerate(zip(sums.slices, numbers, scores, strict=True)):
        rules = (fitted.rule_for(name), *fitted.again)
        accuracies = [rule.estimate_sums(one) for rule, one in zip(rules, own_scores, strict=True)]
        n, n_labels, right, n_effective, n_known = row
        given = (name, n, n_labels, right, n_effective, n_known)
        yield SliceFacts(*given, outside.get(i), np.array(accuracies), related.get(i, ""), own[i])


def _scores(fitted: Fitted, columns: Mapping[str, Floats], r: int) -> Iterator[ScoreSums]:
    """Sums of the scores of every slice by one rule."""
    given = {field: columns[_rule_column(r, field)] for field in fitted.rule.plan.arm.reads}
    given["n"] = columns["n_known"]
    zeros = np.zeros(len(columns["n_known"]))
    return map(ScoreSums._make, zip(*(given.get(name, zeros).tolist() for name in ScoreSums._fields), strict=True))


def _all_related(sums: SliceSums) -> dict[int, str]:
    """In what the responses without log-probabilities differ from the others, by number of the slice."""
    columns = {name: sums.column(name) for name in seen_columns()}
    rows = np.flatnonzero(may_be_related(columns)).tolist()
    said = {i: related_to({name: float(column[i]) for name, column in columns.items()}) for i in rows}
    return {i: found for i, found in said.items() if found}


def _all_outside(fitted: Fitted, sums: SliceSums, median: Callable[[str, str], float] | None) -> dict[int, Outside]:
    """By which feature each slice is surest, of those that are surer than what was labelled, by number of the slice."""
    found: dict[int, list[Outside | None]] = {}
    for feature in GUARDED:
        counts = [sums.column(_support_column(feature, field)) for field in SupportCounts._fields]
        support = fitted.support[feature]
        for i in np.flatnonzero(may_be_outside(counts, support)).tolist():
            own = SupportCounts(*(float(one[i]) for one in counts))
            one = outside_counts(own, support, name=feature)
            if one is not None and median is not None:
                one = outside_counts(own, support, name=feature, centre=median(feature, sums.slices[i]))
            found.setdefault(i, []).append(one)
    worst = {i: _worst(ones) for i, ones in found.items()}
    return {i: one for i, one in worst.items() if one is not None}


def in_effective_responses(sums: SliceSums) -> SliceSums:
    r"""Scale the weighted sums of each slice so that its weights add up to the effective number of responses.

    .. math:: n_{\text{eff}} = \frac{(\sum_i w_i)^2}{\sum_i w_i^2}

    Shares stay as they are, and every test and interval counts as many responses as tell as much with equal weights
    (Kish, 1965, "Survey Sampling", sec. 8.2). With equal weights nothing changes.
    """
    total, squares = sums.column("weight"), sums.column("weight2")
    scale = np.divide(total, squares, out=np.ones_like(total), where=squares > 0)
    weighted = np.array([name not in _COUNTS for name in sums.columns])
    return replace(sums, values=np.where(weighted, sums.values * scale[:, None], sums.values))


def _worst(found: list[Outside | None]) -> Outside | None:
    """Return the feature by which most responses lie beyond; None if the slice lies inside all hulls."""
    outside = [one for one in found if one is not None]
    return max(outside, key=lambda one: one.beyond) if outside else None


def facts_of_responses(fitted: Fitted, responses: Responses, sums: SliceSums) -> Iterator[SliceFacts]:
    """Collect the facts of every slice from its sums; a method that does not add up reads the responses of each."""
    slices = dict(responses.slices.rows())
    profiles = responses.profiles

    def median(feature: str, name: str) -> float:
        return float(np.nanmedian(profiles.column(feature)[slices[name]]))

    by_rows = fitted.rule.plan.arm.of_rows is not None and fitted.rule.learned is not None
    if by_rows and np.unique(responses.capture_weights).size > 1:
        raise ValueError(
            f"`method` must be one that adds up where probabilities of capture differ, got {fitted.rule.plan.method!r}."
        )
    for facts in facts_of_sums(fitted, sums, median=median):
        if not by_rows:
            yield facts
            continue
        own = profiles.rows(slices[facts.name])
        rules = (fitted.rule_for(facts.name), *fitted.again)
        yield facts._replace(accuracies=np.array([rule.estimate(own) for rule in rules]))
