"""A rule: what one fit on labelled responses learned, and what it says of other responses."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from nilometer.arrays import Bools, Floats
from nilometer.signals import feature_named
from nilometer.traces import SliceIndex

from ...profiles import Profiles, is_own_name
from ...responses import Responses
from .classifier import Recipe, fit_classifier
from .label_free import LABEL_FREE, Arm, family_evidence, sequence_weight, sums_of
from .monotone import fit_monotone, log_scale, predict_monotone
from .reference import LEAST_LABELS, has_both_kinds
from .scores import Learned, ScoreSums, SourceScores, TargetScores, learn, score_columns

__all__ = ["STRATA", "AccuracyRule", "FitPlan", "fit_rule", "source_scores", "target_scores"]


STRATA = ("no_answer", "truncated")
"""Features that mark answers of a kind of their own, whose accuracy does not follow from log-probabilities."""
_LEAST_IN_STRATUM = 30
"""Labels from which a stratum gets its own accuracy: the standard error is then 0.09 at most."""
_SECOND_ATC_SHARE = 0.4
"""Weight of the thresholded probability where second opinions are read, by the choice half of the models in
studies/second_opinions.py."""
_SEQUENCE = "nll_sum"
_EVIDENCE_LABELS, _EVIDENCE_FOLDS = 200, 5
"""Labels of a family that weigh the sequence against the classifier, and groups of families left out in turn."""
_MOST_EVIDENCE = 10_000
"""Labels of all families that do so: with more than fifty families each gives fewer."""


@dataclass(frozen=True, slots=True)
class FitPlan:
    """How rules are fitted."""

    method: str
    feature: str
    """Single score of ``atc``."""
    features: tuple[str, ...]
    """Features of the classifier; empty if the method needs none."""
    recipe: Recipe
    hyperparameters: dict[str, Any] | None = field(default=None, compare=False)
    opinions: tuple[str, ...] = ()
    """Those features of the classifier that are second opinions, which only some responses may have."""
    fills: tuple[tuple[str, float], ...] = ()
    """Features that some responses do not have by nature, with the value that stands for them."""

    @property
    def arm(self) -> Arm:
        """Entry of the table."""
        return LABEL_FREE[self.method]

    @property
    def name(self) -> str:
        """Method with the score or classifier that it uses."""
        if self.method == "atc":
            return f"atc[{self.feature}]"
        if self.opinions:
            return "second opinions"
        return f"{self.method}[{self.recipe.name}]" if self.features else self.method

    def known(self, profiles: Profiles) -> Bools:
        """Return which responses have every number that the method needs, shape (n,)."""
        if self.method == "constant":
            return np.ones(len(profiles), dtype=bool)
        names = self.features or (self.feature,)
        return np.asarray(~np.isnan(_matrix(profiles, names, self.fills)).any(axis=1))


@dataclass(frozen=True, slots=True)
class AccuracyRule:
    """A fitted accuracy rule: classifier, base rates, and what the chosen method needs."""

    plan: FitPlan
    accuracy: float
    """Share of correct answers, families weighted equally."""
    accuracy_without_logprobs: float
    """The same of responses without the numbers that the method needs."""
    classifier: Any = None
    strata: dict[str, float] = field(default_factory=dict)
    """Accuracy of truncated and of missing answers, where enough are labelled."""
    learned: Learned | None = None
    """None where every slice gets ``accuracy``."""
    source: SourceScores | None = None
    """Scores of the labelled responses, for methods that read them again with every slice."""

    def p_correct(self, profiles: Profiles) -> Floats:
        """Probability of a correct answer for each response, shape (n,)."""
        known = self.plan.known(profiles)
        p = np.where(known, self.accuracy, self.accuracy_without_logprobs)
        if self.classifier is not None and known.any():
            p[known] = _predict(self.classifier, _inputs(profiles.rows(known), self.plan))
        for name, accuracy in self.strata.items():
            p[_flag(profiles, name)] = accuracy
        return p

    def p_mixed(self, profiles: Profiles) -> Floats:
        """Probability of a correct answer with the model's own counted in by its weight, shape (n,)."""
        p, known = self.p_correct(profiles), self.plan.known(profiles)
        weight = 0.0 if self.learned is None else self.learned.sequence_weight
        if weight and known.any():
            sequence = _sequence(self, profiles.rows(known))
            p[known] = weight * np.where(np.isnan(sequence), self.accuracy, sequence) + (1 - weight) * p[known]
        return p

    def estimate(self, profiles: Profiles) -> float:
        """Accuracy of the responses as one slice, from those with log-probabilities."""
        if self.learned is None:
            return self.accuracy
        known = self.plan.known(profiles)
        target = target_scores(self, profiles.rows(known)) if known.any() else None
        if target is None or self.source is None:
            sums = sums_of(self.learned, target) if target is not None else None
            return self.estimate_sums(sums)
        return float(self.plan.arm.estimate(self.source, target))

    def estimate_slices(self, profiles: Profiles, slices: SliceIndex) -> Floats:
        """Accuracy of every slice from its responses with log-probabilities, as :meth:`estimate`, shape (slices,)."""
        if self.learned is None or self.plan.arm.of_sums is None:
            return np.array([self.estimate(profiles.rows(rows)) for _, rows in slices.rows()])
        known = np.flatnonzero(self.plan.known(profiles))
        codes, n_slices = slices.codes[known], len(slices.names)
        columns = score_columns(self.learned, target_scores(self, profiles.rows(known))) if known.size else {}
        parts: list[Floats] = [np.bincount(codes, column, n_slices).astype(np.float64) for column in columns.values()]
        sums = np.stack(parts or [np.zeros(n_slices)])
        fields = tuple(columns) or ("n",)
        rows = (ScoreSums(**dict(zip(fields, row, strict=True))) for row in sums.T.tolist())
        return np.array([self.estimate_sums(row) for row in rows])

    def estimate_sums(self, sums: ScoreSums | None) -> float:
        """Accuracy of a slice from sums over its responses with log-probabilities; None if there are none."""
        if self.learned is None or self.plan.arm.of_sums is None:
            return self.accuracy
        if sums is None or not sums.n:
            return self.accuracy_without_logprobs
        return float(self.plan.arm.of_sums(self.learned, sums))


