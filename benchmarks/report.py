"""Seconds and memory of `nilometer report` on a million profiles, page included; results/report.json.

    python benchmarks/report.py [--n 1000000]

The profiles are drawn with replacement from the recorded corpus, a third of them labelled; 72 slices by domain
and level.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ratios import add_check, finish

from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces

RESULT = Path(__file__).parent / "results" / "report.json"


def write(path: Path, n: int) -> None:
    rng = np.random.default_rng(0)
    profiles = profile_traces(read_traces(corpus_path("specialist")))
    table = profiles.take(pa.array(rng.integers(0, len(profiles), n)))
    ids = pa.array([f"r{i}" for i in range(n)])
    correct = np.where(rng.random(n) < 1 / 3, table["correct"].to_numpy(), np.nan).astype(np.float32)
    table = table.set_column(table.column_names.index("trace_id"), "trace_id", ids)
    labels = pa.array(correct, from_pandas=True)
    pq.write_table(table.set_column(table.column_names.index("correct"), "correct", labels), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000)
    add_check(parser)
    options = parser.parse_args()
    n = options.n
    with tempfile.TemporaryDirectory() as folder:
        path, page = Path(folder) / "profiles.parquet", Path(folder) / "report.html"
        write(path, n)
        code = "from nilometer.cli import main; main()"
        command = [sys.executable, "-c", code, "report", str(path), "--by", "domain,level", "--out", str(page)]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = {
            "n_profiles": n,
            "n_slices": 72,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
            "peak_mb": round(used.ru_maxrss / 1024),
            "file_mb": round(path.stat().st_size / 1e6),
            "memory_ratio": round(path.stat().st_size / 1.024e3 / used.ru_maxrss, 4),
            "page_kb": round(page.stat().st_size / 1e3),
            "versions": {name: version(name) for name in ("nilometer", "numpy", "pyarrow")},
            "python": platform.python_version(),
            "n_cpus": os.cpu_count(),
        }
    finish(result, RESULT, options)


if __name__ == "__main__":
    main()
