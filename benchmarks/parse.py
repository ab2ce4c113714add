"""Tokens per CPU second of reading OpenAI chat JSONL with top-20, against what one would write; results/parse.json.

Every peer does the same work: from the file to one row per response with the chosen and the listed
log-probabilities as Arrow lists. The peers skip what nilometer does besides (sentinels, sorting, labels,
checks of every line). json and orjson are timed as they come and with Python's garbage collector off, DuckDB with the
columns given and without, and msgspec with structures of nothing but the numbers, which is what is left to gain.
Then the same answers as streamed chunks, read by nilometer and by a loop over orjson. Also writes the same traces as
Parquet and states the bytes a token takes.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import orjson
import pyarrow as pa
from ratios import add_check, finish

from nilometer.traces import read_traces, write_traces

RESULT = Path(__file__).parent / "results" / "parse.json"
K = 20
_WORDS = ["the", " of", " answer", " is", " 42", "\n", " because", " river", " level", "."]


def write(path: Path, n_responses: int, n_tokens: int) -> int:
    """Write chat completions with realistic log-probabilities (normal logits, sampled tokens); return tokens."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for i in range(n_responses):
            logits = rng.gamma(2.0, 2.0, (n_tokens, 1)) * rng.normal(0, 1, (n_tokens, 200))
            logprobs = -np.sort(-(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)), axis=1)[:, :K]
            file.write(json.dumps(_response(i, logprobs)) + "\n")
    return n_responses * n_tokens


