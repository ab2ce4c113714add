"""JSON objects of lines, server-sent events, documents and archives, each with its place in the file."""

import io
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from nilometer.errors import TraceFormatError

from .archives import archive_samples, with_head
from .bytes import LONGEST, lines_of, opened
from .har import har_answers

__all__ = ["END_OF_STREAM", "json_objects", "objects_in", "objects_of_bytes"]

END_OF_STREAM = b"[DONE]"
"""The line by which servers end a stream of events."""

_BOM = b"\xef\xbb\xbf"
_AROUND = b" \t\r\n\x0b\x0c\x1e,"
"""What may stand around an object: blanks, the separator of JSON text sequences, the comma of a list's items."""
_MOST_TRIES = 64
_LIST: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_TOP: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)
_PYTHON = json.JSONDecoder()
_ONE_LINE = re.compile(rb'\{\s*"log"\s*:\s*\{\s*"(?:version|creator|pages|entries)"')
"""How a recording of a browser on one line begins."""
_GAP = re.compile(r"[ \t\r\n\x1e,]*")
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Item = tuple[int | str, bytes, bool]
Lines = Iterator[tuple[int, tuple[bytes, bool]]]


def json_objects(path: Path) -> Iterator[Item]:
    """Yield place, bytes and cut of each JSON object: of lines, server-sent events, documents or an archive.

    The place is the number of the line or item, ``"line.item"`` for lists a line; the cut says whether it is a last
    line without its end. The sign that ends a stream of events is handed on as ``END_OF_STREAM``; their other lines
    that hold no data are left out.

    Raises
    ------
    TraceFormatError
        If the file is empty or blank, is no JSON document, is too large to hold in memory at once, or a compressed
        file or archive is damaged.
    """
    n_objects = 0
    with opened(path) as file:
        try:
            magic = file.peek(4)[:4]  # type: ignore[attr-defined]
        except OSError as exc:
            raise TraceFormatError(f"{path}: the file cannot be read ({exc.strerror}).") from exc
        for item in archive_samples(path, file) if magic == b"PK\x03\x04" else _lines(path, file):
            n_objects += 1
            yield item
    if not n_objects:
        raise TraceFormatError(f"{path}: the file is {'blank' if magic else 'empty'}.")


def objects_of_bytes(data: bytes, name: str) -> Iterator[Item]:
    """Yield the JSON objects of what a server sent, as :func:`json_objects` those of a file called `name`."""
    return _lines(Path(name), io.BufferedReader(io.BytesIO(data)))


def _lines(path: Path, file: BinaryIO) -> Iterator[Item]:
    lines: Lines = enumerate(lines_of(path, file), start=1)
    for number, (data, is_cut) in lines:
        text = data.strip(_AROUND).removeprefix(_BOM)
        if not text:
            continue
        if _begins_document(text) or _ONE_LINE.match(text):
            yield from _documents(path, chain([text], (line for _, (line, _) in lines)))
            return
        yield from _objects(number, text, is_cut=is_cut, is_first=True)
        break
    waiting: list[tuple[int, bytes, bool]] = []
    size = n_tries = 0
    for number, (data, is_cut) in lines:
        text = data.strip(_AROUND)
        if waiting and (data[:1] == b"{" or size > LONGEST or n_tries >= _MOST_TRIES):
            yield from _unfinished(waiting)
            waiting, size, n_tries = [], 0, 0
        if waiting or text == b"{":
            waiting.append((number, data, is_cut))
            size += len(data)
            document = b"\n".join(line for _, line, _ in waiting) if data[:1] == b"}" else b""
            if document and not _fault(document):
                yield waiting[0][0], document, False
                waiting, size, n_tries = [], 0, 0
            n_tries += bool(document)
        elif text[:1] == b"{":
            yield number, text, is_cut
        elif text:
            yield from _objects(number, text, is_cut=is_cut)
    yield from _unfinished(waiting)


