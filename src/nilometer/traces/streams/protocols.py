"""The table of protocols: how a line of each is recognised, taken apart, and the whole answer written."""

from .chat import CHAT, TEXT
from .chunks import Protocol
from .native import NATIVE
from .vendors import VENDORS

__all__ = ["PROTOCOLS"]

PROTOCOLS: tuple[Protocol, ...] = (CHAT, TEXT, *NATIVE, *VENDORS)
"""Tried in this order."""
