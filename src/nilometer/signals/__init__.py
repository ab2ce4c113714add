"""Numbers read off a trace: pure functions, arrays in and arrays out."""

from .embeddings import DistanceSums, PairDistances, answer_embeddings, distance_sums, pair_distances
from .features import FEATURE_NAMES, FEATURES, PAPER_FEATURES, Feature
from .profiles import PROFILE_COLUMNS, profile_batch, profile_features, profile_traces
from .ragged import Ragged, ragged_from_batch
from .tokens import TokenSignals, entropy_bounds, token_entropy, token_signals

__all__ = [
    "FEATURES",
    "FEATURE_NAMES",
    "PAPER_FEATURES",
    "PROFILE_COLUMNS",
    "DistanceSums",
    "Feature",
    "PairDistances",
    "Ragged",
    "TokenSignals",
    "answer_embeddings",
    "distance_sums",
    "entropy_bounds",
    "pair_distances",
    "profile_batch",
    "profile_features",
    "profile_traces",
    "ragged_from_batch",
    "token_entropy",
    "token_signals",
]
