"""False alarms and power of `build_watch` on the recorded corpus `specialist`.

    python studies/drift.py [--runs 200]

A sentinel is fitted on a third of the responses of levels 1 to 3 of all 12 tasks; the rest is traffic. A run draws a
reference of 600 responses and two windows of 300 each from the rest, all without repetition, and looks at 12 slices
in two windows: 50 tests, adjusted together, alert at 95 %. No change: windows are drawn like the reference; any alert
is a false alarm. Four answers to each prompt (`specialist_samples`, levels 1 to 3) ask the same with correlated rows.
Changes: a share of a window's responses is replaced by the next harder levels (4 and 5) of the same tasks (accuracy
falls within slices), or by more of two of the tasks (mix). Shares of runs with an alert of the right kind, with
Clopper-Pearson intervals. Also the monitor for "accuracy below c" on labels: 20 windows of 100 responses with 10
labels each, at c + 0.01 (false alarms over all windows) and after a fall of 0.1 and 0.2. Result:
studies/results/drift.json.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.stats import binomtest

from nilometer.decisions import WatchOptions, build_watch
from nilometer.estimators import Sentinel, start_monitor, update_monitor
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces, slice_names

RESULT = Path(__file__).parent / "results" / "drift.json"
SEED = 20261125


def share(hits: int, n: int) -> dict:
    found = binomtest(hits, n).proportion_ci(0.95)
    return {"share": round(hits / n, 3), "interval": [round(found.low, 3), round(found.high, 3)], "runs": n}


class Traffic:
    """The responses that are not fitted on, by level."""

    def __init__(self, name: str) -> None:
        self.table = profile_traces(read_traces(corpus_path(name)))
        self.level = np.asarray(slice_names(self.table, ["level"]).to_pylist()).astype(int)
        self.task = np.asarray(slice_names(self.table, ["domain"]).to_pylist())
        self.prompt = np.asarray(self.table["prompt_id"].to_pylist())
        self.correct = self.table["correct"].to_numpy().astype(float)


def watched(traffic: Traffic, rows: np.ndarray, sentinel: Sentinel, n_reference: int, every: int) -> set[str]:
    found = build_watch(
        traffic.table.take(pa.array(rows)),
        np.arange(len(rows)) < n_reference,
        by=("domain",),
        correct=np.full(len(rows), np.nan),
        sentinel=sentinel,
        options=WatchOptions(every=str(every)),
    )
    return {alert.kind for alert in found.alerts}


def run(traffic: Traffic, pool: np.ndarray, sentinel: Sentinel, rng: np.random.Generator, change=None) -> set[str]:
    rows = rng.permutation(pool)[:1200]
    if change is not None:
        kind, amount = change
        n = round(600 * amount)
        if kind == "within":
            harder = rng.permutation(np.flatnonzero(np.isin(traffic.level, (4, 5))))
            rows = np.concatenate([rows[: 1200 - n], harder[:n]])
        else:
            rest = np.setdiff1d(pool, rows)
            two = rest[np.isin(traffic.task[rest], ("addition", "gcd"))]
            rows = np.concatenate([rows[: 1200 - n], rng.permutation(two)[:n]])
        rows = np.concatenate([rows[:600], rng.permutation(rows[600:])])
    return watched(traffic, rows, sentinel, 600, 300)


def fitted(traffic: Traffic, rng: np.random.Generator) -> tuple[Sentinel, np.ndarray]:
    """Fit a sentinel on a third of the easy responses; return it and the others."""
    easy = rng.permutation(np.flatnonzero(traffic.level <= 3))
    fit, pool = easy[: len(easy) // 3], easy[len(easy) // 3 :]
    table = traffic.table.take(pa.array(fit))
    return Sentinel(bootstraps=0).fit(table, traffic.correct[fit], groups=traffic.task[fit]), pool


def changes(runs: int) -> dict:
    traffic, rng = Traffic("specialist"), np.random.default_rng(SEED)
    sentinel, pool = fitted(traffic, rng)
    result = {"no change": share(sum(bool(run(traffic, pool, sentinel, rng)) for _ in range(runs)), runs)}
    few = max(runs // 4, 1)
    for amount in (0.1, 0.2, 0.3):
        for kind, wanted in (("within", {"accuracy changed", "scores drifted"}), ("mix", {"mix changed"})):
            hits = sum(bool(run(traffic, pool, sentinel, rng, (kind, amount)) & wanted) for _ in range(few))
            result[f"{kind}, {amount:.0%} of the responses"] = share(hits, few)
    return result


def correlated(runs: int) -> dict:
    """Whole prompts of four answers are drawn into the reference or the windows, without any change."""
    rng = np.random.default_rng([SEED, 4])
    sentinel, _ = fitted(Traffic("specialist"), rng)
    traffic = Traffic("specialist_samples")
    prompts = np.unique(traffic.prompt[traffic.level <= 3])
    hits = 0
    for _ in range(runs):
        order = {name: i for i, name in enumerate(rng.permutation(prompts)[:300])}
        rows = np.flatnonzero(np.isin(traffic.prompt, list(order)))
        rows = rows[np.argsort([order[name] for name in traffic.prompt[rows]], kind="stable")]
        hits += bool(watched(traffic, rows, sentinel, 600, 300))
    return share(hits, runs)


def monitor(runs: int) -> dict:
    traffic = Traffic("specialist")
    p = 1 / (1 + np.exp(traffic.table["max"].to_numpy().astype(float) - 0.6))
    rng, result = np.random.default_rng(SEED), {}
    good, bad = (np.flatnonzero(traffic.correct == value) for value in (1, 0))
    for name, accuracy in (("at c + 0.01", 0.81), ("at c - 0.1", 0.7), ("at c - 0.2", 0.6)):
        delays = []
        for _ in range(runs):
            state, first = start_monitor(0.8), None
            for window in range(20):
                n = rng.binomial(100, accuracy)
                rows = rng.permutation(np.concatenate([rng.choice(good, n), rng.choice(bad, 100 - n)]))
                labels = np.full(100, np.nan)
                labels[:10] = traffic.correct[rows[:10]]
                state = update_monitor(state, labels, p[rows], rng=rng)
                if first is None and state.has_fallen(0.95):
                    first = window + 1
            delays.append(first)
        seen = [delay for delay in delays if delay is not None]
        result[name] = {**share(len(seen), runs), "median_windows_to_alert": float(np.median(seen)) if seen else None}
    return {"c": 0.8, "labels_per_window": 10, **result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--only", choices=("changes", "correlated", "monitor"), help="Run one part again.")
    options = parser.parse_args()
    result = json.loads(RESULT.read_text()) if options.only else {}
    parts = {"changes": changes, "correlated": correlated, "monitor": monitor}
    result |= {name: part(options.runs) for name, part in parts.items() if options.only in {None, name}}
    result |= {
        "seed": SEED,
        "confidence_level": 0.95,
        "versions": {name: version(name) for name in ("nilometer", "scikit-learn", "numpy", "scipy")},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
