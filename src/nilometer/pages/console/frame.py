"""The frame of the console: templates without inline script or style, and files by the hash of their text."""

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment

from ..page import environment, source
from .cells import FILTERS

__all__ = ["ConsoleFile", "console_file", "render_console"]

_STYLES = ("style.css", "console/console.css")
_SCRIPTS = {
    "console.js": "console/console.js",
    "label.js": "console/label.js",
    "tokens.js": "tokens.js",
}


class ConsoleFile(NamedTuple):
    """A file that pages link to."""

    content: bytes
    media_type: str


def render_console(template: str, **values: Any) -> str:
    """Fill a template of ``pages/templates/console``; every text is escaped, and characters that act become escapes.

    Parameters
    ----------
    template
        Its file name.
    values
        What the template shows.
    """
    return _environment().get_template(f"console/{template}").render(asset=_asset, **values)


@cache
def console_file(name: str) -> ConsoleFile | None:
    """Return a style sheet or script by its name; None if there is no such file."""
    if name == "console.css":
        return ConsoleFile("".join(source(one) for one in _STYLES).encode(), "text/css")
    if name not in _SCRIPTS:
        return None
    return ConsoleFile(source(_SCRIPTS[name]).encode(), "text/javascript")


@cache
def _asset(name: str) -> str:
    """Address of a file, with the hash of its text, so that browsers may keep it."""
    found = console_file(name)
    assert found is not None
    return f"/static/{name}?v={hashlib.sha256(found.content).hexdigest()[:12]}"


@cache
def _environment() -> Environment:
    made = environment().overlay()
    filters: dict[str, Callable[..., Any]] = {**made.filters, **FILTERS}
    made.filters = filters
    return made
