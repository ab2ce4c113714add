"""Which of the answers drawn count: those that came whole."""

from collections.abc import Sequence
from typing import Any

from nilometer.signals import label_text
from nilometer.traces import CUT_OFF_REASONS

__all__ = ["FailedDraw", "whole_draw"]

_EDGES = " \t\r\n.\"'`*"


class FailedDraw:
    """An answer that never came, or not whole; no parser can read it, and it shows why.

    Parameters
    ----------
    reason
        Shown among the failures.
    is_final
        Whether asking the same again is of no use, as after a refusal of the prompt.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        self.reason, self.is_final = reason, is_final

    def __str__(self) -> str:
        return self.reason


def whole_draw(
    text: str | None, finish_reason: str | None = None, *, labels: Sequence[Any] | None = None
) -> str | FailedDraw:
    """Return the text of an answer, or a failed draw where it is empty, a refusal, or was cut off.

    Of a scale, an answer that is a label and nothing else is whole even if its room ended there, unless a longer
    label begins with it.

    Examples
    --------
    >>> whole_draw("4", "length", labels=range(1, 6)), str(whole_draw("First we add", "length"))
    ('4', 'First we add … (cut off)')
    """
    if text is None or not text.strip():
        return FailedDraw("(no content)")
    if finish_reason == "refusal":
        return FailedDraw(f"{text.strip()[:100]} (refused)")
    if finish_reason not in CUT_OFF_REASONS:
        return text
    said = text.strip(_EDGES).casefold()
    forms = [label_text(label).casefold() for label in labels or ()]
    is_label = said in forms and not any(form != said and form.startswith(said) for form in forms)
    return text if is_label else FailedDraw(f"{text.strip()[:100]} … (cut off)")
