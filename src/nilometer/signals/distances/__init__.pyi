from .embeddings import (
    DistanceSums as DistanceSums,
    answer_embeddings as answer_embeddings,
    distance_sums as distance_sums,
    pair_distance_rows as pair_distance_rows,
)
from .generations import generation_sums as generation_sums
from .ngrams import ngram_embeddings as ngram_embeddings
