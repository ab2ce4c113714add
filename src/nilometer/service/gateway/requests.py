"""A request for a chat completion: what the gateway reads of it, and the same request for one of its models."""

from typing import Any

import msgspec

from nilometer.traces import last_user_text

__all__ = ["ChatRequest", "read_chat"]

_OBJECTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHARACTERS_PER_TOKEN = 4


class _Body(msgspec.Struct):
    model: str
    messages: list[Any]
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    temperature: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None


_BODIES = msgspec.json.Decoder(_Body)


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    body: bytes
    model: str
    prompt: str
    """What the user said last, which is what a router was fitted on."""
    n_characters: int
    """Of all messages."""
    stream: bool
    with_usage: bool
    """Whether a stream shall end with the usage."""
    temperature: float | None
    seed: int | None
    max_tokens: int | None
    n: int

    def for_model(self, name: str) -> bytes:
        """Return the body with another model; the body itself where it names that one."""
        return self.body if name == self.model else self._changed({"model": name})

    def whole(self, name: str, **changes: Any) -> bytes:
        """Return the body for one whole answer of a model, with changed members."""
        return self._changed({"model": name, "stream": None, "stream_options": None, "n": None, **changes})

    def n_prompt_tokens(self) -> int:
        """Length of the prompt, by the usual four characters a token."""
        return self.n_characters // _CHARACTERS_PER_TOKEN + 1

    def _changed(self, changes: dict[str, Any]) -> bytes:
        """Return the body with members in place of those that stand there; None takes a member out."""
        members = _OBJECTS.decode(self.body)
        for name, value in changes.items():
            if value is None:
                members.pop(name, None)
            else:
                members[name] = msgspec.Raw(msgspec.json.encode(value))
        return msgspec.json.encode(members)


def read_chat(body: bytes) -> ChatRequest:
    r"""Read the body of ``POST /v1/chat/completions``.

    Raises
    ------
    ValueError
        If it is no JSON object with a `model` and `messages`.

    Examples
    --------
    >>> asked = read_chat(b'{"model": "nilometer/route", "messages": [{"role": "user", "content": "7 + 5?"}]}')
    >>> asked.prompt, asked.for_model("small")
    ('7 + 5?', b'{"model":"small","messages":[{"role": "user", "content": "7 + 5?"}]}')
    """
    try:
        given = _BODIES.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ValueError(f"the body must be a JSON object with `model` and `messages` ({exc}).") from exc
    members = _OBJECTS.decode(body)
    return ChatRequest(
        body=body,
        model=given.model,
        prompt=last_user_text(given.messages) or "",
        n_characters=len(bytes(members["messages"])),
        stream=bool(given.stream),
        with_usage=bool((given.stream_options or {}).get("include_usage")),
        temperature=given.temperature,
        seed=given.seed,
        max_tokens=given.max_completion_tokens or given.max_tokens,
        n=given.n or 1,
    )
