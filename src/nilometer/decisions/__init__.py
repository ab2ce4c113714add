"""What to do: reports, and later plans, answers and routes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .html import render_html
    from .report import Curve, Example, Report, build_report, choose_families, choose_keys, short_name

__all__ = [
    "Curve",
    "Example",
    "Report",
    "build_report",
    "choose_families",
    "choose_keys",
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
}
"""Imported on first use: they load scikit-learn and Altair."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
