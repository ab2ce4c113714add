"""Answers as their Markdown reads, for people who label; nothing in them acts, and nothing of the text is hidden."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from nilometer.display import visible_text

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["typeset"]

_LEFT_AS_WRITTEN = ("link", "image", "autolink", "reference", "entity", "escape", "html_inline", "html_block")
"""Rules that are off: they would fetch, lead elsewhere, or drop characters, as ``escape`` does in ``\\(x\\)``."""


def typeset(text: str) -> Markup:
    r"""Set headings, lists, emphasis and code of a text; links, images and HTML stay as they are written.

    Parameters
    ----------
    text
        An answer in CommonMark.

    Returns
    -------
    Markup
        HTML without attributes that act. Characters that act are written as escapes.

    Examples
    --------
    >>> print(typeset("**4** of <b>5</b>, [x](javascript:y)"))
    <p><strong>4</strong> of &lt;b&gt;5&lt;/b&gt;, [x](javascript:y)</p>
    <BLANKLINE>
    """
    return Markup(_reader().render(visible_text(text)))  # its reader escapes all HTML


@cache
def _reader() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False, "breaks": True}).disable(list(_LEFT_AS_WRITTEN))
    reader.add_render_rule("fence", _fence)
    return reader


def _fence(_: Any, tokens: Sequence[Any], place: int, *__: Any) -> str:
    """Code between fences, below the name that its first fence gives, which would be hidden otherwise."""
    token = tokens[place]
    head = f"{token.markup}{token.info}\n" if token.info.strip() else ""
    return f"<pre><code>{escape(head + token.content)}</code></pre>\n"
