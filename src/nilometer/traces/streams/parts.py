"""What one line of a stream adds to an answer, and how such parts make up the whole."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import msgspec

__all__ = [
    "UNREADABLE",
    "Alternative",
    "Answer",
    "Chunk",
    "Fields",
    "Joined",
    "ListedToken",
    "Part",
    "joined_text",
    "text_grows",
]

C = TypeVar("C")

_LISTS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_NULL = b"null"
_BLANKS = b" \t\r\n"
UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, LookupError, RecursionError)
"""What pieces raise that cannot be put together."""
_PARALLEL = {
    "tokens",
    "token_logprobs",
    "top_logprobs",
    "output_token_logprobs",
    "output_top_logprobs",
    "top_tokens",
    "chosenCandidates",
    "topCandidates",
}
"""Lists that stand side by side, so that one must not get shorter than the others."""


class Fields(Protocol):
    """A JSON object whose values are decoded on demand."""

    def __contains__(self, key: str) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def get(self, key: str, default: Any = None) -> Any:
        """Decode the value of one key."""

    def decode(self, key: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """Decode the value of one key into a typed structure."""

    def keys_of_first(self, key: str) -> frozenset[str]:
        """Return the keys of the first object in the list under a key."""


class Alternative(msgspec.Struct, gc=False):
    """One alternative of a token, without its text."""

    logprob: float | str | None = None


class ListedToken(msgspec.Struct, gc=False):
    """One token of a content list as nearly every server writes it."""

    token: str | None = None
    logprob: float | str | None = None
    top_logprobs: list[Alternative] | None = None


class Part(msgspec.Struct, gc=False):
    """What one line adds to one choice of an answer."""

    index: int = 0
    texts: tuple[tuple[str, str], ...] = ()
    """Pairs (field, text)."""
    lists: dict[str, msgspec.Raw] | None = None
    """Log-probabilities: JSON lists by field."""
    finish: str | None = None
    has_role: bool = False
    extra: dict[str, Any] | None = None
    """Fields that replace what came before, such as the calls of tools."""

    @property
    def has_content(self) -> bool:
        """Whether it adds anything that the model wrote."""
        return bool(self.texts or self.extra)


class Chunk(msgspec.Struct, gc=False):
    """One line of a stream."""

    key: str | int | None
    """Tells the streams of a file apart; None where the protocol or the server gives no id."""
    parts: list[Part]
    head: dict[str, Any]
    """What it says of the whole response; null values are left out."""


_TOKENS: msgspec.json.Decoder[list[ListedToken]] = msgspec.json.Decoder(list[ListedToken])


class Answer:
    """One choice as far as it has arrived."""

    __slots__ = ("extra", "finish", "index", "lists", "n_starts", "role_in_content", "texts")

    def __init__(self, index: int) -> None:
        self.index = index
        self.texts: dict[str, list[str]] = {}
        self.lists: list[Any] = []
        """Lists by name as they came; what is no dictionary is that of ``content``, perhaps decoded."""
        self.finish: str | None = None
        self.extra: dict[str, Any] = {}
        self.n_starts = 0
        self.role_in_content = False

    @property
    def is_begun(self) -> bool:
        """Whether the model has written anything."""
        return bool(self.texts or self.lists or self.extra)

    def add(self, part: Part) -> None:
        """Take what a line says of this choice."""
        for name, text in part.texts:
            self.texts.setdefault(name, []).append(text)
        if part.lists:
            self.lists.append(part.lists)
        if part.extra:
            self.extra.update(part.extra)
        if part.has_role:
            if part.has_content:
                self.role_in_content = True
            elif not self.finish:
                self.n_starts += 1
        self.finish = part.finish or self.finish

    def append(self, text: str, content: Any) -> None:
        """Take a piece of the text with its log-probabilities, the way nearly every line of a stream is."""
        pieces = self.texts.get("content")
        if pieces is None:
            self.texts["content"] = [text]
        else:
            pieces.append(text)
        if content and (type(content) is list or memoryview(content).nbytes > len(_NULL)):
            self.lists.append(content)

    def extend(self, other: "Answer") -> None:
        """Take what came for the same choice under another id."""
        for name, pieces in other.texts.items():
            self.texts.setdefault(name, []).extend(pieces)
        self.lists += other.lists
        self.extra.update(other.extra)
        self.finish = other.finish or self.finish
        self.n_starts += other.n_starts

    def whole(self) -> tuple[dict[str, str], dict[str, msgspec.Raw]]:
        """Return texts and lists by field, whether they came as growing wholes or in pieces."""
        decoded = any(type(piece) is list for piece in self.lists)
        lists = [_alike(piece) if decoded else _named(piece) for piece in self.lists]
        names = dict.fromkeys(name for piece in lists for name in piece)
        columns = {name: [bytes(piece.get(name, _NULL)).strip() for piece in lists] for name in names}
        texts_grow = all(map(text_grows, self.texts.values()))
        lists_grow = _lists_grow(columns.values(), beside_growing_texts=texts_grow)
        merged = {name: _joined_list(name, columns, growing=lists_grow) for name in names}
        pieces = list(self.texts.values())
        growing = texts_grow and (lists_grow or _are_wholes(pieces, merged))
        texts = {name: pieces[-1] if growing else joined_text(pieces) for name, pieces in self.texts.items()}
        return texts, merged


def _named(piece: Any) -> dict[str, Any]:
    return piece if isinstance(piece, dict) else {"content": piece}


def _alike(piece: Any) -> dict[str, Any]:
    """Write a content list as the decoded ones are, so that they can be compared; any other stays as it came."""
    given: dict[str, Any] = _named(piece)
    content = given.get("content")
    if content is None:
        return given
    try:
        tokens = content if isinstance(content, list) else _TOKENS.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return given
    if not isinstance(content, list) and any(token.token is None or token.logprob is None for token in tokens):
        return given
    return {**given, "content": msgspec.Raw(msgspec.json.encode(tokens))}


class Joined(NamedTuple, Generic[C]):
    """A whole answer, as the server would have sent it without streaming."""

    fields: dict[str, Any]
    context: C
    """What the caller gave with the first line."""
    n_lines: int
    status: Literal["whole", "cut", "damaged", "nothing"]
    """``nothing``: lines that hold no answer, such as usage or a keep-alive."""
    format: str = ""
    """Name of the wire format in which it is written, where the protocol has but one."""


def joined_text(pieces: Sequence[str]) -> str:
    """Append texts; a last one that repeats all the former together is the whole.

    Examples
    --------
    >>> joined_text(["4", "2", "."]), joined_text(["4", "2", "42"])
    ('42.', '42')
    """
    if len(pieces) > 2 and pieces[-1] == "".join(pieces[:-1]):
        return pieces[-1]
    return "".join(pieces)


def _lists_grow(columns: Iterable[Sequence[bytes]], *, beside_growing_texts: bool) -> bool:
    """Whether every list goes on from the one before; where the text does not, that takes three."""
    lists = [given for column in columns if len(given := [value for value in column if value != _NULL]) > 1]
    least = 2 if beside_growing_texts else 3
    return bool(lists) and all(len(given) >= least and _grows(given) for given in lists)


def _are_wholes(texts: Sequence[Sequence[str]], lists: Mapping[str, msgspec.Raw]) -> bool:
    """Whether texts that go on from each other are wholes, not pieces such as "1", "10", "100".

    Where the tokens spell neither the last of them nor all one after the other, that takes three.
    """
    spelled = "".join(text for value in lists.values() for text in _token_texts(value))
    if spelled == "".join(pieces[-1] for pieces in texts):
        return True
    is_joined = spelled == "".join(piece for pieces in texts for piece in pieces)
    return not is_joined and any(len(pieces) > 2 for pieces in texts)


def _token_texts(listed: msgspec.Raw) -> Iterator[str]:
    for item in msgspec.json.decode(listed) or ():
        text = item.get("token", item.get("text")) if isinstance(item, dict) else item
        text = item[2] if isinstance(item, list) and len(item) > 2 else text
        if isinstance(text, str):
            yield text


def text_grows(pieces: Sequence[str]) -> bool:
    """Return whether each text begins with the one before, and the last is longer than the first, if there are two."""
    return len(pieces) < 2 or (len(pieces[-1]) > len(pieces[0]) and all(map(str.startswith, pieces[1:], pieces[:-1])))


def _grows(lists: Sequence[bytes]) -> bool:
    """Whether each list begins with the entries of the one before."""
    if len(lists[-1]) <= len(lists[0]):
        return False
    return all(old in (new, b"[]") or new.startswith(old[:-1] + b",") for old, new in pairwise(lists))


def _joined_list(name: str, columns: dict[str, list[bytes]], *, growing: bool) -> msgspec.Raw:
    values = columns[name]
    given = [value for value in values if value != _NULL]
    if growing or not given or not all(value[:1] == b"[" for value in given):
        return msgspec.Raw(given[-1] if given else _NULL)
    if len(given) < len(values) and name in _PARALLEL:
        values = [value if value != _NULL else _nulls(columns, name, row) for row, value in enumerate(values)]
    inner = [item for value in values if value != _NULL and (item := _inner(value))]
    if len(inner) > 2 and _repeats(inner[-1], b",".join(inner[:-1])):
        return msgspec.Raw(b"[" + inner[-1] + b"]")
    return msgspec.Raw(b"[" + b",".join(inner) + b"]")


def _repeats(last: bytes, before: bytes) -> bool:
    """Whether the last list has the entries of all before it, however the commas between them are spaced."""
    if last.translate(None, _BLANKS) != before.translate(None, _BLANKS):
        return False
    one, other = (_LISTS.decode(b"[" + value + b"]") for value in (last, before))
    return list(map(bytes, one)) == list(map(bytes, other))


def _inner(value: bytes) -> bytes:
    return value[1:-1].strip() if value[:1] == b"[" else value


def _nulls(columns: dict[str, list[bytes]], name: str, row: int) -> bytes:
    """Nulls in place of a missing list, as many as its neighbours have entries in that line."""
    others = [column[row] for key, column in columns.items() if key != name and key in _PARALLEL]
    longest = max((len(_LISTS.decode(other)) for other in others if other[:1] == b"["), default=0)
    return b"[" + b",".join([_NULL] * longest) + b"]"
