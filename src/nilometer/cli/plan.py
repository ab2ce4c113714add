"""``nilometer plan``: what to label next, which slices to label first, what to acquire, where nobody looked."""

import typer

from .plans.acquire import plan_acquire
from .plans.label import plan_label
from .plans.measure import plan_measure
from .plans.slices import plan_slices
from .plans.weak import plan_weak

__all__ = ["plan"]

plan = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="What to label next, what to acquire, and which slices nobody named are weak.",
)
"""The verbs under ``nilometer plan``."""

plan.command("label")(plan_label)
plan.command("measure")(plan_measure)
plan.command("acquire")(plan_acquire)
plan.command("slices")(plan_slices)
plan.command("weak")(plan_weak)
