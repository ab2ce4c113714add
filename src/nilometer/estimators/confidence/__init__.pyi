from .answers import AnswerScorer as AnswerScorer, fit_answer_scorer as fit_answer_scorer
from .tokens import (
    TokenConfidence as TokenConfidence,
    load_token_confidence as load_token_confidence,
    save_token_confidence as save_token_confidence,
)
