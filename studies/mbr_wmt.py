"""MBR over 13 translation systems, judged by professional translators; writes results/mbr_wmt.json.

    git clone https://github.com/google/wmt-mqm-human-evaluation   # Apache-2.0, not part of this repository
    python studies/mbr_wmt.py wmt-mqm-human-evaluation

For every segment of the WMT21 TED talks the 13 system outputs are the hypotheses, alike in weight, and their own
pseudo-references. What counts is the MQM error of the chosen output: the smaller the better. Weights of MQM as in
Freitag et al. (2021), arXiv:2104.14478: major 5, non-translation 25, minor 1, minor punctuation 0.1.

No utility is chosen here: all are shown on all segments. Where several outputs are equal or tie for the best, their
mean error counts, so that the order of the systems decides nothing. The best system is chosen on one half of the blocks
of ten neighbouring segments and judged on the other, both ways. Intervals: 95 %, percentiles of a paired bootstrap over
those blocks (there are five talks, too few to draw from).
"""

import argparse
import json
import re
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nilometer.decisions import TEXT_UTILITIES, mbr

RESULT = Path(__file__).parent / "results" / "mbr_wmt.json"
UTILITIES = list(TEXT_UTILITIES)
N_BOOTSTRAP, BLOCK, SEED = 10_000, 10, 0
MARK = re.compile(r"</?v>")


def penalty(category: str, severity: str) -> float:
    severity, category = severity.lower(), category.lower()
    if severity == "major":
        return 25.0 if category.startswith("non-translation") else 5.0
    if severity == "minor":
        return 0.1 if category == "fluency/punctuation" else 1.0
    return 0.0


def read(path: Path) -> tuple[list[str], list[str], list[list[str]], np.ndarray]:
    """Systems, talk of each segment, outputs (segments x systems) and MQM errors (segments x systems)."""
    errors: dict[tuple[str, tuple[str, int]], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    texts: dict[tuple[str, tuple[str, int]], str] = {}
    for line in path.read_text(encoding="utf-8").split("\n")[1:]:
        if not line:
            continue
        system, talk, _, segment, rater, _, target, category, severity = line.split("\t")[:9]
        if system.startswith("ref"):
            continue
        key = (system, (talk, int(segment)))
        errors[key][rater] += penalty(category, severity)
        texts[key] = MARK.sub("", target)
    systems = sorted({system for system, _ in texts})
    segments = sorted({segment for _, segment in texts})
    complete = [s for s in segments if all((system, s) in texts for system in systems)]
    scores = np.array([[np.mean(list(errors[system, s].values())) for system in systems] for s in complete])
    return systems, [talk for talk, _ in complete], [[texts[system, s] for system in systems] for s in complete], scores


def error_of_choice(outputs: list[str], scores: np.ndarray, utility: str) -> float:
    ranking = mbr(outputs, utility=utility).ranking
    tied = {r.text for r in ranking if r.expected_utility >= ranking[0].expected_utility - 1e-9}
    by_text = [scores[[text == winner for text in outputs]].mean() for winner in tied]
    return float(np.mean(by_text))


def interval(values: np.ndarray, blocks: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Mean with a bootstrap interval over whole blocks."""
    names, number = np.unique(blocks, return_inverse=True)
    sums, counts = np.bincount(number, values), np.bincount(number)
    drawn = rng.integers(0, len(names), (N_BOOTSTRAP, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": round(float(values.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def study(path: Path, rng: np.random.Generator) -> dict[str, object]:
    systems, talk_names, outputs, scores = read(path)
    talks = np.unique(talk_names, return_inverse=True)[1]
    place = np.arange(len(talks)) - np.searchsorted(talks, talks)
    blocks = np.unique(np.stack((talks, place // BLOCK), axis=1), axis=0, return_inverse=True)[1].ravel()
    random_pick = scores.mean(axis=1)
    half = blocks % 2
    best = np.empty(len(scores))
    chosen_systems = []
    for part in (0, 1):
        system = int(scores[half != part].mean(axis=0).argmin())
        chosen_systems.append(systems[system])
        best[half == part] = scores[half == part, system]
    chosen = {
        name: np.array([error_of_choice(texts, row, name) for texts, row in zip(outputs, scores, strict=True)])
        for name in UTILITIES
    }
    return {
        "n_segments": len(scores),
        "n_talks": int(talks.max()) + 1,
        "n_blocks": len(np.unique(blocks)),
        "n_systems": len(systems),
        "mean_distinct": round(float(np.mean([len(set(texts)) for texts in outputs])), 2),
        "mqm_error": {
            "random system": interval(random_pick, blocks, rng),
            "best system of the other half": interval(best, blocks, rng) | {"systems": chosen_systems},
            "best output of each segment (oracle)": interval(scores.min(axis=1), blocks, rng),
            **{f"mbr {name}": interval(values, blocks, rng) for name, values in chosen.items()},
        },
        "error_saved_against_random": {
            name: interval(random_pick - values, blocks, rng) for name, values in chosen.items()
        },
        "error_saved_against_best_system": {
            name: interval(best - values, blocks, rng) for name, values in chosen.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    rng = np.random.default_rng(SEED)
    result = {pair: study(folder / "ted" / pair / f"mqm_ted_{pair}.tsv", rng) for pair in ("ende", "zhen")} | {
        "source": "google/wmt-mqm-human-evaluation, ted/, Apache-2.0",
        "n_bootstrap": N_BOOTSTRAP,
        "seed": SEED,
        "confidence_level": 0.95,
        "versions": {name: version(name) for name in ("nilometer", "numpy", "rapidfuzz")},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
