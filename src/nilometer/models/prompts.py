"""Prompts that are more than one text."""

from collections.abc import Sequence
from typing import Any

__all__ = ["Conversation"]


class Conversation(str):
    """The text of a chat of several messages, which servers are given as messages."""

    messages: list[dict[str, Any]]

    @classmethod
    def of(cls, messages: Sequence[dict[str, Any]]) -> "Conversation":
        r"""Make one of messages with `role` and `content`.

        Examples
        --------
        >>> Conversation.of([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}])
        'system: Be brief.\nuser: 2+2?'
        """
        made = cls("\n".join(f"{one.get('role')}: {one.get('content')}" for one in messages))
        made.messages = [dict(one) for one in messages]
        return made
