"""What to do: reports, and later plans, answers and routes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alerts import Alert, Scores, below_alert, change_alerts, disagreement, fall_alert, mix_p_value
    from .html import render_html
    from .report import Curve, Example, Report, build_report, choose_families, choose_keys, short_name
    from .watch import Watch, WatchOptions, WindowSlice, build_watch

__all__ = [
    "Alert",
    "Curve",
    "Example",
    "Report",
    "Scores",
    "Watch",
    "WatchOptions",
    "WindowSlice",
    "below_alert",
    "build_report",
    "build_watch",
    "change_alerts",
    "choose_families",
    "choose_keys",
    "disagreement",
    "fall_alert",
    "mix_p_value",
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
}
"""Imported on first use: they load scikit-learn and Altair."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
