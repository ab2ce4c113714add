"""Posteriors of 64 samples decided per CPU second, for every rule for numbers; results/decide.json.

    uv run python benchmarks/decide.py

The work is 20,000 posteriors of 64 whole numbers from 0 to 100, each with its own centre and spread. Beside it, on the
same samples in the same run: numpy's mean and quantile and scipy's mode, of each row one after the other and of all
rows at once (``axis=1``), with the same answers. The peers check nothing and give no risk, so the rule alone is beside
them, too.
"""

import argparse
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ratios import add_check, finish
from scipy import stats

from nilometer.decisions import RULES, decide_arrays

RESULT = Path(__file__).parent / "results" / "decide.json"
N, SAMPLES, RUNS = 20_000, 64, 5
PARAMETERS = {"asymmetric": 3.0, "linex": 0.1, "within": 5.0, "huber": 5.0}

PEERS = {
    "squared": ("numpy.mean", lambda values, axis: np.mean(values, axis=axis)),
    "absolute": (
        "numpy.quantile(0.5, inverted_cdf)",
        lambda values, axis: np.quantile(values, 0.5, method="inverted_cdf", axis=axis),
    ),
    "zero_one": ("scipy.stats.mode", lambda values, axis: stats.mode(values, axis=axis).mode),
}


def samples(rng: np.random.Generator) -> np.ndarray:
    centre, spread = rng.uniform(20, 80, (N, 1)), rng.uniform(2, 12, (N, 1))
    return np.clip(rng.normal(centre, spread, (N, SAMPLES)).round(), 1, 100)


def per_second(work, n: int) -> float:
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return n / statistics.median(times)


def peers(values: np.ndarray) -> dict[str, dict]:
    """The same quantity by numpy or scipy, row by row and of all rows at once."""
    few = values[:2_000]
    found = {}
    for rule, (name, one) in PEERS.items():
        answers = decide_arrays(values, rule).answers
        found[rule] = {
            "peer": name,
            "posteriors_per_second": round(per_second(lambda one=one: [one(row, 0) for row in few], len(few))),
            "at_once_per_second": round(per_second(lambda one=one: one(values, 1), N)),
            "largest_difference": float(np.max(np.abs(answers - one(values, 1)))),
        }
    return found


def rate(name: str, values: np.ndarray) -> dict[str, int]:
    """Posteriors a second: the rule alone, and with input checks and the risk of each answer."""
    rule, parameter = RULES[name], PARAMETERS.get(name)
    given = rule.parameter.default if parameter is None and rule.parameter else parameter
    weights, solve = np.full(values.shape, 1 / SAMPLES), rule.solve_rows or rule.solve
    return {
        "answers_per_second": round(per_second(lambda: solve(values, weights, given), N)),
        "answers_and_risks_per_second": round(per_second(lambda: decide_arrays(values, name, parameter=parameter), N)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_check(parser)
    options = parser.parse_args()
    values = samples(np.random.default_rng(0))
    rules = [rule for rule in RULES.values() if rule.solve_rows or (rule.kind == "number" and not rule.is_batch)]
    rates = {rule.name: rate(rule.name, values / 100 if rule.name == "log_loss" else values) for rule in rules}
    loops = peers(values)
    for rule, peer in loops.items():
        checked, alone = (rates[rule][name] for name in ("answers_and_risks_per_second", "answers_per_second"))
        peer["ratios"] = {
            "row by row": round(checked / peer["posteriors_per_second"], 2),
            "at once": round(checked / peer["at_once_per_second"], 2),
            "at once, the rule alone": round(alone / peer["at_once_per_second"], 2),
        }
    result = {
        "unit": "posteriors per second of CPU time, median of runs",
        "posteriors": N,
        "samples": SAMPLES,
        "runs": RUNS,
        "seed": 0,
        "rates": rates,
        "peers": loops,
        "rules_at_100000": sorted(name for name, r in rates.items() if r["answers_and_risks_per_second"] >= 100_000),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
    }
    finish(result, RESULT, options)


if __name__ == "__main__":
    main()
