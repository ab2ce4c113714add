"""The shapes in which providers list the log-probabilities of a response: one row each, whatever stands around."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..lines.line import unquoted
from .clean import Listed
from .tokens import is_token, listed_alternatives, listed_pairs, listed_tokens

__all__ = ["HOLDERS", "SHAPES", "Shape", "find_listed", "read_listed"]


class Shape(NamedTuple):
    """One shape: how it is recognised, and how it is read. ``beside`` is the object in which it stands."""

    name: str
    matches: Callable[[Any], bool]
    read: Callable[[Any, Mapping[str, Any]], Listed | None]


HOLDERS = (
    "logprobs",
    "log_probs",
    "logprobsResult",
    "logprobs_result",
    "completion_probabilities",
    "details",
    "meta_info",
    "output_token_logprobs",
    "generated_tokens",
    "token_likelihoods",
    "tokens",
    "token_logprobs",
    "probs",
)
"""Keys under which a response, a choice, a candidate or a part keeps them, the surest first."""

_TOKENS_ONLY = ("tokens", "generated_tokens", "probs")
"""Keys that elsewhere hold texts, ids or counts."""

_PARTS = ("reasoning_content", "content", "refusal")


def find_listed(holder: Mapping[str, Any]) -> Listed | None:
    """Look for log-probabilities in an object under the names of ``HOLDERS``; None if none stands there."""
    for key in HOLDERS:
        value = unquoted(holder.get(key))
        if value is not None and value != {} and (key not in _TOKENS_ONLY or is_token(_first_of(value))):
            found = _legacy(holder) if key == "token_logprobs" else read_listed(value, holder)
            if found is not None:
                return found
    return None


def read_listed(value: Any, beside: Mapping[str, Any]) -> Listed | None:
    """Read log-probabilities of any shape of ``SHAPES``; None if the value has none of them."""
    shape = next((shape for shape in SHAPES if shape.matches(value)), None)
    return None if shape is None else shape.read(value, beside)


def _first_of(value: Any) -> Any:
    return next((item for item in value if item not in (None, {})), None) if isinstance(value, list) else None


def _keyed(*names: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and any(value.get(name) is not None for name in names)


def _is_content(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(unquoted(value.get(name)), list) for name in _PARTS)


def _content(value: Mapping[str, Any], beside: Mapping[str, Any]) -> Listed | None:
    """Tokens of the reasoning come before those of the answer, as the model wrote them."""
    given = {name: unquoted(value.get(name)) or [] for name in _PARTS}
    return _tokens([*given["reasoning_content"], *(given["content"] or given["refusal"])], beside)


def _tokens(value: Sequence[Any], beside: Mapping[str, Any]) -> Listed | None:
    del beside
    return listed_tokens(value)


def _legacy(value: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> Listed | None:
    """Arrays side by side; the alternatives by text, up to k + 1, the sampled token among them."""
    del beside
    chosen = value.get("token_logprobs")
    if not isinstance(chosen, list):
        return None
    given = value.get("top_logprobs") or []
    rows = [listed_alternatives(row) for row in given]
    return Listed(
        chosen,
        [number for row in rows for number in row.values],
        [len(row.values) for row in rows],
        value.get("tokens") or (),
        [name for row in rows for name in row.names],
        sampled_added=any(isinstance(row, Mapping) for row in given),
    )


def _is_details(value: Any) -> bool:
    return isinstance(value, Mapping) and is_token(_first_of(value.get("tokens")))


def _details(value: Mapping[str, Any], beside: Mapping[str, Any]) -> Listed | None:
    del beside
    return listed_tokens(value["tokens"], tops=value.get("top_tokens"))


def _gemini(value: Mapping[str, Any], beside: Mapping[str, Any]) -> Listed | None:
    del beside
    chosen = value.get("chosenCandidates") or value.get("chosen_candidates") or []
    tops = value.get("topCandidates") or value.get("top_candidates")
    return listed_tokens(chosen, tops=tops or [None] * len(chosen))


def _sglang(value: Mapping[str, Any], beside: Mapping[str, Any]) -> Listed | None:
    del beside
    return listed_pairs(value["output_token_logprobs"], value.get("output_top_logprobs"))


def _is_pairs(value: Any) -> bool:
    first = _first_of(value)
    return isinstance(first, list) and len(first) > 1 and isinstance(first[0], int | float | None)


def _pairs(value: Sequence[Any], beside: Mapping[str, Any]) -> Listed | None:
    return listed_pairs(value, beside.get("output_top_logprobs"))


def _is_cohere(value: Any) -> bool:
    first = _first_of(value)
    return isinstance(first, Mapping) and isinstance(first.get("logprobs"), list) and "token_ids" in first


def _cohere(value: Sequence[Any], beside: Mapping[str, Any]) -> Listed | None:
    """Pieces of text with the log-probabilities of the tokens in each."""
    del beside
    chosen = [number for piece in value for number in piece["logprobs"]]
    texts = [piece.get("text") for piece in value]
    return Listed(chosen, tokens=texts if len(texts) == len(chosen) else ())


def _is_by_id(value: Any) -> bool:
    first = _first_of(value)
    inner = next(iter(first.values()), None) if isinstance(first, Mapping) and first else None
    return is_token(inner)


def _by_id(value: Sequence[Any], beside: Mapping[str, Any]) -> Listed | None:
    """Objects from token id to its entry, as vLLM keeps them; the sampled ids stand beside."""
    ids = beside.get("token_ids") or []
    if len(ids) != len(value):
        return None
    return Listed(*_sampled(ids, value))


def _sampled(ids: Sequence[Any], value: Sequence[Any]) -> Iterator[Any]:
    rows = [row or {} for row in value]
    own = [row.get(str(identity), row.get(identity, {})) for identity, row in zip(ids, rows, strict=True)]
    read = [listed_alternatives(row) for row in rows]
    yield [entry.get("logprob") for entry in own]
    yield [number for row in read for number in row.values]
    yield [len(row.values) for row in read]
    yield [entry.get("decoded_token") for entry in own]
    yield [name for row in read for name in row.names]


def _is_flat(value: Any) -> bool:
    first = _first_of(value)
    return isinstance(first, int | float) and not isinstance(first, bool)


def _flat(value: Sequence[Any], beside: Mapping[str, Any]) -> Listed | None:
    texts = beside.get("tokens")
    return Listed(value, tokens=texts if isinstance(texts, list) and len(texts) == len(value) else ())


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and (not value or is_token(_first_of(value)))


SHAPES: tuple[Shape, ...] = (
    Shape("content list", _is_content, _content),
    Shape("parallel arrays", _keyed("token_logprobs"), _legacy),
    Shape("chosen and top candidates", _keyed("chosenCandidates", "chosen_candidates"), _gemini),
    Shape("tokens beside top_tokens", _is_details, _details),
    Shape("triples in an object", _keyed("output_token_logprobs"), _sglang),
    Shape("list of tokens", _is_tokens, _tokens),
    Shape("triples", _is_pairs, _pairs),
    Shape("pieces of text", _is_cohere, _cohere),
    Shape("objects by token id", _is_by_id, _by_id),
    Shape("numbers", _is_flat, _flat),
)
"""Tried in this order; the first that matches is taken."""
