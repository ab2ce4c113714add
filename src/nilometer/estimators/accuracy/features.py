"""Which features a rule reads, and what stands for those that a response does not have by nature."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nilometer.errors import NotEnoughDataError
from nilometer.signals import STATED_CONFIDENCE

from ..profiles import Profiles, is_own_name
from ..responses import Responses
from .rules.classifier import CLASSIFIERS

__all__ = [
    "FALLBACK",
    "MONOTONE_FEATURES",
    "check_classifier",
    "is_given",
    "score_notes",
    "stand_ins",
    "usual_features",
    "with_own_features",
]

MONOTONE_FEATURES = ("nll_sum", "nll_avg", "se_sum", "max", "tail_mass_max")
"""Usual features of the monotone classifier; those that are constant or unknown are left out."""
FALLBACK = "nll_sum"
"""Score of ``atc`` where the data has no alternatives."""


def with_own_features(responses: Responses, features: int | Sequence[str] | None) -> Responses:
    """Let the columns of one's own that are named as features be features.

    Raises
    ------
    ValueError
        If a name is neither a feature nor a column of numbers.
    """
    own = {name for name in (() if features is None or isinstance(features, int) else features) if is_own_name(name)}
    profiles = responses.profiles.with_own(own)
    for name in sorted(own - set(profiles.names)):
        raise ValueError(
            f"`features` must name features of a profile (FEATURE_NAMES) or columns of numbers of `X`, got {name!r}."
        )
    return responses if profiles is responses.profiles else replace(responses, profiles=profiles)


def score_notes(profiles: Profiles, wanted: str, used: str) -> list[str]:
    """Say which score stands for the wanted one.

    Raises
    ------
    NotEnoughDataError
        If no labelled response has either.
    """
    profiles.column(wanted)
    if used == wanted:
        return []
    if not is_given(profiles, FALLBACK):
        raise NotEnoughDataError(f"no labelled response has the feature {wanted!r}.", "Record log-probabilities.")
    return [f"no response has {wanted!r}, so {FALLBACK!r} is used"]


def check_classifier(classifier: Any) -> None:
    """Refuse what is neither a name of ``CLASSIFIERS`` nor a classifier of scikit-learn that gives probabilities."""
    if isinstance(classifier, str):
        if classifier not in CLASSIFIERS:
            known = ", ".join(CLASSIFIERS)
            raise ValueError(f"`classifier` must be one of {known}, or of scikit-learn, got {classifier!r}.")
    elif not (hasattr(classifier, "fit") and hasattr(classifier, "predict_proba")):
        raise ValueError(f"`classifier` must have `fit` and `predict_proba`, got {type(classifier).__name__}.")


def usual_features(profiles: Profiles, classifier: Any) -> int | tuple[str, ...]:
    """Features of a classifier for which none are named: also the stated confidence where profiles have it."""
    if not isinstance(classifier, str) or classifier != "monotone":
        return 17
    return (*MONOTONE_FEATURES, *((STATED_CONFIDENCE,) if STATED_CONFIDENCE in profiles.names else ()))


def stand_ins(profiles: Profiles, features: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """Let an answer without a stated confidence, or without a feature of one's own, count as one of the median."""
    lacking = [name for name in features if name == STATED_CONFIDENCE or is_own_name(name)]
    return tuple((name, float(np.nanmedian(profiles.column(name)))) for name in lacking)


def is_given(profiles: Profiles, feature: str) -> bool:
    """Return whether some response has a feature."""
    return feature in profiles.names and not bool(np.isnan(profiles.column(feature)).all())
