from .active import (
    draw_sample as draw_sample,
    inclusion_probabilities as inclusion_probabilities,
    weighted_mean as weighted_mean,
)
from .posterior import (
    combine as combine,
    combine_slices as combine_slices,
    draw_accuracies as draw_accuracies,
    prior_spread as prior_spread,
)
from .ppi import ppi_mean as ppi_mean
from .sample import (
    LabelledAccuracy as LabelledAccuracy,
    labelled_mean as labelled_mean,
    score_interval as score_interval,
)
from .sequence import (
    ConfidenceSequence as ConfidenceSequence,
    RiskMonitor as RiskMonitor,
    confidence_sequence as confidence_sequence,
    start_monitor as start_monitor,
    update_monitor as update_monitor,
)
from .shrinkage import ShrunkAccuracies as ShrunkAccuracies, shrink_accuracies as shrink_accuracies
from .slices import with_labels as with_labels
from .strata import (
    StratumSums as StratumSums,
    cut_strata as cut_strata,
    neyman_allocation as neyman_allocation,
    stratified_mean as stratified_mean,
    stratified_mean_of_sums as stratified_mean_of_sums,
)
