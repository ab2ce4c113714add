"""Peak memory of reading and diagnosing OpenAI chat JSONL of two sizes; writes results/memory.json."""

import argparse
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=2000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    add_check(parser)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in (options.megabytes / 4, options.megabytes):
            path = Path(folder) / "chat.jsonl"
            size = write(path, megabytes)
            command = [sys.executable, __file__, "--measure", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs.append({"file_mb": round(size / 1e6, 1), **json.loads(done.stdout)})
    result = {"asked_mb": options.megabytes, "target_mb": 2000, "n_cpus": os.cpu_count(), "runs": runs}
    file_growth, memory_growth = (runs[1][name] / runs[0][name] for name in ("file_mb", "rss_peak_mb"))
    result["memory_ratio"] = round(file_growth / memory_growth, 3)
    finish(result, RESULT, options)


if __name__ == "__main__":
    main()
