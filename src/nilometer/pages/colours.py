"""Every colour of charts and pages, for light and dark."""

from typing import NamedTuple

__all__ = ["COLOURS", "SERIES", "Colour"]


class Colour(NamedTuple):
    """One meaning, on light and on dark paper."""

    light: str
    dark: str


COLOURS = {
    "ink": Colour("#1c1f24", "#e8eaed"),
    "soft": Colour("#5b6470", "#a2abb8"),
    "line": Colour("#d9dde3", "#3a414b"),
    "paper": Colour("#ffffff", "#16191e"),
    "estimated": Colour("#2166ac", "#74b3ec"),
    "realized": Colour("#b8501a", "#f0925a"),
    "neutral": Colour("#7a7a7a", "#a0a0a0"),
    "faint": Colour("#a9a9a9", "#6e6e6e"),
    "selected": Colour("#3f7d1f", "#8fce6a"),
}
"""By meaning. The light values are all different: a page finds them in a drawn chart and turns them dark."""

SERIES = (
    Colour("#0072b2", "#56b4e9"),
    Colour("#d55e00", "#f0a060"),
    Colour("#009e73", "#4fd0aa"),
    Colour("#aa4499", "#dd88cc"),
    Colour("#8a6d00", "#e6c84a"),
    Colour("#555555", "#bbbbbb"),
)
"""For models beside each other, after Okabe and Ito (2008); charts give each a shape too."""
