"""The table of wire formats: how each is recognised and read."""

from .lines.format import Format
from .logs.table import COLUMNS, LOGS
from .servers.table import SERVERS

__all__ = ["FORMATS", "Format"]

FORMATS: dict[str, Format] = {entry.name: entry for entry in (*SERVERS, *LOGS, *COLUMNS)}
"""Tried in this order; the first that matches is taken."""
