from .embeddings import (
    DistanceSums as DistanceSums,
    PairDistances as PairDistances,
    answer_embeddings as answer_embeddings,
    distance_sums as distance_sums,
    pair_distance_rows as pair_distance_rows,
    pair_distances as pair_distances,
)
from .generations import generation_sums as generation_sums
from .ngrams import ngram_embeddings as ngram_embeddings
