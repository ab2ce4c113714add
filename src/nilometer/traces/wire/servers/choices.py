"""The choices of OpenAI's APIs and of everything that imitates them, with log-probabilities of any shape."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from nilometer.errors import TraceFormatError

from ...streams import ListedToken, Pieces
from ..lines.context import joined_text
from ..lines.line import Line
from ..logprobs.clean import Listed
from ..logprobs.shapes import HOLDERS, find_listed

__all__ = ["Choice", "Decoded", "Whole", "provider_of", "read_choices", "usual_choices"]


class Choice(NamedTuple):
    """One choice, with what was listed for its tokens."""

    number: int
    text: str | None
    finish_reason: Any
    listed: Listed | None


class Decoded(list[Choice]):
    """Choices that were read already, in place of their JSON."""


class _Logprobs(msgspec.Struct):
    content: list[ListedToken] | None = None
    refusal: list[ListedToken] | None = None
    reasoning_content: list[ListedToken] | None = None


class _Message(msgspec.Struct):
    content: str


class Whole(msgspec.Struct):
    """The usual shape of a choice: a text, and log-probabilities in a content list."""

    message: _Message
    logprobs: _Logprobs
    index: int = 0
    finish_reason: str | None = None


_USUAL: msgspec.json.Decoder[list[Whole]] = msgspec.json.Decoder(list[Whole])


def read_choices(line: Line, *, with_names: bool) -> list[Choice]:
    """Read the choices of a chat or text completion.

    The usual shape is decoded in one typed pass; any other, and all where the texts of the alternatives are wanted
    (`with_names`), value by value.
    """
    raw = line.raw("choices")
    if isinstance(raw, Decoded):
        return raw
    if isinstance(raw, list) and raw and isinstance(raw[0], Pieces):
        return [Choice(one.number, one.text, one.finish_reason, _of_tokens(one.tokens)) for one in raw]
    if not with_names and isinstance(raw, msgspec.Raw):
        usual = _usual(raw)
        if usual is not None:
            return usual
    choices = line.items("choices")
    found = [_read(choice, number) for number, choice in enumerate(choices)]
    if len(found) == 1 and found[0].listed is None:
        beside = find_listed({key: line.get(key) for key in HOLDERS if key in line})
        return [found[0]._replace(listed=beside)]
    return found


def _usual(raw: msgspec.Raw) -> list[Choice] | None:
    try:
        choices = _USUAL.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return usual_choices(choices)


def usual_choices(choices: list[Whole]) -> Decoded | None:
    """Return choices of the usual shape; None where one leaves any doubt."""
    found = Decoded()
    for choice in choices:
        listed = _listed(choice.logprobs)
        if listed is None:
            return None
        found.append(Choice(choice.index, choice.message.content, choice.finish_reason, listed))
    return found


def _listed(logprobs: _Logprobs) -> Listed | None:
    """Tokens of the reasoning come before those of the answer; None where the shape may be another."""
    answer = logprobs.content or logprobs.refusal or logprobs.content
    tokens = [*(logprobs.reasoning_content or ()), *(answer or ())]
    listed = _of_tokens(tokens)
    return None if not tokens or None in listed.tokens or None in listed.chosen else listed


def _of_tokens(tokens: list[ListedToken]) -> Listed:
    rows = [token.top_logprobs or () for token in tokens]
    return Listed(
        [token.logprob for token in tokens],
        [other.logprob for row in rows for other in row],
        [len(row) for row in rows],
        [token.token for token in tokens],
        sampled_first=True,
    )


def _read(choice: Any, number: int) -> Choice:
    if not isinstance(choice, Mapping):
        raise TraceFormatError(f"a choice must be an object, got {choice!r:.60}.")
    index = choice.get("index")
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        raise TraceFormatError(f"`index` must be a whole number, got {index!r:.60}.")
    message = choice.get("message")
    holders = (choice, message) if isinstance(message, Mapping) else (choice,)
    found = [listed for listed in map(find_listed, holders) if listed is not None]
    listed = next((one for one in found if len(one.chosen)), found[0] if found else None)
    text, reason = _text(choice), choice.get("finish_reason") or None
    if text is not None and reason in (None, "stop") and text == holders[-1].get("refusal"):
        reason = "refusal"
    return Choice(number if index is None else index, text, reason, listed)


def _text(choice: Mapping[str, Any]) -> str | None:
    """Return what was answered, a refusal included; None where it was a call of a tool."""
    for text in _texts(choice):
        if text is not None:
            return text
    return None


def _texts(choice: Mapping[str, Any]) -> Iterator[str | None]:
    message = choice.get("message")
    content = message.get("content") if isinstance(message, Mapping) else message
    if isinstance(content, bool | int | float):
        raise TraceFormatError(f"`content` must be a text or a list of parts, got {content!r:.60}.")
    yield joined_text(content)
    yield message.get("refusal") if isinstance(message, Mapping) else None
    yield choice.get("text")


def provider_of(line: Line) -> str | None:
    """Name the engine that wrote a response, by what only it writes; None if nothing tells."""
    fingerprint = line.get("system_fingerprint")
    if isinstance(fingerprint, str) and fingerprint.startswith("vllm-"):
        return "vllm"
    if any(name in line for name in ("prompt_logprobs", "kv_transfer_params", "prompt_token_ids")):
        return "vllm"
    return "llama.cpp" if "timings" in line else None
