"""Does a race keep its word? Worlds with a known utility matrix; writes results/mbr_race.json.

    OMP_NUM_THREADS=1 python studies/mbr_race.py

Four kinds of utility (normal, 0/1, near ties, clusters of points) and texts with repeats. Per world: the share of runs
that end with the exact winner, what was promised, how often the regret stayed below its bound, and the share of calls.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from nilometer.decisions import TextUtility, race_mbr

RESULT = Path(__file__).parent / "results" / "mbr_race.json"
N_RUNS, LEVEL = 100, 0.9


def world(rng: np.random.Generator, n: int, kind: str) -> np.ndarray:
    scores = 0.3 * rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(1, n)) + rng.normal(size=(n, n))
    if kind == "0/1":
        return (rng.random((n, n)) < 1 / (1 + np.exp(-scores))).astype(float)
    if kind == "near ties":
        scores[: n // 2] = scores[0] + 0.05 * rng.normal(size=(n // 2, n))
    if kind == "clusters":
        points = rng.normal(size=(n, 3)) + 3 * rng.normal(size=(5, 3))[rng.integers(0, 5, n)]
        return np.exp(-np.linalg.norm(points[:, None] - points, axis=2) / 2)
    return scores


def run(n: int, kind: str, share: float | None) -> dict[str, float]:
    found, covered, promised, calls, lost = 0, 0, [], [], []
    for seed in range(N_RUNS):
        rng = np.random.default_rng(seed)
        scores, counts = world(rng, n, kind), rng.geometric(0.6, n)
        texts = [str(i) for i, count in enumerate(counts) for _ in range(count)]
        table = TextUtility("table", matrix=lambda h, r, s=scores: s[np.ix_([int(t) for t in h], [int(t) for t in r])])
        budget = None if share is None else max(2 * n, int(share * n * n))
        race = race_mbr(texts, table, rng=rng, confidence_level=LEVEL, budget=budget)
        exact = scores @ (counts / counts.sum())
        regret = exact.max() - exact[int(race.text)]
        found += regret < 1e-12
        covered += regret <= race.regret_bound + 1e-12
        promised.append(race.confidence)
        calls.append(race.n_calls / race.n_calls_exact)
        lost.append(regret / (exact.max() - exact.mean()))
    interval = binomtest(found, N_RUNS).proportion_ci(0.95)
    return {
        "exact_winner": found / N_RUNS,
        "low": round(interval.low, 3),
        "high": round(interval.high, 3),
        "promised": round(float(np.mean(promised)), 3),
        "regret_within_bound": covered / N_RUNS,
        "regret_of_random_pick": round(float(np.mean(lost)), 3),
        "calls_of_exact": round(float(np.mean(calls)), 3),
    }


def main() -> None:
    result = {
        f"{kind}, n = {n}, {'no budget' if share is None else f'budget {share:.0%}'}": run(n, kind, share)
        for kind in ("normal", "0/1", "near ties", "clusters")
        for n, share in ((64, None), (64, 0.06), (64, 0.12), (64, 0.3), (256, None))
    }
    about = {
        "confidence_level": LEVEL,
        "n_runs": N_RUNS,
        "seeds": f"0 to {N_RUNS - 1}",
        "versions": {name: version(name) for name in ("nilometer", "numpy", "scipy")},
    }
    RESULT.write_text(json.dumps({"worlds": result} | about, indent=1) + "\n")
    for name, row in result.items():
        print(name, row)


if __name__ == "__main__":
    main()
