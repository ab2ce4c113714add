"""How the verbs grow with responses and with slices: CPU seconds and peak memory; results/growth.json.

    python benchmarks/growth.py [--most-responses 1000000] [--most-slices 10000] [--limit 300]

Profiles are drawn with replacement from the recorded corpus, a third of them labelled. Responses grow at 72 slices (by
domain and level); slices grow at 100,000 responses (20 teams of many tenants each). Every verb runs in a process of its
own, its children counted in. The peer answers the same first question, accuracy by slice, with pandas and scikit-learn:
a logistic regression on five features and means by slice, without intervals, checks or a page. A run longer than
``--limit`` CPU seconds is stopped and recorded as such. ``exponent`` is the growth from one size to the next,
log(ratio of CPU) / log(ratio of sizes), with the CPU of the smallest size as the fixed cost.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from ratios import add_check, finish

from nilometer.signals import profile_traces, write_profiles
from nilometer.traces import corpus_path, read_traces

RESULT = Path(__file__).parent / "results" / "growth.json"
RESPONSES, SLICES, N_TEAMS = (10_000, 100_000, 1_000_000), (10, 100, 1000, 10_000), 20
MAIN = "from nilometer.cli import main; main()"
PEER = """
import sys
import numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
path, keys = sys.argv[1], sys.argv[2].split(",")
features = ["nll_sum", "nll_avg", "se_sum", "max", "tail_mass_max"]
frame = pd.read_parquet(path, columns=[*features, "correct", "attributes"])
for key in keys:
    frame[key] = [dict(pairs)[key] for pairs in frame["attributes"]]
X, known = frame[features].fillna(0), frame["correct"].notna()
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[known], frame["correct"][known] > 0.5)
frame["p"] = model.predict_proba(X)[:, 1]
print(frame.groupby(keys)["p"].agg(["size", "mean"]))
"""


def write(path: Path, n: int, n_slices: int | None) -> None:
    """Write n profiles of 72 slices by domain and level, or of about ``n_slices`` by team and tenant."""
    rng = np.random.default_rng(0)
    profiles = profile_traces(read_traces(corpus_path("specialist")))
    table = profiles.take(pa.array(rng.integers(0, len(profiles), n)))
    correct = np.where(rng.random(n) < 1 / 3, table["correct"].to_numpy(), np.nan).astype(np.float32)
    columns = {"trace_id": pa.array([f"r{i}" for i in range(n)]), "correct": pa.array(correct, from_pandas=True)}
    start = np.datetime64("2026-11-01T00:00:00", "us")
    times = start + rng.integers(0, 4 * 86_400, n) * np.timedelta64(1, "s")
    columns["time"] = pa.array(times).cast(pa.timestamp("us", "UTC"))
    if n_slices is not None:
        tenants = rng.integers(0, n_slices, n)
        attributes = [[("team", f"team {t % N_TEAMS}"), ("tenant", f"tenant {t}")] for t in tenants.tolist()]
        columns["attributes"] = pa.array(attributes, pa.map_(pa.string(), pa.string()))
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    write_profiles(path, table)


def measure(command: Sequence[str], folder: Path, limit: int) -> dict:
    """CPU seconds and peak MB of one process, with compiled modules as an installed package has them."""

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))

    null = subprocess.DEVNULL
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env = {**kept, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    process = subprocess.Popen([sys.executable, *command], stdout=null, stderr=null, env=env, preexec_fn=bounded)
    _, status, used = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    found = {"cpu_seconds": round(used.ru_utime + used.ru_stime, 2), "peak_mb": round(used.ru_maxrss / 1024)}
    if code < 0:
        return {**found, "stopped": f"after {limit} CPU seconds"}
    return found if code in {0, 3} else {**found, "exit": code}


def verbs(path: Path, by: str, folder: Path, limit: int) -> dict:
    """Every verb on one file."""
    sentinel = folder / "sentinel.nilo"
    cli, shared = ["-c", MAIN], [str(path), "--by", by]
    commands = {
        "fit": [*cli, "fit", *shared, "--out", str(sentinel)],
        "estimate": [*cli, "estimate", *shared, "--sentinel", str(sentinel)],
        "report": [*cli, "report", *shared, "--out", str(folder / "report.html")],
        "watch": [*cli, "watch", *shared, "--sentinel", str(sentinel)],
        "plan label": [*cli, "plan", "label", *shared, "--budget", "100", "--out", str(folder / "plan.jsonl")],
        "plan acquire": [*cli, "plan", "acquire", *shared, "--budget", "1000"],
        "peer: pandas, scikit-learn, no intervals": ["-c", PEER, str(path), by],
    }
    found = {}
    for name, command in commands.items():
        found[name] = measure(command, folder, limit)
        print(path.stem, name, found[name], flush=True)
    return found


def grow(sizes: Sequence[int], folder: Path, limit: int, *, of: str) -> dict:
    """Every verb at every size of responses or of slices."""
    found: dict[str, dict] = {}
    for size in sizes:
        path = folder / f"{of}-{size}.parquet"
        write(path, size if of == "responses" else 100_000, None if of == "responses" else size)
        by = "domain,level" if of == "responses" else "team,tenant"
        for name, row in verbs(path, by, folder, limit).items():
            found.setdefault(name, {})[str(size)] = row
        path.unlink()
    for rows in found.values():
        add_exponents(rows, sizes)
    return found


def add_exponents(rows: dict, sizes: Sequence[int]) -> None:
    """Growth from one size to the next, the CPU of the smallest taken as the fixed cost."""
    fixed = rows[str(sizes[0])]["cpu_seconds"]
    for a, b in pairwise(sizes[1:]):
        before, after = (rows[str(size)]["cpu_seconds"] - fixed for size in (a, b))
        if before > 0 and after > 0 and not any("stopped" in rows[str(size)] for size in (a, b)):
            rows[str(b)]["exponent"] = round(float(np.log(after / before) / np.log(b / a)), 2)


def peer_ratios(found: dict) -> dict:
    """CPU seconds of the peer over those of each verb, by size; a run that was stopped has no ratio."""
    peer = next(rows for name, rows in found.items() if name.startswith("peer"))
    return {
        name: {
            size: round(peer[size]["cpu_seconds"] / row["cpu_seconds"], 3)
            for size, row in rows.items()
            if "stopped" not in row and "stopped" not in peer[size]
        }
        for name, rows in found.items()
        if rows is not peer
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most-responses", type=int, default=RESPONSES[-1])
    parser.add_argument("--most-slices", type=int, default=SLICES[-1])
    parser.add_argument("--limit", type=int, default=300)
    add_check(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        responses = [n for n in RESPONSES if n <= given.most_responses]
        slices = [n for n in SLICES if n <= given.most_slices]
        write(folder / "warm.parquet", 2000, None)
        verbs(folder / "warm.parquet", "domain,level", folder, given.limit)
        result = {
            "responses": grow(responses, folder, given.limit, of="responses"),
            "slices": grow(slices, folder, given.limit, of="slices"),
            "n_responses_where_slices_grow": 100_000,
            "n_slices_where_responses_grow": 72,
            "versions": {p: version(p) for p in ("nilometer", "numpy", "scipy", "scikit-learn", "pyarrow", "pandas")},
            "python": platform.python_version(),
            "n_cpus": os.cpu_count(),
        }
    result["ratios"] = {kind: peer_ratios(result[kind]) for kind in ("responses", "slices")}
    finish(result, RESULT, given)


if __name__ == "__main__":
    main()
