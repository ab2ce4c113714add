from .encoded import normalize_answer as normalize_answer
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