def fit_rule(labelled: Responses, plan: FitPlan, *, sequence_weight: float | None = None) -> AccuracyRule:
    """Learn a rule from labelled responses; ``sequence_weight`` is learned, too, unless it is given."""
    weights, known = labelled.weights, plan.known(labelled.profiles)
    accuracy = float(weights @ labelled.correct / weights.sum())
    without = labelled.correct[~known]
    missing = float(without.mean()) if without.size >= LEAST_LABELS else accuracy
    bare = AccuracyRule(plan, accuracy, missing)
    if plan.method == "constant" or not known.any():
        return bare
    own = labelled.rows(known)
    rule = _with_classifier(bare, own)
    weight = _fair_weight(rule, own) if sequence_weight is None else sequence_weight
    source = source_scores(rule, own, sequence_weight=weight)
    learned = learn(source)
    if plan.opinions:
        learned = learned._replace(atc_share=_SECOND_ATC_SHARE)
    return replace(rule, learned=learned, source=source if plan.arm.of_rows is not None else None)


def _with_classifier(rule: AccuracyRule, labelled: Responses) -> AccuracyRule:
    strata = _strata(labelled, rule.plan)
    flags = (_flag(labelled.profiles, stratum) for stratum in strata)
    plain = ~np.logical_or.reduce([np.zeros(len(labelled), dtype=bool), *flags])
    return replace(rule, classifier=_fit_classifier(labelled.rows(plain), rule.plan), strata=strata)


