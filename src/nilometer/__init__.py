"""How accurate is your LLM on every slice of its traffic.

The names here are those of the main job; everything else is in the stages ``nilometer.traces``,
``nilometer.signals``, ``nilometer.estimators``, ``nilometer.decisions`` and ``nilometer.models``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .decisions import build_report, render_html
    from .estimators import Estimate, NotEnoughData, Sentinel, SliceEstimates, load_sentinel, save_sentinel
    from .signals import profile_traces
    from .traces import diagnose, join_labels, read_labels, read_traces, slice_names, write_traces

__all__ = [
    "Estimate",
    "NotEnoughData",
    "Sentinel",
    "SliceEstimates",
    "build_report",
    "diagnose",
    "join_labels",
    "load_sentinel",
    "profile_traces",
    "read_labels",
    "read_traces",
    "render_html",
    "save_sentinel",
    "slice_names",
    "write_traces",
]

_STAGES = {
    "traces": ("diagnose", "join_labels", "read_labels", "read_traces", "slice_names", "write_traces"),
    "signals": ("profile_traces",),
    "estimators": ("Estimate", "NotEnoughData", "Sentinel", "SliceEstimates", "load_sentinel", "save_sentinel"),
    "decisions": ("build_report", "render_html"),
}
_LAZY = {name: stage for stage, names in _STAGES.items() for name in names}
"""Imported on first use, so that ``import nilometer`` stays quick."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("nilometer")
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
