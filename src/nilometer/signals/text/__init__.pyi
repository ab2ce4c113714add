from .encoded import (
    EncodedTexts as EncodedTexts,
    chrf_characters as chrf_characters,
    chrf_words as chrf_words,
    encode_characters as encode_characters,
    encode_tokens as encode_tokens,
    normalize_answer as normalize_answer,
    rouge_tokens as rouge_tokens,
    tokenize_13a as tokenize_13a,
)
from .matches import (
    NgramMatches as NgramMatches,
    common_subsequences as common_subsequences,
    edit_distances as edit_distances,
    ngram_matches as ngram_matches,
)
from .scores import (
    bleu_scores as bleu_scores,
    character_error_rates as character_error_rates,
    chrf_scores as chrf_scores,
    cosine_scores as cosine_scores,
    exact_match_scores as exact_match_scores,
    rouge_l_scores as rouge_l_scores,
    rouge_n_scores as rouge_n_scores,
    token_f1_scores as token_f1_scores,
    unit_vectors as unit_vectors,
    word_error_rates as word_error_rates,
)