def _response(i: int, logprobs: np.ndarray) -> dict:
    tokens = []
    for row in logprobs:
        top = [
            {"token": _WORDS[j % 10], "logprob": float(value), "bytes": list(_WORDS[j % 10].encode())}
            for j, value in enumerate(row)
        ]
        tokens.append({**top[0], "top_logprobs": top})
    message = {"role": "assistant", "content": "".join(token["token"] for token in tokens)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": tokens}}
    return {
        "id": f"chatcmpl-{i}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [choice],
    }


def with_nilometer(path: Path) -> int:
    return sum(batch.num_rows for batch in read_traces(path))


def _with(loads, path: Path) -> int:
    ids, chosen, top = [], [], []
    with path.open("rb") as file:
        for line in file:
            response = loads(line)
            content = response["choices"][0]["logprobs"]["content"]
            ids.append(response["id"])
            chosen.append([token["logprob"] for token in content])
            top.append([other["logprob"] for token in content for other in token["top_logprobs"]])
    lists = pa.list_(pa.float32())
    return pa.table({"id": ids, "chosen": pa.array(chosen, lists), "top": pa.array(top, lists)}).num_rows


def with_json(path: Path) -> int:
    return _with(json.loads, path)


def with_orjson(path: Path) -> int:
    return _with(orjson.loads, path)


def _without_gc(reader):
    def read(path: Path) -> int:
        gc.disable()
        try:
            return reader(path)
        finally:
            gc.enable()

    return read


class Alternative(msgspec.Struct, gc=False):
    logprob: float


class Token(msgspec.Struct, gc=False):
    logprob: float
    top_logprobs: list[Alternative]


class Content(msgspec.Struct, gc=False):
    content: list[Token]


class Choice(msgspec.Struct, gc=False):
    logprobs: Content


class Response(msgspec.Struct, gc=False):
    id: str
    choices: list[Choice]


def with_msgspec(path: Path) -> int:
    decoder = msgspec.json.Decoder(Response)
    ids, chosen, top = [], [], []
    with path.open("rb") as file:
        for line in file:
            response = decoder.decode(line)
            content = response.choices[0].logprobs.content
            ids.append(response.id)
            chosen.append([token.logprob for token in content])
            top.append([other.logprob for token in content for other in token.top_logprobs])
    lists = pa.list_(pa.float32())
    return pa.table({"id": ids, "chosen": pa.array(chosen, lists), "top": pa.array(top, lists)}).num_rows


_COLUMNS = """columns = {id: 'VARCHAR', choices:
    'STRUCT(logprobs STRUCT(content STRUCT(logprob FLOAT, top_logprobs STRUCT(logprob FLOAT)[])[]))[]'},"""


def _duckdb(path: Path, columns: str) -> int:
    tokens = "choices[1].logprobs.content"
    query = f"""select id, list_transform({tokens}, lambda t: t.logprob::float) as chosen,
        flatten(list_transform({tokens}, lambda t: list_transform(t.top_logprobs, lambda o: o.logprob::float))) as top
        from read_json('{path}', {columns} format = 'newline_delimited', maximum_object_size = 100000000)"""
    return duckdb.connect(config={"threads": 1}).sql(query).to_arrow_table().num_rows


def with_duckdb(path: Path) -> int:
    return _duckdb(path, "")


def with_duckdb_columns(path: Path) -> int:
    return _duckdb(path, _COLUMNS)


READERS = {
    "nilometer": with_nilometer,
    "json": with_json,
    "json, gc off": _without_gc(with_json),
    "orjson": with_orjson,
    "orjson, gc off": _without_gc(with_orjson),
    "duckdb": with_duckdb,
    "duckdb, columns given": with_duckdb_columns,
    "msgspec, numbers only": with_msgspec,
}


def write_chunks(path: Path, chunks: Path) -> None:
    """Write the same answers as a server streams them, a chunk a token."""
    with path.open() as file, chunks.open("w") as out:
        for line in file:
            response = json.loads(line)
            head = {"id": response["id"], "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m"}
            parts = [{"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}]
            for token in response["choices"][0]["logprobs"]["content"]:
                listed = {"content": [token]}
                parts.append({"delta": {"content": token["token"]}, "logprobs": listed, "finish_reason": None})
            parts.append({"delta": {}, "logprobs": None, "finish_reason": "stop"})
            for part in parts:
                out.write(json.dumps({**head, "choices": [{"index": 0, **part}]}) + "\n")


def chunks_with_orjson(path: Path) -> int:
    """Join chunks by id in a loop; nothing is checked, and every stream is taken to end well."""
    open_, rows = {}, []
    with path.open("rb") as file:
        for line in file:
            chunk = orjson.loads(line)
            choice = chunk["choices"][0]
            texts, chosen, top = open_.setdefault(chunk["id"], ([], [], []))
            texts.append(choice["delta"].get("content") or "")
            for token in (choice.get("logprobs") or {}).get("content") or ():
                chosen.append(token["logprob"])
                top.extend(other["logprob"] for other in token["top_logprobs"])
            if choice["finish_reason"]:
                rows.append((chunk["id"], *open_.pop(chunk["id"])))
    ids, texts, chosen, top = zip(*rows, strict=True)
    lists = pa.list_(pa.float32())
    answers = ["".join(text) for text in texts]
    columns = {"id": ids, "answer": answers, "chosen": pa.array(chosen, lists), "top": pa.array(top, lists)}
    return pa.table(columns).num_rows


STREAMS = {"nilometer": with_nilometer, "orjson": chunks_with_orjson}


def measure(readers: dict, path: Path, n_tokens: int, repeats: int) -> dict[str, float]:
    """Median tokens per CPU second, the readers in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(repeats):
        for name, reader in readers.items():
            start = time.process_time()
            reader(path)
            seconds[name].append(time.process_time() - start)
    return {name: round(n_tokens / statistics.median(values)) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    add_check(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, store = Path(folder) / "chat.jsonl", Path(folder) / "traces.parquet"
        n_tokens = write(path, options.responses, options.tokens)
        speeds = measure(READERS, path, n_tokens, options.repeats)
        chunks = Path(folder) / "chunks.jsonl"
        write_chunks(path, chunks)
        streams = measure(STREAMS, chunks, n_tokens, options.repeats)
        write_traces(store, read_traces(path).read_all())
        sizes = {"jsonl": path.stat().st_size / n_tokens, "parquet": store.stat().st_size / n_tokens}
    result = {
        "tokens_per_cpu_second": speeds,
        "ratio": {name: round(speeds["nilometer"] / value, 2) for name, value in speeds.items()},
        "streamed_tokens_per_cpu_second": streams,
        "streamed_ratio": {name: round(streams["nilometer"] / value, 2) for name, value in streams.items()},
        "bytes_per_token": {name: round(value, 1) for name, value in sizes.items()},
        "n_responses": options.responses,
        "tokens_each": options.tokens,
        "k": K,
        "repeats": options.repeats,
        "versions": {name: version(name) for name in ("msgspec", "orjson", "duckdb", "pyarrow")},
        "python": platform.python_version(),
        "n_cpus": os.cpu_count(),
    }
    finish(result, RESULT, options)


if __name__ == "__main__":
    main()
