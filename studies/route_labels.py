"""From how many labels on agreement and labels together choose better than either; results/route_labels.json.

    python studies/route_labels.py [--data FOLDER --embeddings FOLDER]   # see route_data.py

Per data set b prompts are drawn and labelled, for every model. Candidates are the single models and two selections
(nearest to the others, plain and weighted by precision). Each rule names a candidate; its score is that on all other
prompts, averaged over the draws. Rules: agreement alone (no label), labels alone (largest mean), prediction-powered
(labels corrected by agreement), and the combination of `label_qualities`. Intervals are 95 % over draws, that is of the
mean over label samples from this data set. Coverage counts the prediction-powered intervals that hold the mean score of
all prompts.

The priors of the combination were chosen on the recorded corpus, CNN/DailyMail and the WMT sets under n-grams (seed 7);
the RouterBench sets took no part in it.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from route_data import Dataset, datasets

from nilometer.decisions import select_medoid
from nilometer.estimators import Smoothie, label_qualities

RESULT = Path(__file__).parent / "results" / "route_labels.json"
SEED, DRAWS, SIZES = 20261125, 200, (3, 5, 10, 20, 50, 100, 200)


def candidates(data: Dataset) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names, (prompts, candidates) scores and proxies, and the label-free quality."""
    table = data.table
    smoothie = Smoothie().fit(table.embeddings)
    rows, own = np.arange(len(table)), -smoothie.own_errors()
    picks = [select_medoid(table.single).models, select_medoid(table.single, weights=smoothie.weights_).models]
    scores = np.column_stack([table.scores, *(table.scores[rows, pick] for pick in picks)])
    proxies = np.column_stack([own, *(own[rows, pick] for pick in picks)])
    best = float(-smoothie.errors_.min())
    quality = np.array([*(-smoothie.errors_), best, best])
    return [*table.models, "nearest", "nearest, weighted"], scores, proxies, quality


def study(data: Dataset) -> dict:
    names, scores, proxies, quality = candidates(data)
    n, rng = len(scores), np.random.default_rng(SEED)
    alone = int(np.argmax(quality[:-2]))
    result = {
        "source": data.source,
        "score": data.score,
        "n_prompts": n,
        "n_candidates": len(names),
        "scores": {name: round(100 * float(v), 2) for name, v in zip(names, scores.mean(axis=0), strict=True)},
        "agreement_alone": {"chosen": names[alone], "score": round(100 * float(scores[:, alone].mean()), 2)},
        "by_labels": {},
    }
    for b in SIZES:
        if b > n // 3:
            continue
        result["by_labels"][str(b)] = draws(names, (scores, proxies, quality), b, rng)
    result["combined_beats_both_from"] = next(
        (b for b, row in result["by_labels"].items() if _beats(row) and _keeps(result["by_labels"], b)), None
    )
    return result


def _beats(row: dict) -> bool:
    """Not below either rule beyond the noise of the draws, and above one of them beyond it."""
    gaps = [row["combined_minus_labels"], row["combined_minus_agreement"]]
    return all(gap["interval"][1] >= 0 for gap in gaps) and any(gap["interval"][0] > 0 for gap in gaps)


def _keeps(rows: dict, b: str) -> bool:
    return all(row["combined_minus_agreement"]["interval"][1] >= 0 for size, row in rows.items() if int(size) >= int(b))


def draws(names: list[str], arrays: tuple, b: int, rng: np.random.Generator) -> dict:
    scores, proxies, quality = arrays
    n, chosen, covered, gains = len(scores), [], [], []
    for _ in range(DRAWS):
        rows = rng.permutation(n)[:b]
        rest = np.ones(n, dtype=bool)
        rest[rows] = False
        labels = np.where(rest[:, None], np.nan, scores)
        found = label_qualities(proxies, labels, candidates=names, quality=quality)
        after = scores[rest].mean(axis=0)
        means = scores[rows].mean(axis=0)
        tied = np.flatnonzero(means >= means.max() - 1e-12)
        chosen.append(
            [
                after[np.argmax(quality[:-2])],
                after[tied].mean(),
                after[np.argmax(found.accuracy)],
                after[names.index(found.best)],
            ]
        )
        truth = scores.mean(axis=0)
        covered.append((found.low <= truth) & (truth <= found.high))
        gains.append(found.n_effective / b)
    values = 100 * np.array(chosen)
    rules = ("agreement", "labels", "prediction_powered", "combined")
    return {
        **{name: _mean(values[:, i]) for i, name in enumerate(rules)},
        "combined_minus_labels": _mean(values[:, 3] - values[:, 1]),
        "combined_minus_agreement": _mean(values[:, 3] - values[:, 0]),
        "coverage_of_95": round(float(np.mean(covered)), 3),
        "effective_over_given_labels": round(float(np.mean(gains)), 2),
    }


def _mean(values: np.ndarray) -> dict:
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    mean = float(values.mean())
    return {"score": round(mean, 2), "interval": [round(mean - half, 2), round(mean + half, 2)]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--embeddings", type=Path)
    options = parser.parse_args()
    found, missing = datasets(options.data, options.embeddings)
    result = {
        "data": {data.name: study(data) for data in found},
        "missing": missing,
        "seed": SEED,
        "draws": DRAWS,
        "versions": {name: version(name) for name in ("nilometer", "numpy")},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, one in result["data"].items():
        print(name, one["agreement_alone"], "from", one["combined_beats_both_from"])
        for b, row in one["by_labels"].items():
            print(
                f"  {b:>4}", {key: value["score"] if isinstance(value, dict) else value for key, value in row.items()}
            )


if __name__ == "__main__":
    main()
