"""The page of one answer: token by token where it is kept, its numbers, its labels and their history."""

import math
from typing import Any

import numpy as np

from nilometer.pages import AnswerView, TokenView, answer_data, show_answer
from nilometer.signals import token_signals

from ..monitor.responses import find_response
from ..store import Text
from ..store.texts import find_texts
from .questions import AskedError, Parameter
from .site import View, Visit

__all__ = ["ANSWER_VIEW"]

_ALTERNATIVES = 5
_NUMBERS = ("p_correct", "n_tokens", "max", "mean", "nll_avg", "prob_min", "margin_min", "answer_entropy_max")
_PLAIN = ("trace_id", "time", "model", "model_fingerprint", "k", "logprobs_mode", "temperature", "finish_reason")


def _answer(visit: Visit) -> dict[str, Any]:
    """One response; its texts only for those who may label."""
    name = visit.query["trace_id"]
    store, hour = visit.site.store, visit.query["hour"] if visit.query["hour"] > 1 else None
    found = find_response(store, visit.connection, name, hour=hour)
    if found is None:
        raise AskedError(404, f"there is no response {name!r}. Its id is that of the answer that the server gave.")
    text = None
    if visit.who.may("label"):
        own = int(found["time"].timestamp() // 3600)
        text = find_texts(visit.connection, store.root, [name], hours=(own - 1, own)).get(name)
    view = None if text is None else _tokens(text)
    return {
        **{key: found.get(key) for key in _PLAIN},
        "attributes": found["attributes"],
        "numbers": {key: _number(found.get(key)) for key in _NUMBERS},
        "labels": _labels(visit, name),
        "prompt": None if text is None else text.prompt,
        "text": None if text is None else text.answer,
        "may_read": visit.who.may("label"),
        "view": None if view is None else {**show_answer(view), "data": answer_data(view)},
    }


def _tokens(text: Text) -> AnswerView | None:
    if not text.tokens or not text.chosen_logprobs or len(text.tokens) != len(text.chosen_logprobs):
        return None
    chosen = np.array(text.chosen_logprobs, dtype=np.float32)
    listed = np.array(text.top_logprobs or [], dtype=np.float32)
    k = len(listed) // len(chosen) if len(listed) % len(chosen) == 0 else 0
    top = listed.reshape(len(chosen), k) if k else np.empty((len(chosen), 0), dtype=np.float32)
    signals = token_signals(chosen, top) if k else None
    width = len(text.top_tokens or ()) // len(chosen)
    probability = np.nan_to_num(np.exp(chosen.astype(np.float64)))
    tokens = tuple(
        TokenView(
            token,
            float(probability[i]),
            float(probability[i]),
            None if signals is None else _number(float(signals.entropy[i])),
            None if signals is None else _number(float(signals.varentropy[i])),
            _alternatives(top[i], (text.top_tokens or [])[i * width : (i + 1) * width]),
        )
        for i, token in enumerate(text.tokens)
    )
    return AnswerView(text.trace_id, text.prompt, tokens, None, None)


def _alternatives(top: Any, names: list[str | None]) -> tuple[tuple[str | None, float], ...]:
    best = [math.exp(value) for value in top[:_ALTERNATIVES].tolist() if math.isfinite(value)]
    return tuple((names[i] if i < len(names) else None, value) for i, value in enumerate(best))


def _labels(visit: Visit, trace_id: str) -> list[dict[str, Any]]:
    """Labels of a response and acts of labelling, oldest first."""
    rows = visit.connection.execute(
        "SELECT time, who, 'label', correct, source, '' FROM labels WHERE trace_id=? UNION ALL "
        "SELECT e.time, e.who, e.act, e.after, 'plan ' || p.name, e.reason || e.note FROM label_events e "
        "JOIN plans p ON p.id = e.plan WHERE e.trace_id=? ORDER BY 1",
        (trace_id, trace_id),
    )
    names = ("time", "who", "act", "correct", "source", "note")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


ANSWER_VIEW = View(
    "answer",
    "read",
    _answer,
    "One answer: token by token where it is kept, its numbers, its labels and their history.",
    (
        Parameter("trace_id", None, "id of the response"),
        Parameter("hour", 1, "hour since 1970 of the response; 1 is not known", high=10_000_000),
    ),
    path="/answer",
    template="answer.html",
)
