"""What we believe, with uncertainty: estimators over signals."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .accuracy import Threshold, fit_threshold, thresholded_accuracy
from .agreement import Agreement, fit_errors, merge_agreements, pair_matrix, update_agreement
from .estimate import Estimate, NotEnoughData, SliceEstimates
from .intervals import LEAST_SLICES, Residuals, fit_residuals, prediction_interval, wilson_interval
from .left_out import left_out_probabilities
from .profiles import Profiles, as_profiles
from .quality import BestTest, ModelQualities, QualityDifferences

if TYPE_CHECKING:
    from .sentinel import Sentinel
    from .sentinel_file import load_sentinel, save_sentinel
    from .smoothie import Smoothie, precision_weights
    from .smoothie_families import FamilyCheck, ModelPair, find_families

__all__ = [
    "LEAST_SLICES",
    "Agreement",
    "BestTest",
    "Estimate",
    "FamilyCheck",
    "ModelPair",
    "ModelQualities",
    "NotEnoughData",
    "Profiles",
    "QualityDifferences",
    "Residuals",
    "Sentinel",
    "SliceEstimates",
    "Smoothie",
    "Threshold",
    "as_profiles",
    "find_families",
    "fit_errors",
    "fit_residuals",
    "fit_threshold",
    "left_out_probabilities",
    "load_sentinel",
    "merge_agreements",
    "pair_matrix",
    "precision_weights",
    "prediction_interval",
    "save_sentinel",
    "thresholded_accuracy",
    "update_agreement",
    "wilson_interval",
]

_LAZY = {
    "Sentinel": "sentinel",
    "load_sentinel": "sentinel_file",
    "save_sentinel": "sentinel_file",
    "FamilyCheck": "smoothie_families",
    "ModelPair": "smoothie_families",
    "Smoothie": "smoothie",
    "find_families": "smoothie_families",
    "precision_weights": "smoothie",
}
"""Names from modules that load scikit-learn, imported on first use."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
