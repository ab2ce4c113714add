"""What a row of the table of wire formats says."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ...batch import Trace
from .context import Context
from .line import Line

__all__ = ["Format"]


class Format(NamedTuple):
    """One wire format whose unit is a JSON object."""

    name: str
    matches: Callable[[Line], bool]
    parse: Callable[[Line, Context], Iterator[Trace]]
    about: str
    gives: str = ""
    """What a trace of it can hold: alternatives, tokens, times, ids, labels."""
    ask: str = ""
    """How log-probabilities are switched on there."""
