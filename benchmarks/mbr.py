"""CPU time of exact MBR over 64 hypotheses, beside mbrs, fastchrf, sacrebleu, rouge-score and unisson.

The peers need an environment of their own: mbrs 0.1.8 holds numpy at 1.26 and imports only with setuptools < 81.

    uv venv /tmp/mbr && uv pip install --python /tmp/mbr/bin/python torch==2.13.0 "setuptools<81" mbrs==0.1.8 \
        fastchrf==0.2.1 sacrebleu==2.6.0 rouge-score==0.1.2 unisson==0.1.1 rapidfuzz==3.14.6 pyarrow==20.0.0 -e .
    OMP_NUM_THREADS=1 /tmp/mbr/bin/python benchmarks/mbr.py            # 64 hypotheses, with peers: results/mbr.json
    OMP_NUM_THREADS=1 python benchmarks/mbr.py --large                 # 10,000 texts of 10,000 characters

Every peer scores the same texts in the same run. CPU seconds count child processes, which mbrs starts by default.
Hypotheses are windows of the licence's text with random edits; about a fifth are repeats, as in real samples.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from ratios import add_check, finish

from nilometer.decisions import mbr, mbr_many, race_mbr

RESULT = Path(__file__).parent / "results" / "mbr.json"
WORDS = (Path(__file__).parents[1] / "LICENSE").read_text(encoding="utf-8").split()
N_ITEMS, N_PEER, N_HYPOTHESES, RUNS, SEED = 100, 4, 64, 5, 0
UTILITIES = ["chrf", "bleu", "rouge1", "rouge2", "rougeL", "token_f1", "wer", "cer", "exact_match"]


def hypotheses(rng: np.random.Generator, n: int, n_words: int = 24) -> list[str]:
    """Samples for one prompt: edits of one passage, some of them equal."""
    start = int(rng.integers(0, len(WORDS) - n_words))
    texts: list[str] = []
    for _ in range(n):
        if texts and rng.random() < 0.19:
            texts.append(texts[int(rng.integers(0, len(texts)))])
            continue
        words = list(WORDS[start : start + n_words])
        for _ in range(int(rng.integers(1, max(2, n_words // 3)))):
            at, new = int(rng.integers(0, len(words))), WORDS[int(rng.integers(0, len(WORDS)))]
            kind = rng.random()
            words[at : at + 1] = [new] if kind < 0.5 else [] if kind < 0.75 else [words[at], new]
        texts.append(" ".join(words))
    return texts


def cpu() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def milliseconds(job: Callable[[list[str]], object], items: list[list[str]], runs: int = RUNS) -> float:
    """Median over runs of CPU milliseconds per item."""
    job(items[0])
    taken = []
    for _ in range(runs):
        start = cpu()
        for item in items:
            job(item)
        taken.append((cpu() - start) / len(items) * 1000)
    return statistics.median(taken)


def peers() -> dict[str, Callable[[list[str]], object]]:
    """Every peer that is installed, as a function of the hypotheses; matrices where it can give them."""
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    chrf, bleu = CHRF(), BLEU(effective_order=True)
    rouge = {kind: RougeScorer([kind]) for kind in ("rouge1", "rougeL")}
    jobs: dict[str, Callable[[list[str]], object]] = {
        "sacrebleu loop, chrF": lambda t: [[chrf.sentence_score(h, [r]).score for r in t] for h in t],
        "sacrebleu loop, BLEU": lambda t: [[bleu.sentence_score(h, [r]).score for r in t] for h in t],
        "rouge-score loop, ROUGE-1": lambda t: [[rouge["rouge1"].score(r, h)["rouge1"].fmeasure for r in t] for h in t],
        "rouge-score loop, ROUGE-L": lambda t: [[rouge["rougeL"].score(r, h)["rougeL"].fmeasure for r in t] for h in t],
        "Counter loop, token F1": counter_f1,
    }
    try:
        import unisson

        jobs["unisson WER"] = lambda t: unisson.mbr_scores(t, metric="wer")
        jobs["unisson CER"] = lambda t: unisson.mbr_scores(t, metric="cer")
    except ImportError:
        print("unisson is not installed here; the docstring says how it is.")
    try:
        import fastchrf

        jobs["fastchrf.pairwise_chrf"] = lambda t: fastchrf.pairwise_chrf([t], [t])[0]
    except ImportError:
        print("fastchrf is not installed here; the docstring says how it is.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mbrs.decoders import DecoderMBR
            from mbrs.metrics import MetricBLEU, MetricChrF
    except ImportError:
        print("mbrs is not installed here; the docstring says how it is.")
        return jobs
    for name, metric in {
        "mbrs chrF, defaults": MetricChrF(MetricChrF.Config()),
        "mbrs chrF, fastchrf=True": MetricChrF(MetricChrF.Config(fastchrf=True)),
        "mbrs BLEU, defaults": MetricBLEU(MetricBLEU.Config()),
    }.items():
        decoder = DecoderMBR(DecoderMBR.Config(), metric)
        jobs[name] = lambda t, decoder=decoder: decoder.decode(t, t).score[0]
    return jobs


def counter_f1(texts: list[str]) -> list[list[float]]:
    bags = [Counter(text.lower().split()) for text in texts]
    return [[2 * sum((a & b).values()) / (sum(a.values()) + sum(b.values())) for b in bags] for a in bags]


def agreement(jobs: dict[str, Callable[[list[str]], object]], item: list[str]) -> dict[str, float]:
    """Largest difference between our expected utilities and each peer's; for mbrs that of the winner."""
    ours = {name: np.array(mbr(item, utility=name).scores) for name in ("chrf", "bleu", "rouge1", "rougeL")}
    pairs = {
        "sacrebleu loop, chrF": "chrf",
        "sacrebleu loop, BLEU": "bleu",
        "fastchrf.pairwise_chrf": "chrf",
        "rouge-score loop, ROUGE-1": "rouge1",
        "rouge-score loop, ROUGE-L": "rougeL",
        "mbrs chrF, defaults": "chrf",
        "mbrs BLEU, defaults": "bleu",
    }
    found = {}
    for peer, name in pairs.items():
        if peer not in jobs:
            continue
        theirs = np.array(jobs[peer](item))
        best = theirs if theirs.ndim == 0 else theirs.mean(axis=1)
        found[peer] = float(np.abs(best - (ours[name].max() if theirs.ndim == 0 else ours[name])).max())
    return found


