"""Rules that labelled reference data has to meet before anything is fitted on it."""

from collections.abc import Collection

import numpy as np

from nilometer.arrays import Floats
from nilometer.errors import IncompatibleModelError, NotEnoughDataError

from ...profiles import Profiles

__all__ = [
    "LEAST_LABELS",
    "MOST_WITHOUT_LOGPROBS",
    "check_compatible",
    "check_labels",
    "foreign_models",
    "has_both_kinds",
    "mixed_provenance",
    "varies",
]

LEAST_LABELS = 10
MOST_WITHOUT_LOGPROBS = 0.5
"""A slice with a larger share of responses without log-probabilities is refused."""


def check_labels(labels: Floats) -> None:
    """Refuse labels outside [0, 1], too few of them, or of one kind only."""
    if labels.size and (labels.min() < 0 or labels.max() > 1):
        raise ValueError(f"`y` must lie in [0, 1], got {labels.min():g} to {labels.max():g}.")
    if labels.size < LEAST_LABELS:
        raise NotEnoughDataError(
            f"{labels.size} labels are not enough to fit.", f"Label at least {LEAST_LABELS} responses."
        )
    if not has_both_kinds(labels):
        kind = "correct" if labels.mean() >= 0.5 else "wrong"
        raise NotEnoughDataError(f"all {labels.size} labels are {kind}.", "Label responses until both kinds occur.")


def has_both_kinds(labels: Floats) -> bool:
    """Return whether some labels are correct and some wrong."""
    return bool(labels.size) and bool(labels.min() < 0.5 <= labels.max())


def varies(values: Floats) -> bool:
    """Return whether a feature is known and not constant."""
    known = values[~np.isnan(values)]
    return bool(known.size) and bool(known.min() < known.max())


def mixed_provenance(profiles: Profiles) -> list[str]:
    """Say which of k, logprobs mode and model the labelled data mixes."""
    return [
        f"labelled data mixes {name}: {', '.join(values)}"
        for name, values in profiles.provenance.items()
        if len(values) > 1
    ]


def check_compatible(profiles: Profiles, reference: Profiles, features: set[str]) -> None:
    """Refuse profiles that lack a feature, or have a k or logprobs mode that the labelled ones never had."""
    missing = sorted(features - set(profiles.names))
    if missing:
        raise IncompatibleModelError(f"`X` must have the features {', '.join(missing)}. Profile the traces again.")
    for name in ("k", "logprobs_mode"):
        fitted, got = reference.provenance[name], profiles.provenance[name]
        if fitted and got and not set(got) <= set(fitted):
            raise IncompatibleModelError(
                f"`{name}` must be {' or '.join(fitted)} as in the labelled data, got {', '.join(got)}. "
                "Fit on traces recorded with the same settings."
            )


def foreign_models(models: Collection[str], reference: Profiles) -> str:
    """Say which models have no labelled response; empty if all have, or if either side names no model."""
    fitted = reference.provenance["model"]
    foreign = sorted(set(models) - set(fitted)) if fitted else []
    return f"no labelled response of the model {', '.join(foreign)}" if foreign else ""
