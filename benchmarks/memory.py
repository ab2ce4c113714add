"""Peak memory of reading OpenAI chat JSONL and mixed lines of two sizes each; writes results/memory.json.

The chat lines are long (100 tokens, 20 alternatives) and diagnosed. The mixed lines are short: whole chat and text
completions, streamed chunks, answers of Gemini, plain rows, errors and a few bad ones. They are diagnosed as
`nilometer doctor` does, and profiled and estimated as `nilometer report` does, which keeps a profile of every response.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ratios import add_check, finish

RESULT = Path(__file__).parent / "results" / "memory.json"
TOKENS = 100


def _line() -> str:
    top = [{"token": f"t{i}", "logprob": -0.5 - i / 3, "bytes": [116, 48]} for i in range(20)]
    token = {"token": "t0", "logprob": -0.5, "bytes": [116, 48], "top_logprobs": top}
    message = {"role": "assistant", "content": "t0" * TOKENS}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": [token] * TOKENS}}
    return json.dumps({"id": "ID", "object": "chat.completion", "model": "m", "choices": [choice]})


def write(path: Path, megabytes: float) -> int:
    """Write a file of about this size; return its number of bytes."""
    head, tail = _line().split('"ID"')
    with path.open("w") as file:
        n = 0
        while file.tell() < megabytes * 1e6:
            file.write(f'{head}"r{n}"{tail}\n')
            n += 1
    return path.stat().st_size


def write_mixed(path: Path, n_lines: int) -> int:
    """Write this many lines of every kind; return the number of bytes."""
    top = [{"token": f"t{i}", "logprob": -0.5 - i / 3} for i in range(3)]
    token = {**top[0], "top_logprobs": top}
    listed = {"content": [token] * 3}
    choice = {"index": 0, "message": {"content": "t0t0t0"}, "finish_reason": "stop", "logprobs": listed}
    arrays = {"tokens": ["t0"], "token_logprobs": [-0.5], "top_logprobs": [{"t0": -0.5, "t1": -0.8}]}
    chosen = [{"token": "t0", "logProbability": -0.5}]
    candidate = {
        "content": {"parts": [{"text": "t0"}]},
        "finishReason": "STOP",
        "logprobsResult": {"chosenCandidates": chosen, "topCandidates": [{"candidates": chosen}]},
    }
    head = {"object": "chat.completion.chunk", "created": 1, "model": "m"}
    piece = {"index": 0, "delta": {"content": "t0"}, "logprobs": {"content": [token]}}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    kinds = [
        {"id": "ID", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]},
        {"custom_id": "ID", "response": {"body": {"model": "m", "choices": [choice]}}, "tenant": "a"},
        {
            "id": "ID",
            "model": "m",
            "choices": [{"index": 0, "text": "t0", "logprobs": arrays, "finish_reason": "stop"}],
        },
        {"id": "ID", **head, "choices": [piece]},
        {"id": "ID", **head, "choices": [piece]},
        {"id": "ID", **head, "choices": [end]},
        {"candidates": [candidate], "modelVersion": "m", "responseId": "ID"},
        {"trace_id": "ID", "answer": "t0", "k": 2, "chosen_logprobs": [-0.5], "top_logprobs": [[-0.5, -1.2]]},
        {"error": {"message": "overloaded"}},
        {"id": "ID", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]},
    ]
    texts = [json.dumps(kind) for kind in kinds]
    streamed = {3, 4, 5}
    with path.open("w") as file:
        for number in range(n_lines):
            place = number % len(texts)
            name = f"s{number // len(texts)}" if place in streamed else f"r{number}"
            file.write("{bad\n" if number % 1000 == 999 else texts[place].replace('"ID"', f'"{name}"') + "\n")
    return path.stat().st_size


def report(path: Path) -> dict[str, float]:
    """Report on a file in this process as the command does; return its peak memory and time."""
    from nilometer.cli import main as command

    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            command(["report", str(path), "--json"])
        except SystemExit as left:
            if left.code:
                raise RuntimeError(said.getvalue()) from left
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu_seconds": round(time.process_time() - start, 1), "rss_peak_mb": round(peak / 1024, 1)}


def measure(path: Path) -> dict[str, float]:
    """Read and diagnose a file in this process; return its peak memory and time."""
    from nilometer.traces import diagnose, read_traces

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    diagnosis = diagnose(read_traces(path))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "n_traces": diagnosis.n_traces,
        "n_tokens": diagnosis.n_tokens,
        "seconds": round(seconds, 2),
        "rss_before_mb": round(before / 1024, 1),
        "rss_peak_mb": round(peak / 1024, 1),
    }


def _apart(flag: str, path: Path) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    done = subprocess.run([sys.executable, __file__, flag, str(path)], check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=2000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    add_check(parser)
    options = parser.parse_args()
    if options.measure or options.report:
        print(json.dumps(measure(options.measure) if options.measure else report(options.report)))
        return
    runs, mixed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in (options.megabytes / 4, options.megabytes):
            path = Path(folder) / "chat.jsonl"
            size = write(path, megabytes)
            runs.append({"file_mb": round(size / 1e6, 1), **_apart("--measure", path)})
        for n_lines in (options.lines // 4, options.lines):
            path = Path(folder) / "mixed.jsonl"
            size = write_mixed(path, n_lines)
            row = {"n_lines": n_lines, "file_mb": round(size / 1e6, 1)}
            mixed.append({**row, "doctor": _apart("--measure", path), "report": _apart("--report", path)})
    result = {"asked_mb": options.megabytes, "target_mb": 2000, "n_cpus": os.cpu_count(), "runs": runs}
    file_growth, memory_growth = (runs[1][name] / runs[0][name] for name in ("file_mb", "rss_peak_mb"))
    result["memory_ratio"] = round(file_growth / memory_growth, 3)
    growth = {
        name: round(4 * mixed[0][name]["rss_peak_mb"] / mixed[1][name]["rss_peak_mb"], 3)
        for name in ("doctor", "report")
    }
    result["mixed"] = {"runs": mixed, "ratios": growth}
    finish(result, RESULT, options)


if __name__ == "__main__":
    main()