def _fair_weight(rule: AccuracyRule, labelled: Responses) -> float:
    """Weight of the sequence by classifiers that did not see the family they are judged on.

    A few labels of each family are enough: more of one family say no more about others.
    """
    if "sequence" not in rule.plan.arm.reads or _SEQUENCE not in labelled.profiles.names:
        return 0.0
    most = max(min(_EVIDENCE_LABELS, _MOST_EVIDENCE // len(labelled.families.names)), 1)
    few = labelled.rows(labelled.families.thin(most))
    fold = few.families.codes % _EVIDENCE_FOLDS
    parts = [_evidence(rule, few.rows(fold == i), few.rows(fold != i)) for i in np.unique(fold)]
    return sequence_weight(np.concatenate(parts).tolist())


def _evidence(rule: AccuracyRule, judged: Responses, rest: Responses) -> Floats:
    """Evidence of every judged family, by a classifier of the rest, or of all where the rest is of one kind."""
    if len(rest) and has_both_kinds(rest.correct):
        rule = _with_classifier(rule, rest)
    scores = target_scores(rule, judged.profiles)
    return family_evidence(scores.sequence, scores.p, judged.correct, families=judged.families.codes)


def source_scores(rule: AccuracyRule, labelled: Responses, *, sequence_weight: float = 0.0) -> SourceScores:
    """Return what the arms of the table see of labelled responses that have every number the rule needs."""
    scores = target_scores(rule, labelled.profiles)
    return SourceScores(
        scores.p,
        scores.score,
        labelled.correct,
        labelled.weights,
        rule.accuracy,
        labelled.slices.codes,
        scores.X,
        _left_out_pairs(labelled, rule.plan) if rule.plan.arm.needs_left_out else np.empty((0, 2)),
        sequence_weight,
    )


def target_scores(rule: AccuracyRule, profiles: Profiles) -> TargetScores:
    """Return what the arms of the table see of responses that have every number the rule needs."""
    names = profiles.names
    score = profiles.column(rule.plan.feature) if rule.plan.feature in names else np.zeros(len(profiles))
    return TargetScores(rule.p_correct(profiles), score, _inputs(profiles, rule.plan), _sequence(rule, profiles))


def _sequence(rule: AccuracyRule, profiles: Profiles) -> Floats:
    """Probability that the model itself gave its answer, the accuracy of its stratum where it has one, NaN unknown."""
    if _SEQUENCE not in profiles.names:
        return np.full(len(profiles), np.nan)
    sequence = np.exp(-profiles.column(_SEQUENCE))
    for stratum, accuracy in rule.strata.items():
        sequence[_flag(profiles, stratum)] = accuracy
    return np.asarray(sequence)


def _left_out_pairs(labelled: Responses, plan: FitPlan) -> Floats:
    """Mean probability and accuracy of every slice under a classifier that never saw its family."""
    pairs = []
    for _, rows in labelled.families.rows():
        own, rest = labelled.rows(rows), labelled.rows(np.setdiff1d(np.arange(len(labelled)), rows))
        if not len(rest) or len(np.unique(rest.correct >= 0.5)) < 2:
            continue
        p = _predict(_fit_classifier(rest, plan), _inputs(own.profiles, plan))
        pairs += [(p[inside].mean(), own.correct[inside].mean()) for _, inside in own.slices.rows()]
    return np.array(pairs).reshape(-1, 2)


def _strata(labelled: Responses, plan: FitPlan) -> dict[str, float]:
    if plan.recipe.classifier != "monotone" or not plan.features:
        return {}
    found = {}
    for name in STRATA:
        own = labelled.correct[_flag(labelled.profiles, name)]
        if _LEAST_IN_STRATUM <= own.size < len(labelled.correct):
            found[name] = float((own.sum() + 0.5) / (own.size + 1))
    return found


def _flag(profiles: Profiles, name: str) -> Bools:
    return profiles.column(name) == 1 if name in profiles.names else np.zeros(len(profiles), dtype=bool)


def _fit_classifier(labelled: Responses, plan: FitPlan) -> Any:
    classes = (labelled.correct >= 0.5).astype(np.int64)
    X = _inputs(labelled.profiles, plan)
    if plan.features and plan.recipe.classifier == "monotone":
        signs = np.array([0 if is_own_name(name) else feature_named(name).sign for name in plan.features])
        return fit_monotone(X, labelled.correct, signs=signs, weights=labelled.weights)
    if plan.features:
        return fit_classifier(X, classes, plan.recipe, chosen=plan.hyperparameters)
    if classes.min() == classes.max():
        return None
    return LogisticRegression().fit(X, classes)


def _predict(classifier: Any, X: Floats) -> Floats:
    if hasattr(classifier, "predict_proba"):
        return np.asarray(classifier.predict_proba(X)[:, 1])
    return predict_monotone(classifier, X)


def _inputs(profiles: Profiles, plan: FitPlan) -> Floats:
    """Return the numbers that the classifier sees, shape (n, features)."""
    if not plan.features:
        return np.arcsinh(_matrix(profiles, (plan.feature,), ()))
    values = _matrix(profiles, plan.features, plan.fills)
    return log_scale(values, plan.features) if plan.recipe.classifier == "monotone" else values


def _matrix(profiles: Profiles, names: tuple[str, ...], fills: tuple[tuple[str, float], ...]) -> Floats:
    values, given = np.stack([profiles.column(name) for name in names], axis=1), dict(fills)
    for column in (i for i, name in enumerate(names) if name in given):
        values[np.isnan(values[:, column]), column] = given[names[column]]
    return values
