"""The table of pages and acts: the application, the description of the interface and the tests are made from it."""

from .api import API_VIEWS
from .overview import OVERVIEW
from .site import Act, View

__all__ = ["ACTS", "VIEWS"]

VIEWS: tuple[View, ...] = (OVERVIEW, *API_VIEWS)
"""Everything that can be read."""

ACTS: tuple[Act, ...] = ()
"""Everything that can be written by a form or a script of a page."""
