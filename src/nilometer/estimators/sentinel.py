"""The sentinel: slice accuracy from profiles, learned on labelled slices."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from nilometer.errors import NotEnoughDataError

from .accuracy import fit_threshold, thresholded_accuracy
from .classifier import FEATURE_SETS, Recipe, fit_classifier
from .estimate import Estimate, NotEnoughData, SliceEstimates
from .intervals import LEAST_SLICES, Residuals, prediction_interval
from .left_out import LeftOut, Rule, family_of_slices, left_out_residuals
from .profiles import Profiles, as_profiles
from .reference import (
    LEAST_LABELS,
    MOST_WITHOUT_LOGPROBS,
    check_compatible,
    check_labels,
    foreign_models,
    mixed_provenance,
    varies,
)
from .support import fit_support, outside_support

__all__ = ["METHODS", "Sentinel"]

Floats = NDArray[np.float64]

METHODS = ("atc", "pcc", "constant")
_FALLBACK = "nll_sum"
_OUTSIDE_WIDENING = 1.5


class Sentinel(BaseEstimator):  # type: ignore[misc]
    """Accuracy of a model on each slice of traffic, from profiles, with intervals.

    ``fit`` learns on labelled responses grouped by slice; ``estimate`` gives each slice of other traffic an
    accuracy and a prediction interval made from families of slices that were left out one at a time.

    The default is average thresholded confidence on the maximum token entropy: in the result files published
    with the paper it has a median slice error of .077 over all 3,465 compositions where the paper's forest
    has .128, and it needs no hyper-parameter. The paper's own method is ``Sentinel.paper()``.

    Parameters
    ----------
    method
        ``"atc"``: share of scores beyond a threshold that reproduces the labelled accuracy. ``"pcc"``: mean
        probability of the classifier (the paper's). ``"constant"``: accuracy of the labelled responses.
    feature
        Score of ``"atc"``: a name of ``FEATURE_NAMES``, or ``"classifier"`` for the classifier's probability.
    classifier, features, balanced, calibrated
        The classifier: ``"forest"``, ``"logistic"`` or ``"mlp"``; 1, 3, 10 or 17 of the paper's features, or
        names; whether classes are balanced; whether probabilities are calibrated.
    confidence_level
        Coverage of the intervals, in (0, 1).
    random_state
        Seed of the classifier.

    Attributes
    ----------
    residuals_
        Leave-one-family-out residuals, None with fewer than ``LEAST_SLICES`` labelled families.
    slices_, n_labels_
        Names of the labelled slices and number of labels.
    feature_
        Score in use: ``feature``, or ``nll_sum`` where the data has no alternatives.
    dropped_features_
        Features of the classifier left out because they are constant or unknown.
    notes_
        What a reader of the estimates should know.

    References
    ----------
    Memoli Buffa and Del Corro (2026), "Entropy Sentinel", arXiv 2601.09001. Garg et al. (2022), arXiv 2201.04234.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rng = np.random.default_rng(0)
    >>> hard = np.repeat([0.2, 0.4, 0.6, 0.8, 1.0], 50)
    >>> entropy = rng.gamma(2.0, hard)
    >>> correct = rng.random(250) < np.exp(-entropy)
    >>> sentinel = Sentinel().fit(pa.table({"max": entropy}), correct, groups=hard.astype(str))
    >>> estimate = sentinel.estimate(pa.table({"max": rng.gamma(2.0, 0.5, 100)}))[0]
    >>> estimate.low < estimate.accuracy < estimate.high
    True
    """

    def __init__(  # noqa: PLR0913 - scikit-learn: every parameter is named in the constructor
        self,
        *,
        method: str = "atc",
        feature: str = "max",
        classifier: str = "forest",
        features: int | Sequence[str] = 17,
        balanced: bool = False,
        calibrated: bool = True,
        confidence_level: float = 0.95,
        random_state: int = 42,
    ) -> None:
        self.method = method
        self.feature = feature
        self.classifier = classifier
        self.features = features
        self.balanced = balanced
        self.calibrated = calibrated
        self.confidence_level = confidence_level
        self.random_state = random_state

    @classmethod
    def paper(cls, **changes: Any) -> "Sentinel":
        """Return the paper's deployment: forest, 10 features, balanced, calibrated, mean probability."""
        return cls(**{"method": "pcc", "classifier": "forest", "features": 10, "balanced": True, **changes})

    def fit(self, X: Any, y: Any, groups: Any = None, *, families: Any = None) -> Self:
        """Learn from labelled responses.

        Parameters
        ----------
        X
            Profiles.
        y
            Shape (n,), labels in [0, 1]; NaN or None rows are left out.
        groups
            Shape (n,), slice of each response; None is one slice, which gives no intervals.
        families
            Shape (n,), larger unit that each slice belongs to (its task, its customer); slices of one family err
            together, so it is left out whole. None makes each slice its own family.

        Raises
        ------
        NotEnoughDataError
            If there are fewer than 10 labels or all are of one kind.
        ValueError
            If a parameter or a label is outside its range, or a slice lies in two families.
        """
        self._check_parameters()
        profiles = as_profiles(X)
        labels = np.asarray(y, dtype=np.float64)
        names = np.zeros(len(labels), dtype=int).astype(str) if groups is None else np.asarray(groups).astype(str)
        units = names if families is None else np.asarray(families).astype(str)
        if not len(profiles) == len(labels) == len(names) == len(units):
            lengths = f"{len(profiles)}, {len(labels)}, {len(names)}, {len(units)}"
            raise ValueError(f"`X`, `y`, `groups` and `families` must be equally long, got {lengths}.")
        given = ~np.isnan(labels)
        self.reference_ = profiles.rows(given)
        self.labels_, self.groups_ = labels[given], names[given]
        check_labels(self.labels_)
        self.n_labels_ = len(self.labels_)
        self.families_ = units[given]
        self.slices_ = sorted(set(self.groups_))
        self.notes_ = mixed_provenance(profiles)
        self._choose_features()
        self._hyperparameters: dict[str, Any] | None = None
        self.rule_ = self._fit_rule(np.ones(self.n_labels_, dtype=bool))
        self._hyperparameters = getattr(self.rule_.classifier, "chosen_", None)
        self.left_out_ = self._fit_left_out()
        self.residuals_ = left_out_residuals(self.left_out_)
        scores = [self._support_score(self.reference_.rows(self.groups_ == name)) for name in self.slices_]
        self.support_ = fit_support(scores)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Probability of a wrong and of a correct answer for each response, shape (n, 2).

        With ``"atc"`` on a feature, a logistic regression on that feature; responses without it get the
        accuracy of such responses among the labelled ones.
        """
        check_is_fitted(self, "rule_")
        p = self.p_correct(self._compatible(X), self.rule_)
        return np.stack([1 - p, p], axis=1)

    def estimate(self, X: Any, by: Any = None, *, correct: Any = None) -> SliceEstimates:
        """Estimate the accuracy of every slice.

        A slice that took part in ``fit`` is estimated by the rule fitted without its family.

        Parameters
        ----------
        X
            Profiles.
        by
            Shape (n,), slice of each response; None is one slice called ``all``.
        correct
            Shape (n,), labels where known (NaN elsewhere), for ``realized_accuracy``; not used otherwise.

        Raises
        ------
        IncompatibleModelError
            If k, logprobs mode or features differ from those of ``fit``.
        """
        check_is_fitted(self, "rule_")
        profiles = self._compatible(X)
        names = np.full(len(profiles), "all") if by is None else np.asarray(by).astype(str)
        labels = np.full(len(profiles), np.nan) if correct is None else np.asarray(correct, dtype=np.float64)
        order = np.argsort(names, kind="stable")
        unique, starts = np.unique(names[order], return_index=True)
        parts = np.split(order, starts[1:])
        return SliceEstimates(
            self._estimate_slice(str(name), profiles.rows(rows), labels[rows])
            for name, rows in zip(unique, parts, strict=True)
            if len(rows)
        )

    def _estimate_slice(self, name: str, profiles: Profiles, labels: Floats) -> Estimate | NotEnoughData:
        known = labels[~np.isnan(labels)]
        realized = float(known.mean()) if known.size else None
        seen: dict[str, Any] = {
            "slice": name,
            "n": len(profiles),
            "n_labels": int(known.size),
            "realized_accuracy": realized,
        }
        missing = 1 - float(self._has_score(profiles).mean())
        if missing > MOST_WITHOUT_LOGPROBS:
            return NotEnoughData(
                **seen,
                reason=f"{missing:.0%} of the responses have no log-probabilities.",
                needed="Ask the provider for `logprobs`.",
            )
        rule, residuals = self._without(name)
        if residuals is None:
            own = self.left_out_[name].family if name in self.left_out_ else None
            k = len({unit for unit in self.families_ if unit != own})
            kind = "slices" if np.array_equal(self.families_, self.groups_) else "families of slices"
            return NotEnoughData(
                **seen,
                reason=f"an interval needs {LEAST_SLICES} other labelled {kind}, there are {k}.",
                needed=f"Label responses of {LEAST_SLICES - k} more {kind}.",
            )
        accuracy = self._accuracy(profiles, rule)
        outside = "" if self.method == "constant" else outside_support(self._support_score(profiles), self.support_)
        other = foreign_models(profiles, self.reference_)
        low, high = prediction_interval(
            accuracy,
            residuals,
            n=len(profiles),
            confidence_level=self.confidence_level,
            widen=_OUTSIDE_WIDENING if outside else 1.0,
        )
        return Estimate(
            **seen, accuracy=accuracy, low=low, high=high, confidence_level=self.confidence_level,
            method=self._method_name(), in_support=not outside, note="; ".join(filter(None, [outside, other])),
        )  # fmt: skip

    def _check_parameters(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"`method` must be one of {', '.join(METHODS)}, got {self.method!r}.")
        if not 0 < self.confidence_level < 1:
            raise ValueError(f"`confidence_level` must lie in (0, 1), got {self.confidence_level}.")

    def _choose_features(self) -> None:
        self.feature_ = self.feature
        self.dropped_features_: tuple[str, ...] = ()
        names = FEATURE_SETS.get(self.features, ()) if isinstance(self.features, int) else tuple(self.features)
        if self.method == "constant":
            self.classifier_features_: tuple[str, ...] = ()
            return
        if self.method == "atc" and self.feature != "classifier":
            self.classifier_features_ = ()
            if np.isnan(self.reference_.column(self.feature)).all():
                if _FALLBACK not in self.reference_.names or np.isnan(self.reference_.column(_FALLBACK)).all():
                    raise NotEnoughDataError(
                        f"no labelled response has the feature {self.feature!r}.", "Record log-probabilities."
                    )
                self.feature_ = _FALLBACK
                self.notes_.append(f"no response has {self.feature!r}, so {_FALLBACK!r} is used")
            return
        if not names:
            raise ValueError(f"`features` must be 1, 3, 10, 17 or names of features, got {self.features!r}.")
        useful = [name for name in names if name in self.reference_.names and varies(self.reference_.column(name))]
        self.classifier_features_ = tuple(useful)
        self.dropped_features_ = tuple(name for name in names if name not in useful)
        if not useful:
            raise NotEnoughDataError(
                "every feature of the classifier is constant or unknown.", "Record log-probabilities."
            )

    def _fit_rule(self, rows: NDArray[np.bool_]) -> Rule:
        profiles, labels = self.reference_.rows(rows), self.labels_[rows]
        score_known = self._has_score(profiles)
        without = labels[~score_known]
        overall = float(labels.mean())
        missing = float(without.mean()) if without.size >= LEAST_LABELS else overall
        if self.method == "constant":
            return Rule(overall, missing, None, None)
        known, labels = profiles.rows(score_known), labels[score_known]
        model = self._fit_model(known, labels)
        rule = Rule(overall, missing, None, model)
        if self.method == "pcc":
            return rule
        score = self.p_correct(known, rule) if self.feature_ == "classifier" else known.column(self.feature_)
        return Rule(overall, missing, fit_threshold(score, labels), model)

    def _fit_model(self, profiles: Profiles, labels: Floats) -> Any:
        classes = (labels >= 0.5).astype(np.int64)
        if self.classifier_features_:
            recipe = Recipe(self.classifier, self.balanced, self.calibrated, self.random_state)
            chosen = self._hyperparameters
            return fit_classifier(self._matrix(profiles), classes, recipe, chosen=chosen)
        if classes.min() == classes.max():
            return None
        return LogisticRegression().fit(np.arcsinh(profiles.column(self.feature_))[:, None], classes)

    def _matrix(self, profiles: Profiles) -> Floats:
        return np.stack([profiles.column(name) for name in self.classifier_features_], axis=1)

    def _has_score(self, profiles: Profiles) -> NDArray[np.bool_]:
        if self.method == "constant":
            return np.ones(len(profiles), dtype=bool)
        if self.classifier_features_:
            return np.asarray(~np.isnan(self._matrix(profiles)).any(axis=1))
        return ~np.isnan(profiles.column(self.feature_))

    def p_correct(self, profiles: Profiles, rule: Rule) -> Floats:
        """Probability of a correct answer under one of the fitted rules, shape (n,)."""
        known = self._has_score(profiles)
        p = np.where(known, rule.accuracy, rule.accuracy_without_logprobs)
        if rule.classifier is None or not known.any():
            return p
        rows = profiles.rows(known)
        X = self._matrix(rows) if self.classifier_features_ else np.arcsinh(rows.column(self.feature_))[:, None]
        p[known] = rule.classifier.predict_proba(X)[:, 1]
        return p

    def _accuracy(self, profiles: Profiles, rule: Rule) -> float:
        if self.method == "constant":
            return rule.accuracy
        if rule.threshold is None:
            return float(self.p_correct(profiles, rule).mean())
        known = self._has_score(profiles)
        rows = profiles.rows(known)
        score = self.p_correct(rows, rule) if self.feature_ == "classifier" else rows.column(self.feature_)
        share = known.mean()
        inside = thresholded_accuracy(score, rule.threshold) if known.any() else 0.0
        return float(share * inside + (1 - share) * rule.accuracy_without_logprobs)

    def _fit_left_out(self) -> dict[str, LeftOut]:
        """Estimate every labelled slice by a rule that never saw its family."""
        left_out: dict[str, LeftOut] = {}
        for family, slices in family_of_slices(self.groups_, self.families_, self.labels_).items():
            rule = self._fit_rule(self.families_ != family)
            for name in slices:
                own = self.groups_ == name
                accuracy = self._accuracy(self.reference_.rows(own), rule)
                left_out[name] = LeftOut(rule, family, accuracy, float(self.labels_[own].mean()), int(own.sum()))
        return dict(sorted(left_out.items()))

    def _without(self, name: str) -> tuple[Rule, Residuals | None]:
        if name in self.left_out_:
            own = self.left_out_[name]
            return own.rule, left_out_residuals(self.left_out_, without=own.family)
        return self.rule_, self.residuals_

    def _support_score(self, profiles: Profiles) -> Floats:
        known = profiles.rows(self._has_score(profiles))
        name = self.feature_ if self.feature_ != "classifier" and self.method == "atc" else "max"
        score = known.column(name) if name in known.names else np.empty(0)
        return score[~np.isnan(score)]

    def _compatible(self, X: Any) -> Profiles:
        profiles = as_profiles(X)
        needed = {
            *self.classifier_features_,
            *([self.feature_] if self.method == "atc" and self.feature_ != "classifier" else []),
        }
        check_compatible(profiles, self.reference_, needed)
        return profiles

    def _method_name(self) -> str:
        names = {"atc": f"atc[{self.feature_}]", "pcc": f"pcc[{self.classifier}]"}
        return names.get(self.method, self.method)
