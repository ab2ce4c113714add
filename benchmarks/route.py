"""Smoothie against the triplet formula written out, and what a route costs; results/route.json.

    uv run python benchmarks/route.py [--quick | --only-memory | --only-gram]

The peer is the published formula in numpy as a straightforward program has it: for every model, for every pair of
other models, the mean over prompts of three squared distances (the published class computes them anew each time, and
so does it). Where all its triplets would take too long, a seeded sample of triplets is timed and multiplied; the
result says so. Both run on the same float32 array in the same process, one thread; CPU time, median of the runs.

The fair peer is what one writes who knows the algebra: all distances from one matrix product of the models' outputs,
and the triplets from their sums, six lines without missing outputs, checks or standard errors; the answers agree.

Also: largest resident memory above the input while streaming from a file in batches, the share of the neighbour search
in Local, and the time of one route.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
from ratios import add_check, finish

from nilometer.decisions import AnswerTable, fit_router
from nilometer.estimators import Smoothie

RESULT = Path(__file__).parent / "results" / "route.json"
DIM, RUNS, MOST_SECONDS = 384, 3, 4.0
SIZES = [(1_000, 5), (1_000, 10), (1_000, 50), (10_000, 5), (10_000, 10), (10_000, 50), (100_000, 5), (100_000, 10)]
LARGEST = (100_000, 50)
GRAM_SIZES = [(1_000, 10), (1_000, 50), (10_000, 10), (10_000, 50)]


def outputs(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal((n, m, DIM), dtype=np.float32)
    x += rng.standard_normal((n, 1, DIM), dtype=np.float32)
    x /= np.sqrt(np.einsum("nmd,nmd->nm", x, x))[..., None]
    return x


def triplets(m: int) -> list[tuple[int, int, int]]:
    return [(i, j, k) for i in range(m) for j, k in combinations([j for j in range(m) if j != i], 2)]


def triplet_value(x: np.ndarray, i: int, j: int, k: int) -> float:
    d_ij = np.mean(np.linalg.norm(x[:, i] - x[:, j], axis=1) ** 2)
    d_ik = np.mean(np.linalg.norm(x[:, i] - x[:, k], axis=1) ** 2)
    d_jk = np.mean(np.linalg.norm(x[:, j] - x[:, k], axis=1) ** 2)
    return float(d_ij + d_ik - d_jk) / 2


def triplet_errors(x: np.ndarray) -> np.ndarray:
    m = x.shape[1]
    values: dict[int, list[float]] = {i: [] for i in range(m)}
    for i, j, k in triplets(m):
        values[i].append(triplet_value(x, i, j, k))
    return np.array([np.mean(values[i]) for i in range(m)])


def gram_errors(x: np.ndarray) -> np.ndarray:
    n, m, _ = x.shape
    rows = x.transpose(1, 0, 2).reshape(m, -1)
    gram = rows @ rows.T / n
    squares = np.diag(gram)
    distances = (squares[:, None] + squares - 2 * gram).astype(np.float64)
    own = distances.sum(axis=1)
    return ((m - 1) * own - own.sum() / 2) / ((m - 1) * (m - 2))


def gram(rng: np.random.Generator) -> list[dict]:
    """Fits beside the Gram matrix, taken in turn."""
    found = []
    for n, m in GRAM_SIZES:
        x = outputs(n, m, rng)
        difference = float(np.abs(gram_errors(x) - Smoothie().fit(x).errors_).max())
        ours, theirs = cpu(lambda x=x: Smoothie().fit(x)), cpu(lambda x=x: gram_errors(x))
        row = {"n": n, "m": m, "ours_s": round(ours, 5), "gram_s": round(theirs, 5), "ratio": round(theirs / ours, 2)}
        found.append({**row, "largest_difference": difference})
    return found


def cpu(work, runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def compare(n: int, m: int, rng: np.random.Generator) -> dict:
    x = outputs(n, m, rng)
    ours = cpu(lambda: Smoothie().fit(x))
    every = triplets(m)
    one = cpu(lambda: triplet_value(x, 0, 1, 2), 1)
    n_timed = int(min(len(every), max(3, MOST_SECONDS / max(one, 1e-6))))
    row = {"n": n, "m": m, "ours_s": round(ours, 5), "n_triplets": len(every), "n_triplets_timed": n_timed}
    if n_timed == len(every):
        theirs = cpu(lambda: triplet_errors(x), 1)
        row["largest_difference"] = float(np.abs(triplet_errors(x) - Smoothie().fit(x).errors_).max())
    else:
        sample = [every[i] for i in rng.choice(len(every), n_timed, replace=False)]
        theirs = cpu(lambda: [triplet_value(x, *t) for t in sample], 1) * len(every) / n_timed
    row |= {"triplets_s": round(theirs, 3), "ratio": round(theirs / ours), "extrapolated": n_timed < len(every)}
    return row


def largest(rng: np.random.Generator) -> dict:
    """The largest size from batches, since the array alone would be 7.7 GB; the peer's time from its batches' sum."""
    n, m = LARGEST
    batch = outputs(5_000, m, rng)
    stream, ours = Smoothie(), 0.0
    for _ in range(n // len(batch)):
        start = time.process_time()
        stream.partial_fit(batch)
        ours += time.process_time() - start
    every = triplets(m)
    sample = [every[i] for i in rng.choice(len(every), 20, replace=False)]
    per_batch = cpu(lambda: [triplet_value(batch, *t) for t in sample], 1) * len(every) / len(sample)
    theirs = per_batch * n / len(batch)
    return {
        "n": n,
        "m": m,
        "ours_s": round(ours, 3),
        "n_triplets": len(every),
        "n_triplets_timed": len(sample),
        "triplets_s": round(theirs),
        "ratio": round(theirs / ours),
        "extrapolated": True,
        "in_batches_of": len(batch),
    }


_STREAM = """
import sys
from pathlib import Path
import numpy as np
from nilometer.estimators import Smoothie

