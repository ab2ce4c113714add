"""Token entropy beside the one line of numpy that a user would write on the same array; results/entropy.json.

    OMP_NUM_THREADS=1 python benchmarks/entropy.py

Both read (tokens, 20) float32 natural log-probabilities, best first. ``token_entropy`` also checks them, adds the
chosen token where it is not listed and takes unknown alternatives; the line does none of it. Median of runs taken in
turn, one core. Values are compared.
"""

import argparse
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ratios import add_check, finish

from nilometer.signals import token_entropy

RESULT = Path(__file__).parent / "results" / "entropy.json"
N_TOKENS, K, RUNS = 400_000, 20, 9


def logprobs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Top-20 of 60 outcomes of varying spread, and the chosen token among them."""
    logits = rng.gamma(2.0, 2.0, (N_TOKENS, 1)) * rng.normal(0, 1, (N_TOKENS, 60))
    ordered = -np.sort(-(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)), axis=1)[:, :K]
    rank = np.minimum(rng.geometric(0.8, N_TOKENS) - 1, K - 1)
    return ordered[np.arange(N_TOKENS), rank].astype(np.float32), ordered.astype(np.float32)


def chunked(top: np.ndarray, rows: int = 4096) -> np.ndarray:
    """The same sum over pieces that stay in the cache."""
    parts = [top[i : i + rows] for i in range(0, len(top), rows)]
    return -np.concatenate([np.einsum("nk,nk->n", np.exp(part), part) for part in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_check(parser)
    options = parser.parse_args()
    chosen, top = logprobs(np.random.default_rng(0))
    works = {
        "nilometer": lambda: token_entropy(chosen, top),
        "numpy, -(exp(t) * t).sum(1)": lambda: -(np.exp(top) * top).sum(1),
        "numpy, exp and einsum in pieces": lambda: chunked(top),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(RUNS):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(time.process_time() - start)
    rates = {name: round(N_TOKENS / statistics.median(spent)) for name, spent in times.items()}
    line = works["numpy, -(exp(t) * t).sum(1)"]()
    result = {
        "tokens_per_cpu_second": rates,
        "ratios": {name: round(rates["nilometer"] / rate, 2) for name, rate in rates.items() if name != "nilometer"},
        "largest_difference": float(np.abs(works["nilometer"]() - line).max()),
        "n_tokens": N_TOKENS,
        "k": K,
        "runs": RUNS,
        "versions": {name: version(name) for name in ("nilometer", "numpy")},
        "python": platform.python_version(),
    }
    finish(result, RESULT, options)


if __name__ == "__main__":
    main()
