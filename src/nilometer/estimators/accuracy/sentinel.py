"""The sentinel: slice accuracy from profiles, learned on labelled slices."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from nilometer.arrays import Floats
from nilometer.errors import NotEnoughDataError
from nilometer.signals import ATTENTION_FEATURE_NAMES, FEATURES, STATED_CONFIDENCE, opinion_columns

from ..blas import one_blas_thread
from ..estimate import SliceEstimates
from ..profiles import Profiles, as_profiles
from ..residuals import Residuals
from ..responses import Responses, as_responses
from ..state import SliceSums
from .features import (
    FALLBACK,
    MONOTONE_FEATURES,
    check_classifier,
    is_given,
    score_notes,
    stand_ins,
    usual_features,
    with_own_features,
)
from .fitted import fit_rules, needed_features
from .left_out import describe_skill
from .rules.classifier import FEATURE_SETS, Recipe
from .rules.label_free import LABEL_FREE
from .rules.reference import check_compatible, check_labels, foreign_models, mixed_provenance, varies
from .rules.rule import FitPlan
from .second import Finish, finish_slices, fit_second, second_columns, second_sums
from .sums import facts_of_responses, facts_of_sums, sum_columns, sum_responses

__all__ = ["METHODS", "MONOTONE_FEATURES", "MOST_BOOTSTRAPS", "Sentinel"]


METHODS = tuple(sorted(LABEL_FREE))
MOST_BOOTSTRAPS = 1000


class Sentinel(BaseEstimator):  # type: ignore[misc]
    """Accuracy of a model on each slice of traffic, from profiles, with intervals.

    ``fit`` learns on labelled responses grouped by slice; ``estimate`` gives each slice of other traffic an
    accuracy and a prediction interval made from families of slices that were left out one at a time.

    The default averages the probability of a correct answer under a monotone logistic regression that weights
    all families equally, with one part in five of that probability thresholded, and the probability that the model
    itself gave its answers, as far as the labels find that one calibrated. Where its error on families
    that were left out is no smaller than that of the labelled accuracy alone, the estimate is that constant,
    and says so. The paper's own method is ``Sentinel.paper()``.

    Parameters
    ----------
    method
        A name of ``LABEL_FREE``: ``"combined"`` (default); ``"atc"``, share of one feature beyond a threshold
        that reproduces the labelled accuracy; ``"pcc"``, mean probability of the classifier (the paper's);
        ``"constant"``, accuracy of the labelled responses; and others.
    feature
        Score of ``"atc"``: a name of ``FEATURE_NAMES``.
    classifier, features, balanced, calibrated
        The classifier: ``"monotone"``, the paper's ``"forest"``, ``"logistic"`` or ``"mlp"``, or any of scikit-learn;
        names of its features (columns of numbers of your own, too), or 1, 3, 10 or 17 of the paper's, None for its
        usual ones; whether classes are balanced (the paper's) and probabilities calibrated (all but the monotone).
    confidence_level
        Coverage of the intervals, in (0, 1).
    bootstraps
        Refits on labels drawn again, whose spread widens intervals where there are fewer than 1,000 labels.
    pool
        ``residuals_`` of sentinels of other models on the same kinds of slices; they steady the interval.
    random_state
        Seed of the classifier and of the draws.

    Attributes
    ----------
    residuals_
        Leave-one-family-out residuals, None with fewer than ``LEAST_SLICES`` labelled families.
    skill_
        What the estimates are worth against the constant and against a threshold, on left-out families.
    falls_back_
        Whether the estimates are the constant.
    slices_, n_labels_
        Names of the labelled slices and number of labels.
    feature_
        Score in use: ``feature``, or ``nll_sum`` where the data has no alternatives.
    dropped_features_
        Features of the classifier left out because they are constant or unknown.
    second_
        The rule that reads second opinions and what they are worth; None where too few labelled responses have them.
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
        method: str = "combined",
        feature: str = "max",
        classifier: Any = "monotone",
        features: int | Sequence[str] | None = None,
        balanced: bool = False,
        calibrated: bool = True,
        confidence_level: float = 0.95,
        bootstraps: int = 30,
        pool: Sequence[Residuals] = (),
        random_state: int = 42,
    ) -> None:
        self.method = method
        self.feature = feature
        self.classifier = classifier
        self.features = features
        self.balanced = balanced
        self.calibrated = calibrated
        self.confidence_level = confidence_level
        self.bootstraps = bootstraps
        self.pool = pool
        self.random_state = random_state

    @classmethod
    def paper(cls, **changes: Any) -> "Sentinel":
        """Return the paper's deployment: forest, 10 features, balanced, calibrated, mean probability."""
        return cls(**{"method": "pcc", "classifier": "forest", "features": 10, "balanced": True, **changes})

    def fit(self, X: Any, y: Any = None, groups: Any = None, *, families: Any = None) -> Self:
        """Learn from labelled responses.

        Parameters
        ----------
        X
            Profiles, or ``Responses`` that hold labels, slices and families already.
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
        labelled = replace(as_responses(X, groups, correct=y, families=families), context=None).labelled
        labelled = with_own_features(labelled, self.features)
        check_labels(labelled.correct)
        self.labelled_ = labelled
        self.n_labels_ = len(labelled)
        self.slices_ = list(labelled.slices.names)
        self.notes_ = mixed_provenance(labelled.profiles)
        self.plan_ = self._plan(labelled.profiles)
        with one_blas_thread():
            self.fitted_ = fit_rules(
                labelled,
                self.plan_,
                confidence_level=self.confidence_level,
                pool=self.pool,
                bootstraps=self.bootstraps,
                seed=self.random_state,
            )
        self.left_out_ = self.fitted_.left_out
        self.skill_, self.falls_back_, self.residuals_ = self.fitted_.verdict
        self.notes_ += describe_skill(self.skill_, falls_back=self.falls_back_)
        with one_blas_thread():
            self.second_, said = fit_second(labelled, self.fitted_, bootstraps=self.bootstraps, seed=self.random_state)
        self.notes_ += said
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Probability of a wrong and of a correct answer for each response, shape (n, 2).

        With ``"atc"`` on a feature, a logistic regression on that feature; responses without it get the
        accuracy of such responses among the labelled ones.
        """
        check_is_fitted(self, "fitted_")
        p = self.fitted_.rule.p_correct(self._compatible(X))
        return np.stack([1 - p, p], axis=1)

    def predict_left_out(self, responses: Responses) -> Floats:
        """Probability of a correct answer for each response, by rules that never saw a label of its family."""
        check_is_fitted(self, "fitted_")
        own = self._responses(responses, None, correct=None)
        found = np.empty(len(own))
        rules = [self.fitted_.rule_for(name) for name in own.slices.names]
        which = np.unique([id(rule) for rule in rules], return_inverse=True)[1]
        for i in np.unique(which):
            rows = np.flatnonzero(which[own.slices.codes] == i)
            found[rows] = rules[int(np.argmax(which == i))].p_correct(own.profiles.rows(rows))
        return found

    def estimate(
        self,
        X: Any,
        by: Any = None,
        *,
        families: Any = None,
        correct: Any = None,
        simultaneous: bool = False,
        left_out: bool = False,
    ) -> SliceEstimates:
        """Estimate the accuracy of every slice of new traffic.

        A slice with five labels or more in ``fit`` is estimated by them: the accuracy of its labels where nothing
        changed, moved by the log-probabilities where its answers became surer or less sure. Others are estimated by
        the rule of all labels, and the slices of one family are spread around their mean.

        Parameters
        ----------
        X
            Profiles. A column ``capture_probability`` weights each response by one over it.
        by
            Shape (n,), slice of each response; None is one slice called ``all``.
        families
            Shape (n,), larger unit of each slice, as in ``fit``; None makes each slice without labels its own family.
        correct
            Shape (n,), labels where known (NaN elsewhere), for ``realized_accuracy``; not used otherwise.
        simultaneous
            Whether all intervals hold together with ``confidence_level``; otherwise each does alone.
        left_out
            Whether labelled slices are estimated as if they had no labels, by the rule fitted without their family:
            to judge the method, or for the very responses that it was fitted on.

        Raises
        ------
        IncompatibleModelError
            If k, logprobs mode or features differ from those of ``fit``.
        """
        responses = self._responses(X, by, correct=correct, families=families)
        foreign = foreign_models(responses.profiles.provenance["model"], self.labelled_.profiles)
        how = Finish(foreign, len(responses.slices.names) if simultaneous else 1, left_out)
        sums = sum_responses(self.fitted_, responses, more=self._second_sums(responses))
        facts = list(facts_of_responses(self.fitted_, responses, sums))
        return SliceEstimates(
            finish_slices(self.fitted_, self.second_, facts, sums=sums, families=responses.family_of, how=how)
        )

    def _second_sums(self, responses: Responses) -> dict[str, Floats]:
        return {} if self.second_ is None else second_sums(self.second_, self.fitted_, responses)

    def zero(self) -> SliceSums:
        """Return the sums over no response, to which those of batches are added."""
        check_is_fitted(self, "fitted_")
        more = () if self.second_ is None else second_columns(self.second_)
        return SliceSums.zero((*sum_columns(self.fitted_), *more), key=self._key)

    def sum_up(self, X: Any, by: Any = None, *, correct: Any = None) -> SliceSums:
        """Sum over one batch of responses what the estimates need; batches add up in any order.

        ``sentinel.finish(a + b)`` equals ``sentinel.estimate`` on the responses of both, up to rounding; only
        notes do not name the median of a slice, which no sum holds.

        Parameters
        ----------
        X
            Profiles of the batch.
        by
            Shape (n,), slice of each response; None is one slice called ``all``.
        correct
            Shape (n,), labels where known, NaN elsewhere.

        Raises
        ------
        ValueError
            If the method reads the responses of a slice together: sld, pacc, halfway, weighted, profile.
        IncompatibleModelError
            If k, logprobs mode or features differ from those of ``fit``.

        Examples
        --------
        >>> import pyarrow as pa
        >>> data, right = pa.table({"max": np.tile([0.1, 0.5, 1.0, 3.0], 20)}), np.tile([1, 1, 1, 0], 20)
        >>> sentinel = Sentinel().fit(data, right, groups=np.arange(80) // 16)
        >>> total = sentinel.zero() + sentinel.sum_up(data.slice(0, 30)) + sentinel.sum_up(data.slice(30))
        >>> abs(sentinel.finish(total)[0].accuracy - sentinel.estimate(data)[0].accuracy) < 1e-12
        True
        """
        responses = self._responses(X, by, correct=correct)
        if self.plan_.arm.of_sums is None:
            adding = ", ".join(sorted(arm.name for arm in LABEL_FREE.values() if arm.of_sums is not None))
            raise ValueError(f"`method` must be one that adds up ({adding}), got {self.plan_.method!r}.")
        return sum_responses(self.fitted_, responses, key=self._key, more=self._second_sums(responses))

    def finish(
        self,
        sums: SliceSums,
        *,
        families: Mapping[str, str] | None = None,
        simultaneous: bool = False,
        left_out: bool = False,
    ) -> SliceEstimates:
        """Estimate the accuracy of every slice from sums of :meth:`sum_up`.

        ``families`` gives the family of slices without labels by name; the rest as in :meth:`estimate`.

        Raises
        ------
        ValueError
            If the sums were made by another sentinel.
        """
        total = self.zero() + sums
        foreign = foreign_models(sums.provenance.get("model", ()), self.labelled_.profiles)
        how = Finish(foreign, len(total.slices) if simultaneous else 1, left_out)
        facts = list(facts_of_sums(self.fitted_, total))
        return SliceEstimates(
            finish_slices(self.fitted_, self.second_, facts, sums=total, families=families or {}, how=how)
        )

    @property
    def _key(self) -> str:
        """Name this fit by what it learned, the same wherever it is loaded."""
        learned = [self.plan_.name, *self.slices_, self.n_labels_]
        numbers = np.concatenate([[self.fitted_.rule.accuracy], self.fitted_.columns.estimated]).round(6)
        if self.second_ is not None:
            learned += [*self.second_.names, round(self.second_.weight, 6)]
        summed = sum_columns(self.fitted_)
        return blake2b(repr((learned, numbers.tolist(), summed)).encode(), digest_size=8).hexdigest()

    def _responses(self, X: Any, by: Any, *, correct: Any, families: Any = None) -> Responses:
        check_is_fitted(self, "fitted_")
        responses = as_responses(X, by, correct=correct, families=families)
        responses = replace(responses, profiles=self._compatible(responses))
        return responses.only(needed_features(self.plan_) | {*opinion_columns(responses.profiles.names)})

    def _check_parameters(self) -> None:
        if self.method not in LABEL_FREE:
            raise ValueError(f"`method` must be one of {', '.join(METHODS)}, got {self.method!r}.")
        check_classifier(self.classifier)
        if not 0 < self.confidence_level < 1:
            raise ValueError(f"`confidence_level` must lie in (0, 1), got {self.confidence_level}.")
        if not 0 <= self.bootstraps <= MOST_BOOTSTRAPS:
            raise ValueError(f"`bootstraps` must lie in 0..{MOST_BOOTSTRAPS:,}, got {self.bootstraps}.")
        if self.feature not in FEATURES and self.feature not in (*ATTENTION_FEATURE_NAMES, STATED_CONFIDENCE):
            raise ValueError(f"`feature` must name features of a profile (FEATURE_NAMES), got {self.feature!r}.")

    def _plan(self, profiles: Profiles) -> FitPlan:
        self.feature_ = self.feature
        self.dropped_features_: tuple[str, ...] = ()
        if not is_given(profiles, self.feature):
            self.feature_ = FALLBACK
        recipe = Recipe(self.classifier, self.balanced, self.calibrated, self.random_state)
        features: tuple[str, ...] = ()
        if self.method == "atc":
            self.notes_ += score_notes(profiles, self.feature, self.feature_)
        elif self.method != "constant":
            features = self._useful_features(profiles)
        method = self.method if features or self.method != "combined" else "constant"
        return FitPlan(method, self.feature_, features, recipe, fills=stand_ins(profiles, features))

    def _useful_features(self, profiles: Profiles) -> tuple[str, ...]:
        wanted = usual_features(profiles, self.classifier) if self.features is None else self.features
        names = FEATURE_SETS.get(wanted, ()) if isinstance(wanted, int) else tuple(wanted)
        if not names:
            raise ValueError(f"`features` must be 1, 3, 10, 17 or names of features, got {self.features!r}.")
        useful = tuple(name for name in names if name in profiles.names and varies(profiles.column(name)))
        self.dropped_features_ = tuple(name for name in names if name not in useful)
        if self.dropped_features_ and self.features is not None:
            self.notes_.append(f"left out as constant or unknown: {', '.join(self.dropped_features_)}")
        if self.method == "combined" and not useful and any(is_given(profiles, name) for name in names):
            self.notes_.append("no feature varies, so every slice gets the labelled accuracy")
        elif not useful:
            raise NotEnoughDataError(
                "every feature of the classifier is constant or unknown.", "Record log-probabilities."
            )
        return useful

    def _compatible(self, X: Any) -> Profiles:
        profiles = (X.profiles if isinstance(X, Responses) else as_profiles(X)).with_own(self.plan_.features)
        needed = {*self.plan_.features, *([self.feature_] if self.method == "atc" else [])}
        check_compatible(profiles, self.labelled_.profiles, needed)
        return profiles
