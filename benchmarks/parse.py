"""Tokens per CPU second of reading OpenAI chat JSONL with top-20, against json, orjson and DuckDB; results/parse.json.

Every peer does the same work: from the file to one row per response with the chosen and the listed
log-probabilities as Arrow lists. The peers skip what nilometer does besides (sentinels, sorting, labels,
checks of every line). Also writes the same traces as Parquet and states the bytes a token takes.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import duckdb
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


def with_duckdb(path: Path) -> int:
    tokens = "choices[1].logprobs.content"
    query = f"""select id, list_transform({tokens}, lambda t: t.logprob::float) as chosen,
        flatten(list_transform({tokens}, lambda t: list_transform(t.top_logprobs, lambda o: o.logprob::float))) as top
        from read_json('{path}', format = 'newline_delimited', maximum_object_size = 100000000)"""
    return duckdb.connect(config={"threads": 1}).sql(query).to_arrow_table().num_rows


READERS = {"nilometer": with_nilometer, "json": with_json, "orjson": with_orjson, "duckdb": with_duckdb}


def measure(path: Path, n_tokens: int, repeats: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(repeats):
        for name, reader in READERS.items():
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
        speeds = measure(path, n_tokens, options.repeats)
        write_traces(store, read_traces(path).read_all())
        sizes = {"jsonl": path.stat().st_size / n_tokens, "parquet": store.stat().st_size / n_tokens}
    result = {
        "tokens_per_cpu_second": speeds,
        "ratio": {name: round(speeds["nilometer"] / value, 2) for name, value in speeds.items()},
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
