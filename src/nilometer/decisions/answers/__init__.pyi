from .best_answer import (
    ArrayDecisions as ArrayDecisions,
    best_answers as best_answers,
    decide as decide,
    decide_arrays as decide_arrays,
    decide_many as decide_many,
)
from .comparison import USUAL as USUAL, Comparison as Comparison, ComparisonCell as ComparisonCell, compare as compare
from .decision import Decision as Decision, Decisions as Decisions
from .gain import Change as Change, expected_change as expected_change, split_by_hash as split_by_hash
from .judge import JudgeScore as JudgeScore, Preference as Preference, judge_score as judge_score, prefer as prefer
from .labels import CostMatrix as CostMatrix, read_cost_matrix as read_cost_matrix, user_rule as user_rule
from .live import (
    LiveDecision as LiveDecision,
    LiveDraws as LiveDraws,
    SamplingPlan as SamplingPlan,
    decide_live as decide_live,
    draw_live as draw_live,
)
from .numbers import bregman_rule as bregman_rule
from .rule import Rule as Rule
from .rules import RULES as RULES, find_rule as find_rule
from .scale import among as among
