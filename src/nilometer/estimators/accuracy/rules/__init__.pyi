from .label_free import LABEL_FREE as LABEL_FREE, Arm as Arm
from .levels import LevelSlope as LevelSlope, fit_level_slope as fit_level_slope, spread_levels as spread_levels
from .scores import SourceScores as SourceScores, TargetScores as TargetScores
from .threshold import (
    Threshold as Threshold,
    fit_threshold as fit_threshold,
    thresholded_accuracy as thresholded_accuracy,
)
