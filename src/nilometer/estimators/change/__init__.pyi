from .canary import CanaryResult as CanaryResult, canary_test as canary_test
from .drift import (
    AccuracyChange as AccuracyChange,
    ScoreDrift as ScoreDrift,
    SliceChange as SliceChange,
    decompose_change as decompose_change,
    holm as holm,
    mean_change as mean_change,
    permuted_mean_change as permuted_mean_change,
    score_drift as score_drift,
)
from .means import MeanChange as MeanChange, MeanSums as MeanSums, compare_means as compare_means
from .weak_slices import (
    WeakSlice as WeakSlice,
    benjamini_hochberg as benjamini_hochberg,
    cluster_embeddings as cluster_embeddings,
    confirm_weak_slices as confirm_weak_slices,
    find_weak_slices as find_weak_slices,
)
from .windows import Window as Window, Windows as Windows, choose_period as choose_period, cut_windows as cut_windows
