"""Files of what was learned: a head and a table in Parquet, or a head alone in JSON; checked before they are used."""

from collections.abc import Callable
from errno import ENOENT
from hashlib import blake2b
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.errors import NilometerError

from .checked import open_parquet, read_whole
from .digest import ColumnDigests
from .store import DAMAGE, whole_file

__all__ = [
    "SavedKind",
    "SavedTable",
    "read_saved_json",
    "read_saved_table",
    "write_saved_json",
    "write_saved_table",
]

Head = TypeVar("Head", bound=msgspec.Struct)

_DIGEST, _DIGEST_BYTES = b"nilometer.digest", 16
_MOST_HEAD = 64 << 20
_MOST_JSON = 256 << 20


class SavedKind(NamedTuple, Generic[Head]):
    """A kind of file: what it is called, what its head must look like, and where it comes from."""

    name: str
    """As in "not a router file"."""
    head: type[Head]
    """Names, types and limits of the head."""
    version: int
    """The newest version that this library reads."""
    digest_since: int
    """The first version that carries a digest."""
    made_by: str
    """The command that makes such a file."""
    error: type[NilometerError]
    version_field: str = "file_version"
    """What the field of the version is called."""
    key: bytes = b""
    """Under which a Parquet file keeps the head."""


class SavedTable(NamedTuple, Generic[Head]):
    """What a file holds."""

    head: Head
    table: pa.Table


def write_saved_table(path: str | Path, kind: SavedKind[Head], saved: SavedTable[Head]) -> None:
    """Write a head and a table as Parquet, with a digest of both, whole or not at all."""
    head = msgspec.json.encode(saved.head)
    metadata = {kind.key: head, _DIGEST: _digest(head, saved.table).encode()}
    with whole_file(path) as file:
        table = saved.table.replace_schema_metadata(metadata)
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def read_saved_table(path: str | Path, kind: SavedKind[Head]) -> SavedTable[Head]:
    """Read what :func:`write_saved_table` wrote; sizes are checked before the values are read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    NilometerError
        The kind's own, if the file is another kind, newer, too large, or anything in it was changed.
    """
    try:
        # a file object: a text such as s3://... would be looked up in the network
        with Path(path).open("rb") as source, open_parquet(source) as file:
            metadata = file.schema_arrow.metadata or {}
            if kind.key not in metadata:
                raise kind.error(f"{path}: not a {kind.name}. Make one with {kind.made_by}.")
            if len(metadata[kind.key]) > _MOST_HEAD:
                n = len(metadata[kind.key]) >> 20
                raise kind.error(f"{path}: the head must be <= {_MOST_HEAD >> 20} MB, got {n}.")
            head = _decode(path, kind, metadata[kind.key])
            table = read_whole(file)
        found = metadata.get(_DIGEST)
        text = None if found is None else found.decode("ascii", "replace")
        _check_digest(path, kind, head, found=text, make=lambda: _digest(metadata[kind.key], table))
    except FileNotFoundError as exc:
        raise FileNotFoundError(ENOENT, "no such file", str(path)) from exc
    except (NilometerError, PermissionError, IsADirectoryError):
        raise
    except DAMAGE as exc:
        raise kind.error(f"{path}: not a {kind.name} ({exc}), or a damaged one. Make one with {kind.made_by}.") from exc
    return SavedTable(head, table.replace_schema_metadata(None))


def write_saved_json(path: str | Path, kind: SavedKind[Head], head: Head) -> None:
    """Write a head that has a field ``digest`` as JSON, whole or not at all."""
    signed = msgspec.structs.replace(head, digest=_json_digest(head))
    with whole_file(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(signed), indent=1) + b"\n")


def read_saved_json(path: str | Path, kind: SavedKind[Head]) -> Head:
    """Read what :func:`write_saved_json` wrote.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    NilometerError
        The kind's own, if the file is another kind, newer, too large, or anything in it was changed.
    """
    with Path(path).open("rb") as file:
        data = file.read(_MOST_JSON + 1)
    if len(data) > _MOST_JSON:
        raise kind.error(f"{path}: a {kind.name} must be <= {_MOST_JSON >> 20} MB.")
    head = _decode(path, kind, data)
    _check_digest(path, kind, head, found=getattr(head, "digest", None), make=lambda: _json_digest(head))
    return msgspec.structs.replace(head, digest=None)


def _json_digest(head: msgspec.Struct) -> str:
    plain = msgspec.json.encode(msgspec.structs.replace(head, digest=None))
    return blake2b(plain, digest_size=_DIGEST_BYTES).hexdigest()


def _decode(path: str | Path, kind: SavedKind[Head], data: bytes) -> Head:
    """Return the head if its version is known and every field has its type and lies within its limits."""
    try:
        version = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get(kind.version_field)
        newest = 0 if version is None else msgspec.json.decode(version, type=int)
        if newest > kind.version:
            raise kind.error(f"{path}: file version must be <= {kind.version}, got {newest}. Update nilometer.")
        return msgspec.json.decode(data, type=kind.head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise kind.error(f"{path}: not a {kind.name} ({exc}). Make one with {kind.made_by}.") from exc


def _digest(head: bytes, table: pa.Table) -> str:
    """Hash the head and every column with its name, in their order."""
    columns = ColumnDigests()
    columns.add(table)
    total = blake2b(head, digest_size=_DIGEST_BYTES)
    for name, digest in columns.finish().items():
        total.update(f"\0{name}\0{digest}".encode())
    return total.hexdigest()


def _check_digest(
    path: str | Path, kind: SavedKind[Any], head: Any, *, found: str | None, make: Callable[[], str]
) -> None:
    """Refuse another digest than that of the contents; files of old versions may lack one, and are not hashed."""
    if found is None and getattr(head, kind.version_field) < kind.digest_since:
        return
    if found != make():
        raise kind.error(
            f"{path}: its digest must be that of what it holds, got another; the file was changed or damaged. "
            f"Make it anew with {kind.made_by}."
        )
