"""The frame of a page: one file that opens offline, and a policy that lets it load nothing from elsewhere."""

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nilometer.display import finite, visible_text

from .charts import to_svg
from .colours import COLOURS, SERIES

__all__ = ["environment", "render", "render_text", "shade", "source"]

_SHADES = 16
"""Steps of colour behind a token, as classes: the policy allows no style in an attribute."""


def render(template: str, *, numbers: Any = None, script: str = "", **values: Any) -> str:
    """Fill a template of ``pages/templates``.

    Every text is escaped, and characters that act are written as escapes (`visible_text`). The page carries a content
    security policy that allows the style sheet and the script in it by their hashes and nothing else.

    Parameters
    ----------
    template
        Its file name.
    numbers
        What is shown, as plain values; it goes into the page as JSON. None leaves it out.
    script
        File name of the page's own script, or nothing.
    values
        What the template shows.
    """
    pages = environment()
    style, code = source("style.css"), source(script) if script else ""
    return pages.get_template(template).render(
        numbers=None if numbers is None else finite(numbers),
        style=style,
        script=code,
        policy=_policy(style, code),
        **values,
    )


def render_text(template: str, **values: Any) -> str:
    """Fill a template of ``pages/templates`` that is not HTML; it escapes its texts itself."""
    return environment(is_html=False).get_template(template).render(**values)


def shade(doubt: float) -> int:
    """Step of colour behind a token, from none at no doubt (0) to the darkest (16) at doubt 1 or more.

    Examples
    --------
    >>> shade(0.0), shade(0.5), shade(3.0)
    (0, 8, 16)
    """
    return round(min(max(doubt, 0.0), 1.0) * _SHADES)


@cache
def environment(*, is_html: bool = True) -> Environment:
    """Return the environment of all templates: every text is escaped, and none that acts is let through."""
    made = Environment(
        loader=PackageLoader("nilometer", "pages/templates"),
        autoescape=is_html,
        undefined=StrictUndefined,
        finalize=lambda value: visible_text(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"default": str, "separators": (",", ":")}
    # Drawn by us, with every text in it escaped by the drawing library.
    made.filters["svg"] = lambda chart: Markup(to_svg(chart))
    made.filters["number"] = lambda value, digits=3: f"{value:.{digits}f}"
    made.filters["line"] = lambda text: visible_text(text).replace("\n", "\\n")
    made.filters["count"] = lambda value: f"{value:,}"
    return made


@cache
def source(name: str) -> Markup:
    """Text of a style sheet or script of ours, with the colours filled in; nothing from traces is in it."""
    return Markup(environment().get_template(name).render(colours=COLOURS, series=SERIES, shades=_SHADES))


def _policy(style: str, script: str) -> str:
    allowed = f"script-src '{_hash(script)}'; " if script else ""
    return f"default-src 'none'; {allowed}style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
