"""Docstrings as mkdocstrings reads them: formulas and roles of reStructuredText become Markdown."""

import re
import textwrap

import griffe

BLOCK = re.compile(r"^( *)\.\. math:: ?(.*(?:\n\1 +\S.*)*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")
ROLE = re.compile(r":(?:func|class|meth|mod|attr):`~?([^`]+)`")


def markdown(text: str) -> str:
    """Return a docstring with ``$...$`` for formulas and plain code for roles."""

    def block(found: re.Match[str]) -> str:
        formula = " ".join(textwrap.dedent(line).strip() for line in found[2].splitlines())
        return f"{found[1]}$$\n{found[1]}{formula}\n{found[1]}$$"

    return ROLE.sub(r"`\1`", INLINE.sub(r"$\1$", BLOCK.sub(block, text)))


class MathExtension(griffe.Extension):
    """Rewrite every docstring when it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Change the text before it is parsed into sections."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
