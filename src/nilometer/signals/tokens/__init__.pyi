from .features import (
    FEATURE_NAMES as FEATURE_NAMES,
    FEATURES as FEATURES,
    PAPER_FEATURES as PAPER_FEATURES,
    Feature as Feature,
)
from .ragged import Ragged as Ragged, ragged_from_batch as ragged_from_batch
from .signals import (
    TokenSignals as TokenSignals,
    entropy_bounds as entropy_bounds,
    token_entropy as token_entropy,
    token_signals as token_signals,
)
