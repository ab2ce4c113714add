from .exact import MBRDecision as MBRDecision, RankedText as RankedText, mbr as mbr, mbr_many as mbr_many
from .race import MBRRace as MBRRace, race_mbr as race_mbr
from .utilities import (
    TEXT_UTILITIES as TEXT_UTILITIES,
    TextUtility as TextUtility,
    batched_utility as batched_utility,
    cosine_utility as cosine_utility,
    exact_match_utility as exact_match_utility,
    pairwise_utility as pairwise_utility,
)
