"""Numbers read off a trace: pure functions, arrays in and arrays out."""

from .answers import ANSWER_KINDS, final_answer, read_answer
from .embeddings import DistanceSums, PairDistances, answer_embeddings, distance_sums, pair_distances
from .features import FEATURE_NAMES, FEATURES, PAPER_FEATURES, Feature
from .generations import generation_sums
from .ngrams import ngram_embeddings
from .profiles import PROFILE_COLUMNS, profile_batch, profile_features, profile_traces
from .ragged import Ragged, ragged_from_batch
from .text import (
    EncodedTexts,
    chrf_characters,
    chrf_words,
    encode_characters,
    encode_tokens,
    normalize_answer,
    rouge_tokens,
    tokenize_13a,
)
from .text_matches import NgramMatches, common_subsequences, edit_distances, ngram_matches
from .text_utilities import (
    bleu_scores,
    character_error_rates,
    chrf_scores,
    cosine_scores,
    exact_match_scores,
    rouge_l_scores,
    rouge_n_scores,
    token_f1_scores,
    unit_vectors,
    word_error_rates,
)
from .tokens import TokenSignals, entropy_bounds, token_entropy, token_signals

__all__ = [
    "ANSWER_KINDS",
    "FEATURES",
    "FEATURE_NAMES",
    "PAPER_FEATURES",
    "PROFILE_COLUMNS",
    "DistanceSums",
    "EncodedTexts",
    "Feature",
    "NgramMatches",
    "PairDistances",
    "Ragged",
    "TokenSignals",
    "answer_embeddings",
    "bleu_scores",
    "character_error_rates",
    "chrf_characters",
    "chrf_scores",
    "chrf_words",
    "common_subsequences",
    "cosine_scores",
    "distance_sums",
    "edit_distances",
    "encode_characters",
    "encode_tokens",
    "entropy_bounds",
    "exact_match_scores",
    "final_answer",
    "generation_sums",
    "ngram_embeddings",
    "ngram_matches",
    "normalize_answer",
    "pair_distances",
    "profile_batch",
    "profile_features",
    "profile_traces",
    "ragged_from_batch",
    "read_answer",
    "rouge_l_scores",
    "rouge_n_scores",
    "rouge_tokens",
    "token_entropy",
    "token_f1_scores",
    "token_signals",
    "tokenize_13a",
    "unit_vectors",
    "word_error_rates",
]