def peak():
    # ru_maxrss would keep the peak of the parent before exec
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

path, n, m, dim, rows, how = sys.argv[1], *map(int, sys.argv[2:6]), sys.argv[6]
Smoothie().partial_fit(np.random.default_rng(0).standard_normal((50, m, dim), dtype=np.float32))
before, stream = peak(), Smoothie()
with open(path, "rb") as file:
    if how == "whole":
        stream.fit(np.fromfile(file, np.float32).reshape(n, m, dim))
    else:
        for _ in range(n // rows):
            stream.partial_fit(np.fromfile(file, np.float32, rows * m * dim).reshape(rows, m, dim))
print(before, peak())
"""


def memory(rng: np.random.Generator) -> dict:
    """Peak resident memory beyond imports and a small fit: reading and fitting the whole array, and in batches."""
    n, m, rows = 20_000, 10, 2_000
    result = {"n": n, "m": m, "array_bytes": n * m * DIM * 4, "batch_rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.bin"
        outputs(n, m, rng).tofile(path)
        for how in ("whole", "stream"):
            done = subprocess.run(
                [sys.executable, "-c", _STREAM, str(path), *map(str, (n, m, DIM, rows)), how],
                capture_output=True,
                text=True,
                check=True,
            )
            before, after = map(int, done.stdout.split())
            result[how] = {"peak_bytes": after, "beyond_warm_up_bytes": after - before}
    for how in ("whole", "stream"):
        result[how]["over_array"] = round(result[how]["beyond_warm_up_bytes"] / result["array_bytes"], 3)
    return result


PARTS = {"memory": memory, "gram": gram}


def local(n: int, rng: np.random.Generator) -> dict:
    """CPU time of Local at k = 20 and of the neighbour search within it."""
    x = outputs(n, 5, rng)[:, :, :32].copy()
    prompts = rng.normal(size=(n, DIM)).astype(np.float32)
    start = time.process_time()
    fitted = Smoothie(20).fit(x, prompts=prompts)
    whole = time.process_time() - start
    start = time.process_time()
    near = fitted.neighbours(fitted.prompts_)
    search = time.process_time() - start
    start = time.process_time()
    fitted._local_errors(near)
    rest = time.process_time() - start
    return {
        "n": n,
        "k": 20,
        "fit_s": round(whole, 2),
        "search_s": round(search, 2),
        "averages_s": round(rest, 3),
        "search_share": round(search / whole, 3),
    }


def one_route(n: int, k: int | None, rng: np.random.Generator) -> dict:
    x = rng.normal(size=(n, 5, 8)).astype(np.float32)
    prompts = rng.normal(size=(n, DIM)).astype(np.float32)
    table = AnswerTable(models=tuple("abcde"), embeddings=x, prompts=prompts)
    router = fit_router(table, n_neighbors=k)
    asked = rng.normal(size=(200, DIM))
    for row in asked[:5]:
        router.route(row)
    times = []
    for row in asked:
        start = time.process_time()
        router.route(row)
        times.append(time.process_time() - start)
    return {"n": n, "k": k, "median_ms": round(1e3 * statistics.median(times), 4)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    for part in PARTS:
        parser.add_argument(f"--only-{part}", action="store_true", help="measure that part anew in the result file")
    add_check(parser)
    options = parser.parse_args()
    quick, rng = options.quick, np.random.default_rng(0)
    only = {part: work(rng) for part, work in PARTS.items() if getattr(options, f"only_{part}")}
    if only:
        result = {**json.loads(RESULT.read_text(encoding="utf-8")), **only}
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(only, indent=1))
        return
    sizes = []
    for n, m in SIZES[:3] if quick else SIZES:
        sizes.append(compare(n, m, rng))
        print(sizes[-1], flush=True)
    result = {
        "sizes": sizes,
        "gram": gram(rng),
        "memory": memory(rng),
        "local": [local(n, rng) for n in ([2_000] if quick else [5_000, 20_000])],
        "one_route": [one_route(n, k, rng) for n, k in [(1_000, None), (1_000, 20), (10_000, 20)]],
        "dim": DIM,
        "runs": RUNS,
        "seed": 0,
        "versions": {name: version(name) for name in ("nilometer", "numpy", "scikit-learn")},
        "python": platform.python_version(),
        "n_cpus": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
    }
    if not quick:
        result["sizes"].append(largest(rng))
    result["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if quick and options.check is None:
        print(json.dumps(result, indent=1))
        return
    finish(result, RESULT, options)


if __name__ == "__main__":
    main()
