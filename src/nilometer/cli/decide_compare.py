"""``nilometer decide --compare``: rules by metrics on prompts whose truth is known."""

from __future__ import annotations

from typing import Any

from nilometer import decisions, estimators
from nilometer.errors import ConfigError

from .common import console, talk, write_json
from .decide_inputs import Asked

__all__ = ["show_comparison"]


def show_comparison(asked: Asked, rule: decisions.Rule, places: list[int], *, parameter: Any, as_json: bool) -> None:
    """Compare the usual rules and the one asked for on the prompts at these places, and show the table."""
    if not places:
        raise ConfigError("`--compare` needs right answers (`--truth FILE`) for prompts of the file; none matches.")
    posteriors = [one for i in places if isinstance(one := asked.posteriors[i], estimators.Posterior)]
    truths = [asked.truths[asked.ids[i]] for i in places]
    usual = decisions.USUAL[posteriors[0].kind]
    answers = _answers([asked.greedy[i] for i in places], posteriors, (*usual.rules, rule.name), parameter=parameter)
    metrics: list[Any] = [name for name in usual.metrics if name != rule.name]
    found = decisions.compare(posteriors, truths, answers=answers, metrics=[(rule, parameter), *metrics])
    if as_json:
        write_json({"n": found.n, "confidence_level": found.confidence_level, "cells": found.to_dicts()})
        return
    _show(found)


def _answers(
    greedy: list[Any], posteriors: list[estimators.Posterior], names: tuple[str, ...], *, parameter: Any
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    if all(answer is not None for answer in greedy):
        found["greedy"] = greedy
    for name in dict.fromkeys(names):
        rule = decisions.find_rule(name)
        found[name] = decisions.best_answers(posteriors, rule, parameter=parameter if name == names[-1] else None)
    return found


def _show(found: decisions.Comparison) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    table.add_column("rule")
    for name in ("value", "gain", "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    seen: set[str] = set()
    for cell in found.cells:
        change = ("", "") if cell.metric not in seen else (f"{cell.gain:+.3f}", f"{cell.low:+.3f} to {cell.high:+.3f}")
        table.add_row("" if cell.metric in seen else cell.metric, cell.rule, f"{cell.value:.3f}", *change)
        seen.add(cell.metric)
    console().print(table)
    talk(
        f"{found.n:,} prompts with a known truth. Gain over {found.cells[0].rule} with its "
        f"{found.confidence_level:.0%} paired bootstrap interval; above 0 is better whatever the metric."
    )
