"""Tokens per CPU second of token entropy and of the whole profile, from Arrow; results/signals.json.

    uv venv bench && uv pip install -p bench -e . uqlm==0.6.7 'pyarrow<21' && bench/bin/python benchmarks/signals.py

Beside them, on the same answers already parsed into Python objects (which costs them nothing here): a loop over
tokens of the paper's kind (exponentials and sum of each token with numpy, 17 statistics of each answer) and UQLM's
TopLogprobsScorer. Where they name the same quantity, the values are compared. Without UQLM that part says so.
"""

import json
import os
import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pyarrow as pa

from nilometer.signals import PAPER_FEATURES, profile_batch, ragged_from_batch, token_entropy, token_signals
from nilometer.traces import Trace, trace_batch

RESULT = Path(__file__).parent / "results" / "signals.json"
K, N_RESPONSES, N_PEER, RUNS = 20, 4000, 100, 5


def answers(rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Make answers of 20 to 400 tokens: chosen and top-20 log-probabilities of normal logits of varying spread."""
    made = []
    for _ in range(N_RESPONSES):
        n = int(rng.integers(20, 400))
        logits = rng.gamma(2.0, 2.0, (n, 1)) * rng.normal(0, 1, (n, 60))
        ordered = -np.sort(-(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)), axis=1)[:, :K]
        rank = np.minimum(rng.geometric(0.8, n) - 1, K - 1)
        made.append((ordered[np.arange(n), rank].astype(np.float32), ordered.astype(np.float32)))
    return made


def batches(made: list[tuple[np.ndarray, np.ndarray]]) -> list[pa.RecordBatch]:
    traces = [
        Trace(trace_id=str(i), n_tokens=len(chosen), k=K, chosen_logprobs=chosen, top_logprobs=top, answer="x")
        for i, (chosen, top) in enumerate(made)
    ]
    return [trace_batch(traces[i : i + 1000]) for i in range(0, len(traces), 1000)]


def as_objects(made: list[tuple[np.ndarray, np.ndarray]]) -> list[list[dict]]:
    return [
        [
            {"token": "x", "logprob": float(c), "top_logprobs": [{"token": "x", "logprob": float(v)} for v in row]}
            for c, row in zip(chosen, top, strict=True)
        ]
        for chosen, top in made
    ]


def loop_entropies(answer: list[dict]) -> list[float]:
    entropies = []
    for token in answer:
        p = np.exp(np.array([other["logprob"] for other in token["top_logprobs"]]))
        entropies.append(float(-np.sum(p * np.log(p))))
    return entropies


def loop_profile(answer: list[dict]) -> dict[str, float]:
    """The 17 statistics of one answer from a loop over its tokens."""
    h = np.array(loop_entropies(answer))
    nll = np.array([-token["logprob"] for token in answer])
    odd, mean, std = nll * np.log(nll + 1e-8), h.mean(), h.std(ddof=1)
    values = (
        mean, std, h.max(), *np.quantile(h, [0.1, 0.25, 0.5, 0.75, 0.9]), np.mean((h - mean) ** 3) / (std**3 + 1e-8),
        np.mean((h - mean) ** 4) / (std**4 + 1e-8), h.sum(), nll.mean(), nll.max(), nll.sum(), odd.sum(), odd.max(),
        np.exp(nll.mean()),
    )  # fmt: skip
    return dict(zip(PAPER_FEATURES, map(float, values), strict=True))


def speed(work, n_tokens: int, runs: int = RUNS) -> float:
    """Median tokens per second of CPU time."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return n_tokens / statistics.median(times)


def uqlm_scores(objects: list[list[dict]]):
    try:
        from uqlm.white_box.top_logprobs import TopLogprobsScorer
    except ImportError:
        return None
    scorer = TopLogprobsScorer(top_k_logprobs=K)
    return lambda: scorer.evaluate(objects)


def agreement(table: pa.Table, tables: list[pa.RecordBatch], objects: list[list[dict]], scores) -> dict[str, float]:
    """Largest absolute differences on the answers that the peers were given."""
    loops = [loop_profile(answer) for answer in objects]
    found = {
        "loop, largest relative difference of 17 statistics": max(
            float(np.max(np.abs(table[f].to_numpy()[: len(loops)] - [row[f] for row in loops])
                         / np.maximum(np.abs([row[f] for row in loops]), 1e-2)))
            for f in PAPER_FEATURES
        )
    }  # fmt: skip
    if scores:
        theirs = scores()
        ours: dict[str, list[float]] = {"mean_token_negentropy": [], "min_token_negentropy": []}
        for batch in (pa.Table.from_batches(tables).slice(0, len(objects)).combine_chunks().to_batches()[0],):
            ragged = ragged_from_batch(batch)
            negentropy = 1 - token_signals(ragged.chosen, ragged.top).renormalized_entropy / np.log(K)
            for low, high in zip(ragged.offsets[:-1], ragged.offsets[1:], strict=True):
                ours["mean_token_negentropy"].append(float(negentropy[low:high].mean()))
                ours["min_token_negentropy"].append(float(negentropy[low:high].min()))
        found |= {f"uqlm {name}": float(np.abs(np.array(theirs[name]) - ours[name]).max()) for name in ours}
        margin = table["margin_mean"].to_numpy()[: len(objects)]
        found["uqlm probability_margin"] = float(np.abs(np.array(theirs["probability_margin"]) - margin).max())
    return found


def main() -> None:
    made = answers(np.random.default_rng(0))
    tables = batches(made)
    objects = as_objects(made[:N_PEER])
    n_tokens, n_peer = sum(len(chosen) for chosen, _ in made), sum(map(len, objects))
    ragged = [ragged_from_batch(batch) for batch in tables]
    scores = uqlm_scores(objects)
    rates = {
        "entropy, from Arrow": speed(
            lambda: [token_entropy(r.chosen, r.top) for r in map(ragged_from_batch, tables)], n_tokens
        ),
        "all token signals": speed(lambda: [token_signals(r.chosen, r.top) for r in ragged], n_tokens),
        "whole profile, from Arrow": speed(lambda: [profile_batch(batch) for batch in tables], n_tokens),
        "loop over tokens, entropy": speed(lambda: [loop_entropies(answer) for answer in objects], n_peer),
        "loop over tokens, 17 statistics": speed(lambda: [loop_profile(answer) for answer in objects], n_peer),
    }
    if scores:
        rates["UQLM TopLogprobsScorer, 3 scores"] = speed(scores, n_peer, 3)
    profiles = pa.Table.from_batches([profile_batch(batch) for batch in tables])
    entropy, profile = rates["entropy, from Arrow"], rates["whole profile, from Arrow"]
    result = {
        "tokens_per_cpu_second": {name: round(rate) for name, rate in rates.items()},
        "ratios": {
            "entropy / loop": round(entropy / rates["loop over tokens, entropy"], 1),
            "profile / loop": round(profile / rates["loop over tokens, 17 statistics"], 1),
            **({"entropy / UQLM": round(entropy / rates["UQLM TopLogprobsScorer, 3 scores"], 1),
                "profile / UQLM": round(profile / rates["UQLM TopLogprobsScorer, 3 scores"], 1)} if scores else {}),
        },
        "agreement": agreement(profiles, tables, objects, scores),
        "n_tokens": n_tokens, "n_tokens_of_peers": n_peer, "k": K, "runs": RUNS,
        "versions": {name: _version(name) for name in ("nilometer", "numpy", "pyarrow", "uqlm")},
        "python": platform.python_version(), "n_cpus": os.cpu_count(),
    }  # fmt: skip
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    if not scores:
        print("UQLM is not installed here; the docstring says how it is.")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
