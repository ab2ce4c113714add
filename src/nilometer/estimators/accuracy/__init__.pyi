from .label_free import LABEL_FREE as LABEL_FREE, Arm as Arm
from .left_out import Gain as Gain, LeftOut as LeftOut, Skill as Skill, left_out_probabilities as left_out_probabilities
from .other_models import (
    CrossModel as CrossModel,
    WithOthers as WithOthers,
    cross_model_accuracy as cross_model_accuracy,
    labelled_accuracies as labelled_accuracies,
    with_other_models as with_other_models,
)
from .scores import SourceScores as SourceScores, TargetScores as TargetScores
from .sentinel import Sentinel as Sentinel, fit_sentinel as fit_sentinel, is_fitted as is_fitted
from .sentinel_file import load_sentinel as load_sentinel, save_sentinel as save_sentinel
from .threshold import (
    Threshold as Threshold,
    fit_threshold as fit_threshold,
    thresholded_accuracy as thresholded_accuracy,
)