def scaling(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """CPU milliseconds for one prompt by number of hypotheses."""
    result: dict[str, dict[str, float]] = {}
    for n in (16, 64, 256, 1024):
        items = [hypotheses(rng, n) for _ in range(3)]
        row = {name: round(milliseconds(lambda t, n=name: mbr(t, utility=n), items, 3), 2) for name in UTILITIES}
        result[str(n)] = row
    return result


def large() -> dict[str, float]:
    """Ten thousand texts of ten thousand characters against two pseudo-references: chrF in bounded memory."""
    rng = np.random.default_rng(SEED)
    passage = hypotheses(rng, 1, 1500)[0].split()
    texts = []
    for _ in range(10_000):
        words = list(passage)
        for at in rng.integers(0, len(words), int(rng.integers(10, 600))).tolist():
            words[at] = WORDS[int(rng.integers(0, len(WORDS)))]
        texts.append((" ".join(words) + " " + " ".join(words[:300]))[:10_000])
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, cpu()
    decision = mbr(texts, pseudo_references=texts[:2])
    return {
        "n_texts": len(texts),
        "n_pseudo_references": 2,
        "n_calls": decision.n_calls,
        "mean_characters": round(float(np.mean([len(text) for text in texts])), 1),
        "megabytes_before": round(before / 1024),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "cpu_seconds": round(cpu() - start, 1),
    }


def races(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Share of calls a race saves on these texts, and how often it finds the exact winner."""
    result = {}
    for n in (64, 256, 1024):
        found, share = [], []
        for seed in range(20 if n < 1024 else 5):
            texts = hypotheses(rng, n)
            race = race_mbr(texts, "chrf", rng=np.random.default_rng(seed))
            exact = mbr(texts)
            found.append(exact.scores[race.index] >= exact.expected_utility - 1e-9)
            share.append(race.n_calls / race.n_calls_exact)
        result[str(n)] = {
            "calls_of_exact": round(float(np.mean(share)), 3),
            "exact_winner": float(np.mean(found)),
            "confidence_level": 0.95,
            "n_prompts": len(found),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true")
    add_check(parser)
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    options = parser.parse_args()
    if options.large:
        known["large"] = large() | {"numpy": version("numpy")}
        RESULT.write_text(json.dumps(known, indent=1) + "\n")
        print(json.dumps(known["large"], indent=1))
        return
    rng = np.random.default_rng(SEED)
    items = [hypotheses(rng, N_HYPOTHESES) for _ in range(N_ITEMS)]
    ours = {name: milliseconds(lambda t, n=name: list(mbr_many([t], utility=n)), items) for name in UTILITIES}
    jobs = peers()
    theirs = {name: milliseconds(job, items[:N_PEER], 3) for name, job in jobs.items()}
    against = {
        "chrF": "chrf",
        "fastchrf": "chrf",
        "BLEU": "bleu",
        "ROUGE-1": "rouge1",
        "ROUGE-L": "rougeL",
        "token F1": "token_f1",
        "WER": "wer",
        "CER": "cer",
    }
    ratios = {
        peer: round(spent / ours[next(ours_name for part, ours_name in against.items() if part in peer)], 1)
        for peer, spent in theirs.items()
    }
    result = {
        "cpu_ms_per_prompt": {name: round(value, 2) for name, value in {**ours, **theirs}.items()},
        "times_our_cpu": ratios,
        "largest_difference": agreement(jobs, items[0]),
        "cpu_ms_per_prompt_by_hypotheses": scaling(rng),
        "race": races(rng),
        "n_hypotheses": N_HYPOTHESES,
        "n_prompts": N_ITEMS,
        "n_prompts_of_peers": N_PEER,
        "runs": RUNS,
        "runs_of_peers": 3,
        "seed": SEED,
        "mean_distinct": float(np.mean([len(set(t)) for t in items])),
        "mean_characters": round(float(np.mean([len(t) for item in items for t in item])), 1),
        "mean_words": round(float(np.mean([len(t.split()) for item in items for t in item])), 1),
        "versions": {
            name: _version(name)
            for name in (
                "nilometer",
                "numpy",
                "mbrs",
                "fastchrf",
                "sacrebleu",
                "rouge-score",
                "unisson",
                "rapidfuzz",
                "torch",
            )
        },
        "python": platform.python_version(),
        "n_cpus": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }
    if "large" in known:
        result["large"] = known["large"]
    finish(result, RESULT, options)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