def _unfinished(waiting: list[tuple[int, bytes, bool]]) -> Iterator[Item]:
    """Yield the lines of what began like a document and is none, one by one."""
    for number, data, is_cut in waiting:
        text = data.strip(_AROUND)
        if text:
            yield from _objects(number, text, is_cut=is_cut)


def objects_in(data: bytes) -> list[bytes]:
    """Return the objects that stand one after the other without a line feed between; none if something else does.

    Examples
    --------
    >>> objects_in(b'{"a": 1}{"b": 2}'), objects_in(b'{"a": 1} and')
    ([b'{"a": 1}', b'{"b": 2}'], [])
    """
    text, found, place = data.decode("utf-8", "replace"), [], 0
    while place < len(text):
        try:
            value, end = _PYTHON.raw_decode(text, place)
        except (ValueError, RecursionError):
            return []
        if not isinstance(value, dict):
            return []
        found.append(text[place:end].encode())
        gap = _GAP.match(text, end)
        place = end if gap is None else gap.end()
    return found


def _objects(number: int, text: bytes, *, is_cut: bool, is_first: bool = False) -> Iterator[Item]:
    """Yield what a line holds: an object, the data of an event, or a list of objects."""
    if text.startswith(b"data:"):
        text = text[5:].strip()
    if not text or text.startswith((b"event:", b":", b"id:", b"retry:")):
        return
    if text[:1] != b"[" or text == END_OF_STREAM:
        yield number, text, is_cut
        return
    try:
        items = _LIST.decode(text)
    except _FAULTS:
        yield number, text, is_cut
        return
    for place, item in enumerate(items, start=1):
        yield place if is_first else f"{number}.{place}", bytes(item), False


def _begins_document(text: bytes) -> bool:
    """Whether a first line is the beginning of something that goes on below it."""
    if text == b"{":
        return True
    if text[:1] != b"[" or text == END_OF_STREAM:
        return False
    try:
        _RAW.decode(text)
    except _FAULTS:
        return True
    return False


def _documents(path: Path, lines: Iterator[bytes]) -> Iterator[Item]:
    """Yield the objects of documents, pretty-printed or on one line, that stand one after the other."""
    number = 0
    for document in _whole_documents(path, lines):
        for item in _items(path, document):
            number += 1
            yield number, bytes(item), False


def _whole_documents(path: Path, lines: Iterator[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = n_tries = 0
    for line in lines:
        waiting.append(line)
        size += len(line) + 1
        if size > LONGEST:
            raise TraceFormatError(f"{path}: a document must be <= {LONGEST >> 20} MB. Write one response a line.")
        is_single = len(waiting) == 1 and line.strip()[-1:] == b"}"
        if is_single or (line[:1] in (b"}", b"]") and n_tries < _MOST_TRIES):
            document = b"\n".join(waiting)
            if not _fault(document):
                yield document
                waiting, size, n_tries = [], 0, 0
            else:
                n_tries += not is_single
    document = b"\n".join(waiting)
    if document.strip():
        fault = _fault(document)
        pieces = objects_in(document) if fault else [document]
        if not pieces:
            raise TraceFormatError(f"{path}: not a JSON document ({fault}).")
        yield from pieces


def _fault(document: bytes) -> str:
    try:
        _RAW.decode(document)
    except _FAULTS as exc:
        return str(exc) or type(exc).__name__
    return ""


def _items(path: Path, document: bytes) -> list[msgspec.Raw]:
    """Return the objects of one document: of a list, the samples of a log, the entries of a recording, or itself."""
    try:
        if document.lstrip()[:1] == b"[":
            return _LIST.decode(document)
        top = _TOP.decode(document)
        samples = _LIST.decode(top["samples"]) if "samples" in top else None
    except _FAULTS as exc:
        raise TraceFormatError(f"{path}: not a JSON document ({exc}).") from exc
    if samples is not None:
        return [with_head(item, top) for item in samples]
    recorded = har_answers(top["log"]) if "log" in top else None
    return [msgspec.Raw(document)] if recorded is None else recorded
