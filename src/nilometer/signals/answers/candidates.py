"""What could be an answer in a text: values with their places, before it is known which of them is meant."""

from collections.abc import Callable, Hashable
from typing import NamedTuple

__all__ = ["Candidate", "Finder"]


class Candidate(NamedTuple):
    """A value that stands in a text."""

    value: Hashable
    start: int
    """Where the value itself begins."""
    end: int
    """Where it ends, with its unit or total."""
    is_open: bool = False
    """Whether it is one end of a range ("3 to 4", "A or B"), which is not one answer."""
    is_weak: bool = False
    """Whether it counts only right where an answer is announced: number words, letters that are also words."""
    lead: int = -1
    """Where a currency sign or a bracket before the value begins; ``start`` without one."""

    @property
    def first(self) -> int:
        """Where the value begins together with what belongs to it."""
        return self.start if self.lead < 0 else self.lead


Finder = Callable[[str], list[Candidate]]
"""Lists every value of one kind in a text, in order."""
