"""What we believe, with uncertainty: estimators over signals."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .accuracy import Threshold, fit_threshold, thresholded_accuracy
from .agreement import Agreement, fit_errors, merge_agreements, pair_matrix, update_agreement
from .canary import CanaryResult, canary_test
from .cross_model import CrossModel, cross_model_accuracy
from .drift import (
    AccuracyChange,
    MeanChange,
    ScoreDrift,
    SliceChange,
    decompose_change,
    holm,
    mean_change,
    permuted_mean_change,
    score_drift,
)
from .estimate import Estimate, NotEnoughData, SliceEstimates
from .intervals import (
    LEAST_SLICES,
    Residuals,
    conformal_interval,
    fit_residuals,
    pool_residuals,
    prediction_interval,
    wilson_interval,
)
from .labelled import LabelledAccuracy, labelled_mean, score_interval
from .labelled_active import draw_sample, inclusion_probabilities, weighted_mean
from .labelled_posterior import combine, draw_accuracies
from .labelled_ppi import ppi_mean, prediction_weight
from .labelled_quality import LabelledQualities, label_qualities
from .labelled_sequence import ConfidenceSequence, RiskMonitor, confidence_sequence, start_monitor, update_monitor
from .labelled_shrinkage import ShrunkAccuracies, shrink_accuracies
from .labelled_slices import with_labels
from .labelled_strata import cut_strata, neyman_allocation, stratified_mean
from .posterior import Bounds, Posterior
from .posterior_parse import Parser, parse_answer, parse_items, parse_label, parse_number, parse_text, parse_tokens
from .posterior_responses import posterior_from_lm_eval, posterior_from_response, posteriors_from_traces
from .profiles import Profiles, as_profiles, rows_by_name
from .quality import BestTest, ModelQualities, QualityDifferences
from .weak_slices import WeakSlice, benjamini_hochberg, cluster_embeddings, confirm_weak_slices, find_weak_slices
from .windows import Window, Windows, choose_period, cut_windows

if TYPE_CHECKING:
    from .answer_scorer import AnswerScorer, fit_answer_scorer
    from .calibrator import Calibrator
    from .label_free import LABEL_FREE, Arm, SourceScores, TargetScores
    from .left_out import Gain, LeftOut, Skill, left_out_probabilities
    from .other_models import WithOthers, labelled_accuracies, with_other_models
    from .sentinel import Sentinel
    from .sentinel_file import load_sentinel, save_sentinel
    from .smoothie import Smoothie, precision_weights
    from .smoothie_families import FamilyCheck, ModelPair, find_families
    from .token_confidence import TokenConfidence, load_token_confidence, save_token_confidence

__all__ = [
    "LABEL_FREE",
    "LEAST_SLICES",
    "AccuracyChange",
    "Agreement",
    "AnswerScorer",
    "Arm",
    "BestTest",
    "Bounds",
    "Calibrator",
    "CanaryResult",
    "ConfidenceSequence",
    "CrossModel",
    "Estimate",
    "FamilyCheck",
    "Gain",
    "LabelledAccuracy",
    "LabelledQualities",
    "LeftOut",
    "MeanChange",
    "ModelPair",
    "ModelQualities",
    "NotEnoughData",
    "Parser",
    "Posterior",
    "Profiles",
    "QualityDifferences",
    "Residuals",
    "RiskMonitor",
    "ScoreDrift",
    "Sentinel",
    "ShrunkAccuracies",
    "Skill",
    "SliceChange",
    "SliceEstimates",
    "Smoothie",
    "SourceScores",
    "TargetScores",
    "Threshold",
    "TokenConfidence",
    "WeakSlice",
    "Window",
    "Windows",
    "WithOthers",
    "as_profiles",
    "benjamini_hochberg",
    "canary_test",
    "choose_period",
    "cluster_embeddings",
    "combine",
    "confidence_sequence",
    "confirm_weak_slices",
    "conformal_interval",
    "cross_model_accuracy",
    "cut_strata",
    "cut_windows",
    "decompose_change",
    "draw_accuracies",
    "draw_sample",
    "find_families",
    "find_weak_slices",
    "fit_answer_scorer",
    "fit_errors",
    "fit_residuals",
    "fit_threshold",
    "holm",
    "inclusion_probabilities",
    "label_qualities",
    "labelled_accuracies",
    "labelled_mean",
    "left_out_probabilities",
    "load_sentinel",
    "load_token_confidence",
    "mean_change",
    "merge_agreements",
    "neyman_allocation",
    "pair_matrix",
    "parse_answer",
    "parse_items",
    "parse_label",
    "parse_number",
    "parse_text",
    "parse_tokens",
    "permuted_mean_change",
    "pool_residuals",
    "posterior_from_lm_eval",
    "posterior_from_response",
    "posteriors_from_traces",
    "ppi_mean",
    "precision_weights",
    "prediction_interval",
    "prediction_weight",
    "rows_by_name",
    "save_sentinel",
    "save_token_confidence",
    "score_drift",
    "score_interval",
    "shrink_accuracies",
    "start_monitor",
    "stratified_mean",
    "thresholded_accuracy",
    "update_agreement",
    "update_monitor",
    "weighted_mean",
    "wilson_interval",
    "with_labels",
    "with_other_models",
]

_LAZY = {
    "AnswerScorer": "answer_scorer",
    "fit_answer_scorer": "answer_scorer",
    **dict.fromkeys(("LABEL_FREE", "Arm", "SourceScores", "TargetScores"), "label_free"),
    **dict.fromkeys(("Gain", "LeftOut", "Skill", "left_out_probabilities"), "left_out"),
    "Sentinel": "sentinel",
    **dict.fromkeys(("WithOthers", "labelled_accuracies", "with_other_models"), "other_models"),
    "TokenConfidence": "token_confidence",
    "load_token_confidence": "token_confidence",
    "save_token_confidence": "token_confidence",
    "load_sentinel": "sentinel_file",
    "save_sentinel": "sentinel_file",
    "Smoothie": "smoothie",
    "precision_weights": "smoothie",
    "FamilyCheck": "smoothie_families",
    "ModelPair": "smoothie_families",
    "find_families": "smoothie_families",
    "Calibrator": "calibrator",
}
"""Names from modules that load scikit-learn, imported on first use."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
