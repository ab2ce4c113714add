"""Objects that describe one token, however a provider names their fields."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nilometer.errors import TraceFormatError

from .clean import ROUNDING, Listed

__all__ = ["is_token", "listed_alternatives", "listed_pairs", "listed_tokens"]

_TEXTS = ("token", "text", "tok_str", "content", "decoded_token", "piece")
_LOGS = ("logprob", "logProbability", "log_probability", "log_prob", "likelihood")
_LINEAR = ("prob", "probability")
_TOPS = ("top_logprobs", "top_probs", "probs", "top_tokens", "topTokens", "topLogprobs", "alternatives")
_MARKS = frozenset((*_LOGS, *_LINEAR, "probs", "generatedToken"))


class _Alternatives(NamedTuple):
    names: list[Any]
    values: list[Any]


def is_token(value: Any) -> bool:
    """Return whether an object describes one token and how likely it was."""
    return isinstance(value, Mapping) and not _MARKS.isdisjoint(value)


def listed_tokens(tokens: Sequence[Any], *, tops: Sequence[Any] | None = None) -> Listed:
    """Read a list of token objects, each with its alternatives inside, or these in a list of their own.

    Linear probabilities become logarithms; they are those after sampling. A token that is null has neither text nor
    probability.
    """
    own = [_unpacked(token) for token in tokens]
    given = tops if tops is not None else [_first(token, _TOPS) for token in own]
    rows = [listed_alternatives(row) for row in given]
    chosen = [_value(token) for token in own]
    texts = [_first(token, _TEXTS, token.get("id")) for token in own]
    for place, token in enumerate(own):
        if chosen[place] is None and "probs" in token and texts[place] in rows[place].names:
            chosen[place] = rows[place].values[rows[place].names.index(texts[place])]
    is_linear = any(not token.keys().isdisjoint((*_LINEAR, "probs", "top_probs")) for token in own)
    return Listed(
        chosen,
        [value for row in rows for value in row.values],
        [len(row.values) for row in rows],
        texts,
        [name for row in rows for name in row.names],
        sampled_first=tops is None and not any(isinstance(row, Mapping) for row in given),
        mode="processed" if is_linear else None,
    )


def listed_pairs(chosen: Sequence[Any], tops: Sequence[Any] | None) -> Listed:
    """Read SGLang's triples of log-probability, token id and text; the text may be null."""
    rows = [listed_alternatives(row) for row in tops] if tops else []
    texts = [triple[2] for triple in chosen if len(triple) > 2 and isinstance(triple[2], str)]
    return Listed(
        [triple[0] for triple in chosen],
        [value for row in rows for value in row.values],
        [len(row.values) for row in rows],
        texts if len(texts) == len(chosen) else (),
        [name for row in rows for name in row.names],
    )


def listed_alternatives(row: Any) -> _Alternatives:
    """Read the alternatives at one token: objects, a mapping from text (or id), or pairs; none where it is null."""
    if row is None:
        return _Alternatives([], [])
    if isinstance(row, Mapping):
        if isinstance(row.get("candidates"), list):
            return listed_alternatives(row["candidates"])
        own = {key: value for key, value in row.items() if isinstance(value, Mapping)}
        names = [_first(value, ("decoded_token", "token", "text"), key) for key, value in own.items()]
        if own:
            return _Alternatives(names, [_value(value) for value in own.values()])
        return _Alternatives(list(row), list(row.values()))
    if not isinstance(row, list):
        raise TraceFormatError(f"the alternatives of a token must be a list or an object, got {row!r:.60}.")
    return _Alternatives([_name(item) for item in row], [_item_value(item) for item in row])


def _name(item: Any) -> Any:
    if isinstance(item, Mapping):
        return _first(item, _TEXTS, item.get("id"))
    if isinstance(item, list) and len(item) > 1:
        return item[2] if len(item) > 2 and item[2] is not None else item[0] if _is_id_first(item) else item[1]
    return None


def _item_value(item: Any) -> Any:
    if isinstance(item, Mapping):
        return _value(item)
    if isinstance(item, list) and item:
        return item[1] if _is_id_first(item) else item[0]
    return item


def _is_id_first(pair: list[Any]) -> bool:
    """Tell MLX's pairs of id (or text) and log-probability from SGLang's, which begin with the number."""
    return len(pair) == 2 and (isinstance(pair[0], str) or (isinstance(pair[0], int) and isinstance(pair[1], float)))


def _unpacked(token: Any) -> Mapping[str, Any]:
    """Return a token's own fields; AI21 keeps them one level down, beside the alternatives."""
    if token is None:
        return {}
    if not isinstance(token, Mapping):
        raise TraceFormatError(f"a token must be an object, got {token!r:.60}.")
    inner = token.get("generatedToken")
    return {**token, **inner} if isinstance(inner, Mapping) else token


def _value(token: Mapping[str, Any]) -> Any:
    logprob = _first(token, _LOGS)
    return logprob if logprob is not None else _log(_first(token, _LINEAR))


def _log(probability: Any) -> float | None:
    if probability is None or probability == 0:
        return None
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 < probability <= 1 + ROUNDING:
        raise TraceFormatError(f"a `prob` must lie in [0, 1], got {probability!r:.60}.")
    return math.log(probability)


def _first(token: Mapping[str, Any], names: Iterable[str], otherwise: Any = None) -> Any:
    return next((token[name] for name in names if token.get(name) is not None), otherwise)
