"""Embedding many texts: each once, in batches, and kept on disk by content."""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nilometer.errors import ConfigError, TraceFormatError

from .embedders import Embedder

__all__ = ["EmbeddedTexts", "embed_texts"]

Vectors = NDArray[np.float32]

_LOOKUP = 500


class EmbeddedTexts(NamedTuple):
    """Vectors and what they cost: embedding is the latency of a route."""

    vectors: Vectors
    """(texts, dim); only NaN for a missing or blank text."""
    n_embedded: int
    """Different texts that went through the embedder."""
    n_cached: int
    """Different texts whose vectors were kept from before."""
    n_characters: int
    """Characters embedded."""
    seconds: float
    """Wall time in the embedder."""

    @property
    def milliseconds_per_text(self) -> float | None:
        """Wall time per embedded text; None if all came from the cache."""
        return 1000.0 * self.seconds / self.n_embedded if self.n_embedded else None


def embed_texts(
    texts: Sequence[str | None],
    embedder: Embedder,
    *,
    cache: str | Path | None = None,
    batch: int = 64,
    advance: Callable[[int], None] | None = None,
) -> EmbeddedTexts:
    """Embed texts, equal ones once.

    Parameters
    ----------
    texts
        ``None`` and blank texts are missing outputs.
    embedder
        From `make_embedder`, or anything with ``name`` and ``embed``.
    cache
        SQLite file of vectors by embedder name and SHA-256 of the text; made where it is missing.
    batch
        Texts per call, shortest first so that little is padded.
    advance
        Called with the number of texts done.

    Raises
    ------
    TraceFormatError
        If the embedder returns vectors of another number or length, or not finite ones.
    ConfigError
        If the cache is no such file.

    Examples
    --------
    >>> from nilometer.models import make_embedder
    >>> found = embed_texts(["a", "b", "a", None], make_embedder("ngrams"))
    >>> found.vectors.shape, found.n_embedded, bool(np.isnan(found.vectors[3]).all())
    ((4, 512), 2, True)
    """
    wanted = sorted({text for text in texts if text and text.strip()}, key=lambda text: (len(text), text))
    known = _cached(cache, embedder.name, wanted)
    new = [text for text in wanted if text not in known]
    started = time.perf_counter()
    for start in range(0, len(new), batch):
        part = new[start : start + batch]
        vectors = _checked(embedder, part)
        _keep(cache, embedder.name, zip(part, vectors, strict=True))
        known.update(zip(part, vectors, strict=True))
        if advance is not None:
            advance(len(part))
    seconds = time.perf_counter() - started
    lengths = {len(vector) for vector in known.values()}
    if len(lengths) > 1:
        raise TraceFormatError(f"{embedder.name}: all vectors must have one length, got {sorted(lengths)}.")
    out = np.full((len(texts), lengths.pop() if lengths else 1), np.nan, dtype=np.float32)
    for row, text in enumerate(texts):
        if text and text.strip():
            out[row] = known[text]
    return EmbeddedTexts(out, len(new), len(wanted) - len(new), sum(map(len, new)), seconds)


def _checked(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    vectors = np.asarray(embedder.embed(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise TraceFormatError(
            f"{embedder.name}: {len(texts)} finite vectors were expected, got shape {vectors.shape}"
            f"{'' if np.isfinite(vectors).all() else ' with values that are not finite'}."
        )
    return vectors


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()


def _open(path: str | Path) -> sqlite3.Connection:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=60)
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS vectors (embedder TEXT, text BLOB, vector BLOB, PRIMARY KEY (embedder, text))"
        )
    except sqlite3.DatabaseError as exc:
        connection.close()
        raise ConfigError(f"{path}: not a cache of embeddings ({exc}).") from exc
    return connection


def _cached(path: str | Path | None, name: str, texts: Sequence[str]) -> dict[str, Vectors]:
    if path is None:
        return {}
    by_key = {_key(text): text for text in texts}
    keys, found = list(by_key), {}
    with closing(_open(path)) as connection:
        for start in range(0, len(keys), _LOOKUP):
            part = keys[start : start + _LOOKUP]
            marks = ",".join("?" * len(part))
            query = f"SELECT text, vector FROM vectors WHERE embedder = ? AND text IN ({marks})"
            for key, blob in connection.execute(query, (name, *part)):
                found[by_key[key]] = np.frombuffer(blob, dtype="<f4").astype(np.float32)
    return found


def _keep(path: str | Path | None, name: str, rows: Iterable[tuple[str, Vectors]]) -> None:
    if path is None:
        return
    with closing(_open(path)) as connection, connection:
        connection.executemany(
            "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
            [(name, _key(text), vector.astype("<f4").tobytes()) for text, vector in rows],
        )
