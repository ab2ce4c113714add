"""The table of pages and acts: the application, the description of the interface and the tests are made from it."""

from .answers import ANSWER_VIEW
from .api import API_VIEWS
from .labelling import LABEL_ACTS, LABEL_VIEWS
from .overview import OVERVIEW
from .site import Act, View
from .slices import SLICE_VIEW
from .state import STATE_ACTS, STATE_VIEWS

__all__ = ["ACTS", "VIEWS"]

VIEWS: tuple[View, ...] = (OVERVIEW, SLICE_VIEW, ANSWER_VIEW, *STATE_VIEWS, *LABEL_VIEWS, *API_VIEWS)
"""Everything that can be read."""

ACTS: tuple[Act, ...] = (*STATE_ACTS, *LABEL_ACTS)
"""Everything that can be written by a form or a script of a page."""
