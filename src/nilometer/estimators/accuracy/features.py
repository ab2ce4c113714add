"""Which features a rule reads, and what stands for those that a response does not have by nature."""

import numpy as np

from nilometer.signals import STATED_CONFIDENCE

from ..profiles import Profiles

__all__ = ["FALLBACK", "MONOTONE_FEATURES", "is_given", "stand_ins", "usual_features"]

MONOTONE_FEATURES = ("nll_sum", "nll_avg", "se_sum", "max", "tail_mass_max")
"""Usual features of the monotone classifier; those that are constant or unknown are left out."""
FALLBACK = "nll_sum"
"""Score of ``atc`` where the data has no alternatives."""


def usual_features(profiles: Profiles, classifier: str) -> int | tuple[str, ...]:
    """Features of a classifier for which none are named: also the stated confidence where profiles have it."""
    if classifier != "monotone":
        return 17
    return (*MONOTONE_FEATURES, *((STATED_CONFIDENCE,) if STATED_CONFIDENCE in profiles.names else ()))


def stand_ins(profiles: Profiles, features: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """Let an answer that states no confidence count as one of the median confidence."""
    if STATED_CONFIDENCE not in features:
        return ()
    return ((STATED_CONFIDENCE, float(np.nanmedian(profiles.column(STATED_CONFIDENCE)))),)


def is_given(profiles: Profiles, feature: str) -> bool:
    """Return whether some response has a feature."""
    return feature in profiles.names and not bool(np.isnan(profiles.column(feature)).all())
