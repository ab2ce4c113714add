"""What to do: reports, and later plans, answers and routes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alerts import Alert, Scores, below_alert, change_alerts, disagreement, fall_alert, mix_p_value
    from .answer_table import AnswerTable
    from .best_answer import ArrayDecisions, best_answers, decide, decide_arrays, decide_many
    from .cascade import Cascade, CascadeRun, StopRule, calibrate_stop, cascade_for_budget, cheap_models, run_cascade
    from .comparison import USUAL, Comparison, ComparisonCell, compare
    from .cost_quality import PolicyPoint, cheapest_point, compare_with_mixing, fixed_points, oracle_point, policy_point
    from .decision import Decision, Decisions
    from .html import render_html
    from .judge import JudgeScore, Preference, judge_score, prefer
    from .live import LiveDecision, SamplingPlan, decide_live
    from .mbr_exact import MBRDecision, RankedText, mbr, mbr_many
    from .mbr_race import MBRRace, race_mbr
    from .mbr_utilities import (
        TEXT_UTILITIES,
        TextUtility,
        batched_utility,
        cosine_utility,
        exact_match_utility,
        pairwise_utility,
    )
    from .report import Curve, Example, Report, build_report, choose_families, choose_keys, short_name
    from .route_html import render_route_html
    from .route_policies import policy_points
    from .route_report import ModelRow, RouteReport, SliceRow, build_route_report, lonely_models
    from .router_file import load_router, save_router
    from .routing import Alternative, Route, Router, fit_router
    from .rule import Rule
    from .rules import RULES, find_rule
    from .rules_labels import CostMatrix, user_rule
    from .rules_numbers import bregman_rule
    from .selection import Selection, select_medoid, select_text, select_vote
    from .token_page import AnswerView, TokenView, render_tokens
    from .watch import Watch, WatchOptions, WindowSlice, build_watch

__all__ = [
    "RULES",
    "TEXT_UTILITIES",
    "USUAL",
    "Alert",
    "Alternative",
    "AnswerTable",
    "AnswerView",
    "ArrayDecisions",
    "Cascade",
    "CascadeRun",
    "Comparison",
    "ComparisonCell",
    "CostMatrix",
    "Curve",
    "Decision",
    "Decisions",
    "Example",
    "JudgeScore",
    "LiveDecision",
    "MBRDecision",
    "MBRRace",
    "ModelRow",
    "PolicyPoint",
    "Preference",
    "RankedText",
    "Report",
    "Route",
    "RouteReport",
    "Router",
    "Rule",
    "SamplingPlan",
    "Scores",
    "Selection",
    "SliceRow",
    "StopRule",
    "TextUtility",
    "TokenView",
    "Watch",
    "WatchOptions",
    "WindowSlice",
    "batched_utility",
    "below_alert",
    "best_answers",
    "bregman_rule",
    "build_report",
    "build_route_report",
    "build_watch",
    "calibrate_stop",
    "cascade_for_budget",
    "change_alerts",
    "cheap_models",
    "cheapest_point",
    "choose_families",
    "choose_keys",
    "compare",
    "compare_with_mixing",
    "cosine_utility",
    "decide",
    "decide_arrays",
    "decide_live",
    "decide_many",
    "disagreement",
    "exact_match_utility",
    "fall_alert",
    "find_rule",
    "fit_router",
    "fixed_points",
    "judge_score",
    "load_router",
    "lonely_models",
    "mbr",
    "mbr_many",
    "mix_p_value",
    "oracle_point",
    "pairwise_utility",
    "policy_point",
    "policy_points",
    "prefer",
    "race_mbr",
    "render_html",
    "render_route_html",
    "render_tokens",
    "run_cascade",
    "save_router",
    "select_medoid",
    "select_text",
    "select_vote",
    "short_name",
    "user_rule",
]

_LAZY = {
    "AnswerView": "token_page",
    "TokenView": "token_page",
    "render_tokens": "token_page",
    "Alert": "alerts",
    "Scores": "alerts",
    "below_alert": "alerts",
    "change_alerts": "alerts",
    "disagreement": "alerts",
    "fall_alert": "alerts",
    "mix_p_value": "alerts",
    "AnswerTable": "answer_table",
    "Cascade": "cascade",
    "CascadeRun": "cascade",
    "StopRule": "cascade",
    "calibrate_stop": "cascade",
    "cascade_for_budget": "cascade",
    "cheap_models": "cascade",
    "run_cascade": "cascade",
    "PolicyPoint": "cost_quality",
    "cheapest_point": "cost_quality",
    "compare_with_mixing": "cost_quality",
    "fixed_points": "cost_quality",
    "oracle_point": "cost_quality",
    "policy_point": "cost_quality",
    "render_html": "html",
    "MBRDecision": "mbr_exact",
    "RankedText": "mbr_exact",
    "mbr": "mbr_exact",
    "mbr_many": "mbr_exact",
    "MBRRace": "mbr_race",
    "race_mbr": "mbr_race",
    "TEXT_UTILITIES": "mbr_utilities",
    "TextUtility": "mbr_utilities",
    "batched_utility": "mbr_utilities",
    "cosine_utility": "mbr_utilities",
    "exact_match_utility": "mbr_utilities",
    "pairwise_utility": "mbr_utilities",
    "Curve": "report",
    "Example": "report",
    "Report": "report",
    "build_report": "report",
    "choose_families": "report",
    "choose_keys": "report",
    "short_name": "report",
    "render_route_html": "route_html",
    "policy_points": "route_policies",
    "ModelRow": "route_report",
    "RouteReport": "route_report",
    "SliceRow": "route_report",
    "build_route_report": "route_report",
    "lonely_models": "route_report",
    "load_router": "router_file",
    "save_router": "router_file",
    "Alternative": "routing",
    "Route": "routing",
    "Router": "routing",
    "fit_router": "routing",
    "Selection": "selection",
    "select_medoid": "selection",
    "select_text": "selection",
    "select_vote": "selection",
    "Watch": "watch",
    "WatchOptions": "watch",
    "WindowSlice": "watch",
    "build_watch": "watch",
    "ArrayDecisions": "best_answer",
    "best_answers": "best_answer",
    "decide": "best_answer",
    "decide_arrays": "best_answer",
    "decide_many": "best_answer",
    "USUAL": "comparison",
    "Comparison": "comparison",
    "ComparisonCell": "comparison",
    "compare": "comparison",
    "Decision": "decision",
    "Decisions": "decision",
    "JudgeScore": "judge",
    "Preference": "judge",
    "judge_score": "judge",
    "prefer": "judge",
    "LiveDecision": "live",
    "SamplingPlan": "live",
    "decide_live": "live",
    "Rule": "rule",
    "RULES": "rules",
    "find_rule": "rules",
    "CostMatrix": "rules_labels",
    "user_rule": "rules_labels",
    "bregman_rule": "rules_numbers",
}
"""Imported on first use: they load scikit-learn and Altair."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
