"""What to do: reports, and later plans, answers and routes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alerts import Alert, Scores, below_alert, change_alerts, disagreement, fall_alert, mix_p_value
    from .html import render_html
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
    from .watch import Watch, WatchOptions, WindowSlice, build_watch

__all__ = [
    "TEXT_UTILITIES",
    "Alert",
    "Curve",
    "Example",
    "MBRDecision",
    "MBRRace",
    "RankedText",
    "Report",
    "Scores",
    "TextUtility",
    "Watch",
    "WatchOptions",
    "WindowSlice",
    "batched_utility",
    "below_alert",
    "build_report",
    "build_watch",
    "change_alerts",
    "choose_families",
    "choose_keys",
    "cosine_utility",
    "disagreement",
    "exact_match_utility",
    "fall_alert",
    "mbr",
    "mbr_many",
    "mix_p_value",
    "pairwise_utility",
    "race_mbr",
    "render_html",
    "short_name",
]

_LAZY = {
    "Curve": "report",
    "Example": "report",
    "Report": "report",
    "build_report": "report",
    "choose_families": "report",
    "choose_keys": "report",
    "short_name": "report",
    "render_html": "html",
    "Alert": "alerts",
    "Scores": "alerts",
    "below_alert": "alerts",
    "change_alerts": "alerts",
    "disagreement": "alerts",
    "fall_alert": "alerts",
    "mix_p_value": "alerts",
    "Watch": "watch",
    "WatchOptions": "watch",
    "WindowSlice": "watch",
    "build_watch": "watch",
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
}
"""Imported on first use: they load scikit-learn and Altair."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
