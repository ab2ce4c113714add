from .fitting import (
    features_read as features_read,
    fit_sentinel as fit_sentinel,
    is_fitted as is_fitted,
)
from .known import (
    KnownSlices as KnownSlices,
    KnownSums as KnownSums,
    fit_known_slices as fit_known_slices,
    known_accuracy as known_accuracy,
)
from .left_out import LeftOut as LeftOut, left_out_probabilities as left_out_probabilities
from .other_models import (
    CrossModel as CrossModel,
    WithOthers as WithOthers,
    cross_model_accuracy as cross_model_accuracy,
    labelled_accuracies as labelled_accuracies,
    with_other_models as with_other_models,
)
from .rules import *
from .sentinel import Sentinel as Sentinel
from .sentinel_file import load_sentinel as load_sentinel, save_sentinel as save_sentinel
