"""Tokens per CPU second of token entropy and of the whole profile, from Arrow; results/signals.json.

    uv venv bench
    uv pip install -p bench -e . torch==2.13.0 uqlm==0.6.7 lm-polygraph==0.7.0 'pyarrow<21'
    bench/bin/python benchmarks/signals.py

Beside them, on the same answers already parsed into Python objects (which costs them nothing here): a loop over
tokens as the paper's code has it, one torch tensor per token; the same loop with numpy; UQLM's TopLogprobsScorer; and
LM-Polygraph's entropy with four of its scores. Where they name the same quantity, the values are compared. A peer that
is not installed is named and left out.
"""

import argparse
import os
import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pyarrow as pa
from ratios import add_check, finish

from nilometer.signals import PAPER_FEATURES, profile_batch, ragged_from_batch, token_entropy, token_signals
from nilometer.traces import Trace, trace_batch

RESULT = Path(__file__).parent / "results" / "signals.json"
K, N_RESPONSES, N_PEER, RUNS = 20, 4000, 100, 5
VERSIONS = ("nilometer", "numpy", "pyarrow", "torch", "uqlm", "lm-polygraph")


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
        mean,
        std,
        h.max(),
        *np.quantile(h, [0.1, 0.25, 0.5, 0.75, 0.9]),
        np.mean((h - mean) ** 3) / (std**3 + 1e-8),
        np.mean((h - mean) ** 4) / (std**4 + 1e-8),
        h.sum(),
        nll.mean(),
        nll.max(),
        nll.sum(),
        odd.sum(),
        odd.max(),
        np.exp(nll.mean()),
    )
    return dict(zip(PAPER_FEATURES, map(float, values), strict=True))


def speed(work, n_tokens: int, runs: int = RUNS) -> float:
    """Median tokens per second of CPU time."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return n_tokens / statistics.median(times)


def tensor_entropies():
    """Entropy of each token of an answer from one tensor a token, or None without torch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)

    def entropies(answer: list[dict]) -> list[float]:
        found = []
        for token in answer:
            log_p = torch.tensor([other["logprob"] for other in token["top_logprobs"]])
            found.append((-(log_p.exp() * log_p).sum()).item())
        return found

    return entropies


def polygraph_scores(objects: list[list[dict]]):
    """LM-Polygraph's scores of the same answers, or None if it is not installed."""
    try:
        from lm_polygraph.estimators import MaximumSequenceProbability, MeanTokenEntropy, Perplexity, SelfCertainty
        from lm_polygraph.stat_calculators import EntropyCalculator
    except ImportError:
        return None
    listed = [[np.array([o["logprob"] for o in t["top_logprobs"]]) for t in answer] for answer in objects]
    given = {"greedy_log_probs": listed, "greedy_log_likelihoods": [[t["logprob"] for t in a] for a in objects]}
    scorers = (MeanTokenEntropy(), Perplexity(), MaximumSequenceProbability(), SelfCertainty())

    def scores() -> dict[str, np.ndarray]:
        stats = {**given, **EntropyCalculator()(given)}
        return {str(scorer): np.asarray(scorer(stats)) for scorer in scorers}

    return scores


def uqlm_scores(objects: list[list[dict]]):
    try:
        from uqlm.white_box.top_logprobs import TopLogprobsScorer
    except ImportError:
        return None
    scorer = TopLogprobsScorer(top_k_logprobs=K)
    return lambda: scorer.evaluate(objects)


def agreement(
    table: pa.Table, tables: list[pa.RecordBatch], objects: list[list[dict]], peers: dict
) -> dict[str, float]:
    """Largest absolute differences on the answers that the peers were given."""
    loops = [loop_profile(answer) for answer in objects]
    found = {
        "loop, largest relative difference of 17 statistics": max(
            float(
                np.max(
                    np.abs(table[f].to_numpy()[: len(loops)] - [row[f] for row in loops])
                    / np.maximum(np.abs([row[f] for row in loops]), 1e-2)
                )
            )
            for f in PAPER_FEATURES
        )
    }
    if peers["LM-Polygraph"]:
        theirs = peers["LM-Polygraph"]()
        named = {"MeanTokenEntropy": "mean", "Perplexity": "nll_avg", "MaximumSequenceProbability": "nll_sum"}
        first = {name: table[name].to_numpy()[: len(objects)] for name in (*named.values(), "confidence_mean")}
        mine = {name: first[feature] for name, feature in named.items()}
        mine["SelfCertainty"] = np.log(K) - first["confidence_mean"]
        for name, values in mine.items():
            difference = np.abs(theirs[name] - values) / np.maximum(np.abs(theirs[name]), 1e-2)
            found[f"lm-polygraph {name}, largest relative difference"] = float(difference.max())
    if peers["UQLM"]:
        theirs = peers["UQLM"]()
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
    parser = argparse.ArgumentParser(description=__doc__)
    add_check(parser)
    options = parser.parse_args()
    made = answers(np.random.default_rng(0))
    tables = batches(made)
    objects = as_objects(made[:N_PEER])
    n_tokens, n_peer = sum(len(chosen) for chosen, _ in made), sum(map(len, objects))
    ragged = [ragged_from_batch(batch) for batch in tables]
    peers = {"UQLM": uqlm_scores(objects), "LM-Polygraph": polygraph_scores(objects)}
    tensors = tensor_entropies()
    rates = {
        "entropy, from Arrow": speed(
            lambda: [token_entropy(r.chosen, r.top) for r in map(ragged_from_batch, tables)], n_tokens
        ),
        "all token signals": speed(lambda: [token_signals(r.chosen, r.top) for r in ragged], n_tokens),
        "whole profile, from Arrow": speed(lambda: [profile_batch(batch) for batch in tables], n_tokens),
        "loop over tokens with numpy, entropy": speed(lambda: [loop_entropies(a) for a in objects], n_peer),
        "loop over tokens with numpy, 17 statistics": speed(lambda: [loop_profile(a) for a in objects], n_peer),
    }
    if tensors:
        rates["loop over tokens with torch, as the paper's, entropy"] = speed(lambda: [*map(tensors, objects)], n_peer)
    for name, what in (("UQLM", "TopLogprobsScorer, 3 scores"), ("LM-Polygraph", "entropy and 4 scores")):
        if peers[name]:
            rates[f"{name} {what}"] = speed(peers[name], n_peer, 3)
    profiles = pa.Table.from_batches([profile_batch(batch) for batch in tables])
    others = [name for name in rates if name.startswith(("loop", *peers))]
    ratios = {
        f"{ours} / {name}": round(rates[f"{ours}, from Arrow"] / rates[name], 1)
        for ours in ("entropy", "whole profile")
        for name in others
    }
    result = {
        "tokens_per_cpu_second": {name: round(rate) for name, rate in rates.items()},
        "ratios": ratios,
        "agreement": agreement(profiles, tables, objects, peers),
        "n_tokens": n_tokens,
        "n_tokens_of_peers": n_peer,
        "k": K,
        "runs": RUNS,
        "versions": {name: _version(name) for name in VERSIONS},
        "python": platform.python_version(),
        "n_cpus": os.cpu_count(),
    }
    for name in [name for name, found in {**peers, "torch": tensors}.items() if not found]:
        print(f"{name} is not installed here; the docstring says how it is.")
    finish(result, RESULT, options)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
