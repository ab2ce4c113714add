"""Frames of the spool: what one request left, with a checksum, so that a torn or damaged one is seen and skipped."""

import struct
import zlib
from collections.abc import Iterator

import msgspec

from nilometer.errors import TraceFormatError

__all__ = [
    "HEAD_BYTES",
    "SPOOL_VERSION",
    "Frame",
    "FrameReader",
    "check_head",
    "decode_frame",
    "encode_frame",
    "spool_head",
]

SPOOL_VERSION = 1
_MAGIC = b"NILSPOOL"
_HEAD = struct.Struct("<8sI4x")
HEAD_BYTES = _HEAD.size
_MARK = b"\xabNLF"
_LEAD = struct.Struct("<4sII")


class Frame(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request as it was served."""

    id: str
    """The request's own ``x-request-id``, else a random one; the id inside ``body`` names the trace."""
    time: int
    """Microseconds since 1970, UTC, when the request came."""
    outcome: str
    """``served``, ``aborted`` (the stream broke off), ``unsampled`` (only counted), ``counts`` (of the capture) or
    ``table`` (traces that were read elsewhere)."""
    api: str = "chat"
    """``chat`` or ``completions``."""
    model: str = ""
    k: int | None = None
    """Alternatives asked for, by the capture or by the client; None if nobody asked."""
    asked_by_client: bool = False
    logprobs_mode: str = "unknown"
    temperature: float | None = None
    capture_probability: float = 1.0
    attributes: dict[str, str] = {}
    stream: bool = False
    body: bytes = b""
    """The answer as the server sent it, log-probabilities included."""
    request: bytes = b""
    """The request's body, only where texts are kept."""
    texts: bool = False
    counts: dict[str, int] = {}
    """Running totals of the process, in a frame of ``counts``."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Frame)


def spool_head() -> bytes:
    """First 16 bytes of every spool file: magic and version."""
    return _HEAD.pack(_MAGIC, SPOOL_VERSION)


def encode_frame(frame: Frame) -> bytes:
    """Mark, length, CRC-32 and payload of one frame.

    Examples
    --------
    >>> data = encode_frame(Frame(id="a", time=0, outcome="unsampled"))
    >>> decode_frame(data[12:]).id
    'a'
    """
    payload = _ENCODER.encode(frame)
    return _LEAD.pack(_MARK, len(payload), zlib.crc32(payload)) + payload


def decode_frame(payload: bytes) -> Frame:
    """Read the payload of a frame.

    Raises
    ------
    TraceFormatError
        If it is none.
    """
    try:
        return _DECODER.decode(payload)
    except msgspec.MsgspecError as exc:
        raise TraceFormatError(f"not a frame of a spool ({exc}).") from exc


def check_head(head: bytes, *, name: str) -> None:
    """Refuse a file that is no spool, or one of another version; an empty one is a spool about to be written.

    Raises
    ------
    TraceFormatError
        If the head is wrong.
    """
    if len(head) < HEAD_BYTES:
        return
    magic, version = _HEAD.unpack_from(head)
    if magic != _MAGIC:
        raise TraceFormatError(f"{name}: not a spool of nilometer.")
    if version != SPOOL_VERSION:
        raise TraceFormatError(
            f"{name}: spool version must be {SPOOL_VERSION}, got {version}. "
            "Use one version of nilometer for the capture and the store."
        )


class FrameReader:
    """Whole frames of a part of a spool file that starts at a frame.

    A damaged frame is skipped up to the next mark and counted in ``n_damaged``; an incomplete one at the end stays
    unread, since its writer may be about to finish it. ``offset`` moves behind every frame that was given out.

    Examples
    --------
    >>> two = 2 * encode_frame(Frame(id="a", time=0, outcome="unsampled"))
    >>> reader = FrameReader(two[:-1])
    >>> [frame.id for _, frame in reader], reader.offset == len(two) // 2
    (['a'], True)
    """

    def __init__(self, data: bytes) -> None:
        self.n_damaged = 0
        self.offset = 0
        self._data = data

    def __iter__(self) -> Iterator[tuple[int, Frame]]:
        """Yield (offset behind it, frame)."""
        while (payload := self._next()) is not None:
            try:
                frame = decode_frame(payload)
            except TraceFormatError:
                self.n_damaged += 1
                continue
            yield self.offset, frame

    def _next(self) -> bytes | None:
        data = self._data
        while self.offset + _LEAD.size <= len(data):
            mark, length, checksum = _LEAD.unpack_from(data, self.offset)
            start, end = self.offset + _LEAD.size, self.offset + _LEAD.size + length
            if mark == _MARK and end <= len(data):
                payload = data[start:end]
                if zlib.crc32(payload) == checksum:
                    self.offset = end
                    return payload
            following = data.find(_MARK, self.offset + 1)
            if following < 0:
                return None
            self.n_damaged += 1
            self.offset = following
        return None
