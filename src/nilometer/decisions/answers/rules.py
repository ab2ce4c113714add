"""The table of rules, and finding one by its name."""

import difflib
import math
from collections.abc import Callable
from typing import Any

from nilometer.errors import ConfigError

from ..texts.utilities import TEXT_UTILITIES
from .batch import BATCH_RULES
from .labels import LABEL_RULES, CostMatrix, user_rule
from .numbers import NUMBER_RULES
from .rule import Rule
from .sets import SET_RULES
from .texts import text_rule

__all__ = ["RULES", "checked_parameter", "find_rule"]

RULES: dict[str, Rule] = {rule.name: rule for rule in (*LABEL_RULES, *NUMBER_RULES, *SET_RULES, *BATCH_RULES)}
"""Every metric and its best answer, by name. A new rule is one entry here."""

_ALIASES = {alias: rule.name for rule in RULES.values() for alias in rule.aliases}


def find_rule(metric: str | Rule | Callable[[Any, Any], float]) -> Rule:
    """Return the rule of a metric: a name, a text utility's name, a rule, or a loss ``function(answer, truth)``.

    Raises
    ------
    ConfigError
        If the name is unknown; it names the nearest.

    Examples
    --------
    >>> find_rule("mae").name, find_rule(lambda answer, truth: answer != truth).name
    ('absolute', 'user')
    """
    if isinstance(metric, Rule):
        return metric
    if not isinstance(metric, str):
        return user_rule(metric)
    name = metric.strip().lower().replace("-", "_").replace(" ", "_")
    name = _ALIASES.get(name, name)
    if name in RULES:
        return RULES[name]
    texts = {key.lower(): utility for key, utility in TEXT_UTILITIES.items() if utility.matrix is not None}
    if name in texts:
        return text_rule(texts[name])
    near = difflib.get_close_matches(name, [*RULES, *_ALIASES, *texts], n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ConfigError(f"`metric` must be one of {', '.join(sorted([*RULES, *texts]))}, got {metric!r}.{hint}")


def checked_parameter(rule: Rule, parameter: Any) -> Any:
    """Return the parameter of a rule, or its default, and refuse what the rule does not take.

    Raises
    ------
    ConfigError
        If it is missing, out of range, or not wanted.
    """
    if rule.name == "cost":
        if not isinstance(parameter, CostMatrix):
            raise ConfigError(f"`parameter` of cost must be a CostMatrix, got {parameter!r}.")
        return parameter
    wanted = rule.parameter
    if wanted is None:
        if parameter is not None:
            raise ConfigError(f"{rule.name} takes no parameter, got {parameter!r}.")
        return None
    if parameter is None:
        if wanted.default is None:
            raise ConfigError(f"{rule.name} needs its parameter {wanted.name} ({wanted.about}).")
        return wanted.default
    value = float(parameter)
    if not (wanted.low < value < wanted.high) or math.isnan(value):
        raise ConfigError(
            f"`parameter` of {rule.name}, {wanted.name}, must lie between {wanted.low:g} and {wanted.high:g}, "
            f"got {parameter!r}."
        )
    return value
