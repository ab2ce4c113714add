"""A rule: what one fit on labelled responses learned, and what it says of other responses."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from nilometer.signals import FEATURES

from ..profiles import Profiles, distinct
from .classifier import Recipe, fit_classifier
from .label_free import LABEL_FREE, Arm, sequence_weight
from .monotone import fit_monotone, log_scale, predict_monotone
from .reference import LEAST_LABELS
from .scores import SourceScores, TargetScores

__all__ = ["Labelled", "Plan", "Rule", "fit_rule", "target_scores"]

Floats = NDArray[np.float64]

STRATA = ("no_answer", "truncated")
_LEAST_IN_STRATUM = 30
_SEQUENCE = "nll_sum"


@dataclass(frozen=True, slots=True)
class Plan:
    """How rules are fitted."""

    method: str
    feature: str
    """Single score of ``atc``."""
    features: tuple[str, ...]
    """Features of the classifier; empty if the method needs none."""
    recipe: Recipe
    hyperparameters: dict[str, Any] | None = field(default=None, compare=False)

    @property
    def arm(self) -> Arm:
        """Entry of the table."""
        return LABEL_FREE[self.method]

    @property
    def name(self) -> str:
        """Method with the score or classifier that it uses."""
        if self.method == "atc":
            return f"atc[{self.feature}]"
        return f"{self.method}[{self.recipe.classifier}]" if self.features else self.method

    def known(self, profiles: Profiles) -> NDArray[np.bool_]:
        """Tell which responses have every number that the method needs, shape (n,)."""
        if self.method == "constant":
            return np.ones(len(profiles), dtype=bool)
        names = self.features or (self.feature,)
        return np.asarray(~np.isnan(_matrix(profiles, names)).any(axis=1))


class Labelled(NamedTuple):
    """Labelled responses."""

    profiles: Profiles
    correct: Floats
    slices: NDArray[np.str_]
    families: NDArray[np.str_]

    def rows(self, mask: NDArray[Any]) -> "Labelled":
        """Some of them."""
        return Labelled(self.profiles.rows(mask), self.correct[mask], self.slices[mask], self.families[mask])

    @property
    def weights(self) -> Floats:
        """Shape (n,), equal sums for all families, n in total."""
        names, place = distinct(self.families)
        return np.asarray((len(place) / len(names) / np.bincount(place))[place])

    @property
    def accuracies(self) -> dict[str, float]:
        """Share of correct answers by slice."""
        names, place = distinct(self.slices)
        return dict(zip(names.tolist(), (np.bincount(place, self.correct) / np.bincount(place)).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Rule:
    """One fit."""

    plan: Plan
    accuracy: float
    """Share of correct answers, families weighted equally."""
    accuracy_without_logprobs: float
    """The same of responses without the numbers that the method needs."""
    classifier: Any = None
    strata: dict[str, float] = field(default_factory=dict)
    """Accuracy of truncated and of missing answers, where enough are labelled."""
    source: SourceScores | None = None

    def p_correct(self, profiles: Profiles) -> Floats:
        """Probability of a correct answer for each response, shape (n,)."""
        known = self.plan.known(profiles)
        p = np.where(known, self.accuracy, self.accuracy_without_logprobs)
        if self.classifier is not None and known.any():
            p[known] = _predict(self.classifier, _inputs(profiles.rows(known), self.plan))
        for name, accuracy in self.strata.items():
            p[_flag(profiles, name)] = accuracy
        return p

    def estimate(self, profiles: Profiles) -> float:
        """Accuracy of the responses as one slice."""
        if self.source is None:
            return self.accuracy
        known = self.plan.known(profiles)
        if not known.any():
            return self.accuracy_without_logprobs
        inside = self.plan.arm.estimate(self.source, target_scores(self, profiles.rows(known)))
        share = float(known.mean())
        return float(share * inside + (1 - share) * self.accuracy_without_logprobs)


def fit_rule(labelled: Labelled, plan: Plan) -> Rule:
    """Learn a rule from labelled responses."""
    weights, known = labelled.weights, plan.known(labelled.profiles)
    accuracy = float(weights @ labelled.correct / weights.sum())
    without = labelled.correct[~known]
    missing = float(without.mean()) if without.size >= LEAST_LABELS else accuracy
    if plan.method == "constant" or not known.any():
        return Rule(plan, accuracy, missing)
    own = labelled.rows(known)
    strata = _strata(own, plan)
    plain = ~np.logical_or.reduce([np.zeros(len(own.correct), dtype=bool), *(_flag(own.profiles, s) for s in strata)])
    rule = Rule(plan, accuracy, missing, _fit_classifier(own.rows(plain), plan), strata)
    left_out = _left_out_pairs(own, plan) if plan.arm.needs_left_out else np.empty((0, 2))
    scores = target_scores(rule, own.profiles)
    source = SourceScores(
        scores.p,
        scores.score,
        own.correct,
        own.weights,
        accuracy,
        distinct(own.slices)[1],
        scores.X,
        left_out,
        sequence_weight(scores.sequence, scores.p, own.correct, families=own.families),
    )
    return Rule(plan, accuracy, missing, rule.classifier, strata, source)


def target_scores(rule: Rule, profiles: Profiles) -> TargetScores:
    """Return what the arms of the table see of responses that have every number the rule needs."""
    names = profiles.names
    score = profiles.column(rule.plan.feature) if rule.plan.feature in names else np.zeros(len(profiles))
    p, sequence = rule.p_correct(profiles), np.full(len(profiles), np.nan)
    if _SEQUENCE in names:
        sequence = np.exp(-profiles.column(_SEQUENCE))
        for stratum in rule.strata:
            sequence[_flag(profiles, stratum)] = rule.strata[stratum]
    return TargetScores(p, score, _inputs(profiles, rule.plan), sequence)


def _left_out_pairs(labelled: Labelled, plan: Plan) -> Floats:
    """Mean probability and accuracy of every slice under a classifier that never saw its family."""
    pairs = []
    for family in np.unique(labelled.families):
        own = labelled.families == family
        if own.all() or len(np.unique(labelled.correct[~own] >= 0.5)) < 2:
            continue
        p = _predict(_fit_classifier(labelled.rows(~own), plan), _inputs(labelled.profiles.rows(own), plan))
        for name in np.unique(labelled.slices[own]):
            rows = labelled.slices[own] == name
            pairs.append((p[rows].mean(), labelled.correct[own][rows].mean()))
    return np.array(pairs).reshape(-1, 2)


def _strata(labelled: Labelled, plan: Plan) -> dict[str, float]:
    if plan.recipe.classifier != "monotone" or not plan.features:
        return {}
    found = {}
    for name in STRATA:
        own = labelled.correct[_flag(labelled.profiles, name)]
        if _LEAST_IN_STRATUM <= own.size < len(labelled.correct):
            found[name] = float((own.sum() + 0.5) / (own.size + 1))
    return found


def _flag(profiles: Profiles, name: str) -> NDArray[np.bool_]:
    return profiles.column(name) == 1 if name in profiles.names else np.zeros(len(profiles), dtype=bool)


def _fit_classifier(labelled: Labelled, plan: Plan) -> Any:
    classes = (labelled.correct >= 0.5).astype(np.int64)
    X = _inputs(labelled.profiles, plan)
    if plan.features and plan.recipe.classifier == "monotone":
        signs = np.array([FEATURES[name].sign for name in plan.features])
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


def _inputs(profiles: Profiles, plan: Plan) -> Floats:
    """Return the numbers that the classifier sees, shape (n, features)."""
    if not plan.features:
        return np.arcsinh(_matrix(profiles, (plan.feature,)))
    values = _matrix(profiles, plan.features)
    return log_scale(values, plan.features) if plan.recipe.classifier == "monotone" else values


def _matrix(profiles: Profiles, names: tuple[str, ...]) -> Floats:
    return np.stack([profiles.column(name) for name in names], axis=1)
