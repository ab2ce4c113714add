"""An answer token by token as one HTML file: shaded by confidence, with what each token was weighed against."""

import base64
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .page import render, shade
from .tables import verdict

__all__ = ["AnswerView", "TokenView", "answer_data", "render_tokens", "show_answer"]

_MOST_PROMPT = 500


class TokenView(NamedTuple):
    """One token and what is known about it."""

    text: str
    confidence: float
    """In [0, 1]."""
    probability: float
    entropy: float | None
    """Nats; None where no alternative is listed."""
    varentropy: float | None
    """Nats squared."""
    alternatives: tuple[tuple[str | None, float], ...]
    """Text, where it was kept, and probability, best first."""


class AnswerView(NamedTuple):
    """One answer."""

    trace_id: str
    prompt: str | None
    tokens: tuple[TokenView, ...]
    correct: float | None
    attention: NDArray[np.float64] | None
    """Shape (tokens, layers, heads), attention entropy over log visible keys, in [0, 1]; None without attention."""


def render_tokens(answers: list[AnswerView], *, calibrated: bool, title: str = "Token by token") -> str:
    """Write answers as one HTML page that opens offline.

    An answer is a list box with a token an option, so that a screen reader hands the arrow keys on: Tab into an answer,
    then the arrow keys, Home and End. Every token carries its numbers in its label; low confidence is underlined, not
    only shaded. All text is escaped.
    """
    return render(
        "tokens.html",
        numbers=[answer_data(answer) for answer in answers],
        script="tokens.js",
        title=title,
        calibrated=calibrated,
        answers=[show_answer(answer) for answer in answers],
    )


def show_answer(answer: AnswerView) -> dict[str, Any]:
    """What the template of an answer shows."""
    lowest = _lowest(answer)
    return {
        "trace_id": answer.trace_id,
        "verdict": verdict(answer.correct),
        "prompt": (answer.prompt or "")[:_MOST_PROMPT],
        "tokens": [_token(token, is_first=i == lowest) for i, token in enumerate(answer.tokens)],
        "map": None if answer.attention is None else answer.attention.shape[1:],
    }


def _token(token: TokenView, *, is_first: bool) -> dict[str, Any]:
    entropy = "" if token.entropy is None else f", entropy {token.entropy:.2f} nats"
    return {
        "text": token.text,
        "label": f"{token.text!r}, confidence {token.confidence:.2f}{entropy}",
        "shade": shade(1 - token.confidence),
        "is_low": token.confidence < 0.5,
        "is_line": token.text.strip(" ") in {"\n", "\r\n"},
        "is_first": is_first,
    }


def _lowest(answer: AnswerView) -> int:
    return min(range(len(answer.tokens)), key=lambda i: answer.tokens[i].confidence, default=0)


def answer_data(answer: AnswerView) -> dict[str, object]:
    """What the script of an answer reads."""
    page: dict[str, object] = {"lowest": _lowest(answer), "tokens": [token._asdict() for token in answer.tokens]}
    if answer.attention is not None:
        values = np.where(np.isnan(answer.attention), 255, np.clip(np.nan_to_num(answer.attention), 0, 1) * 254)
        data = base64.b64encode(np.round(values).astype(np.uint8).tobytes()).decode()
        page["map"] = {"shape": list(answer.attention.shape), "data": data}
    return page
