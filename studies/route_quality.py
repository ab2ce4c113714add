"""How good label-free routing is on recorded and public answers, beside the baselines; results/route_quality.json.

    python studies/route_quality.py [--data FOLDER --embeddings FOLDER]   # see route_data.py

Each data set is cut in halves by a seed. Whatever is fitted (Smoothie, labels, neighbours) sees one half; every
number is on the other, with 95 % bootstrap intervals over its prompts. Selections ask all models and look at the
judged prompts' own answers, without labels. Labelled baselines are means over 50 draws of their labels.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from route_data import Dataset, datasets
from scipy.stats import spearmanr

from nilometer.decisions import AnswerTable, select_medoid, select_text
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import Smoothie, find_families

RESULT = Path(__file__).parent / "results" / "route_quality.json"
SEED, BOOTSTRAPS, RANKINGS, DRAWS = 20261125, 1000, 300, 50


def halves(table: AnswerTable) -> tuple[AnswerTable, AnswerTable]:
    first = np.random.default_rng(SEED).permutation(len(table)) < len(table) // 2
    return table.rows(first), table.rows(~first)


def knn(fitted: AnswerTable, judged: AnswerTable, labelled: np.ndarray, k: int) -> np.ndarray:
    """Labelled kNN as it should be: each prompt goes to the model that is best on its k nearest labelled prompts."""
    own = fitted.prompts[labelled].astype(np.float64)
    asked = judged.prompts.astype(np.float64)
    distance = (asked**2).sum(1)[:, None] + (own**2).sum(1) - 2 * asked @ own.T
    near = np.argsort(distance, axis=1)[:, :k]
    means = fitted.scores[labelled][near].mean(axis=1)
    overall = fitted.scores[labelled].mean(axis=0)
    return np.argmax(means + 1e-6 * overall, axis=1)


def policies(data: Dataset, fitted: AnswerTable, judged: AnswerTable) -> dict[str, np.ndarray]:
    """Score of each judged prompt under each policy."""
    n, scores = len(judged), judged.scores
    rows = np.arange(n)
    smoothie = Smoothie().fit(fitted.embeddings)
    found = {
        "random": scores.mean(axis=1),
        "best single (by the judged labels)": scores[:, scores.mean(axis=0).argmax()],
        "oracle": scores.max(axis=1),
        "Smoothie, global, one call": scores[:, smoothie.best_],
        "nearest to the others (Local, k = 1)": scores[rows, select_medoid(judged.single).models],
        "nearest, weighted by precision": scores[rows, select_medoid(judged.single, weights=smoothie.weights_).models],
    }
    for k in (20, 100):
        local = Smoothie(k).fit(fitted.embeddings, prompts=fitted.prompts)
        found[f"Smoothie, k = {k}, one call"] = scores[rows, local.predict(judged.prompts)]
    if data.answers is None and "WMT" in data.name and "ngrams" in data.name:
        texts = data_texts(data, judged)
        found["chrF against the others"] = scores[rows, select_text(texts).models]
    try:
        pairs = [(i, j) for i, j in masked_pairs(fitted)]
        if pairs:
            masked = Smoothie(exclude_pairs=pairs).fit(fitted.embeddings)
            found["Smoothie, global, families masked"] = scores[:, masked.best_]
    except NotEnoughDataError:
        pass
    rng = np.random.default_rng(SEED)
    for b in (10, 50):
        drawn = [rng.choice(len(fitted), b, replace=False) for _ in range(DRAWS)]
        values = [scores[:, best(fitted.scores[d])].mean(axis=1) for d in drawn]
        found[f"best on {b} labels"] = np.mean(values, axis=0)
    drawn = [rng.choice(len(fitted), min(250, len(fitted)), replace=False) for _ in range(10)]
    found["labelled kNN, 250 labels, k = 20"] = np.mean(
        [scores[rows, knn(fitted, judged, d, 20)] for d in drawn], axis=0
    )
    return found


def best(labels: np.ndarray) -> np.ndarray:
    """The models with the largest mean; equal ones are drawn by chance, so all count."""
    means = labels.mean(axis=0)
    return np.flatnonzero(means >= means.max() - 1e-12)


def data_texts(data: Dataset, judged: AnswerTable) -> list[list[str]]:
    keep = np.random.default_rng(SEED).permutation(len(data.table)) >= len(data.table) // 2
    return [row for row, here in zip(data.texts, keep, strict=True) if here]


def masked_pairs(table: AnswerTable) -> list[tuple[int, int]]:
    check = find_families(table.single, models=table.models)
    number = {name: i for i, name in enumerate(table.models)}
    return [
        (number[a], number[b]) for family in check.families for a in family for b in family if number[a] < number[b]
    ]


def summary(values: np.ndarray, baseline: np.ndarray, rng: np.random.Generator) -> dict:
    drawn = rng.integers(0, len(values), (BOOTSTRAPS, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    gap = values - baseline
    gap_low, gap_high = np.quantile(gap[drawn].mean(axis=1), [0.025, 0.975])
    return {
        "score": round(100 * float(values.mean()), 2),
        "interval": [round(100 * float(low), 2), round(100 * float(high), 2)],
        "minus_best_single": round(100 * float(gap.mean()), 2),
        "minus_best_single_interval": [round(100 * float(gap_low), 2), round(100 * float(gap_high), 2)],
    }


def ranking(table: AnswerTable, rng: np.random.Generator) -> dict:
    """Spearman correlation of estimated and true quality over the models, bootstrapped over prompts."""
    own = Smoothie().fit(table.embeddings)
    truth, values = table.scores, []
    for _ in range(RANKINGS):
        d = rng.integers(0, len(table), len(table))
        errors = Smoothie().fit_sums(own.sums_[d], own.present_[d]).errors_
        values.append(spearmanr(-errors, truth[d].mean(axis=0)).statistic)
    test = own.qualities_.best_test()
    return {
        "spearman": round(float(spearmanr(-own.errors_, truth.mean(axis=0)).statistic), 3),
        "interval": [round(float(v), 3) for v in np.nanquantile(values, [0.025, 0.975])],
        "estimated_best": table.models[own.best_],
        "true_best": table.models[int(truth.mean(axis=0).argmax())],
        "separated_from_next": bool(test.is_separated),
        "families": [list(f) for f in find_families(table.single, models=table.models).families],
        "models": {
            name: {"error": round(float(own.errors_[j]), 4), "score": round(100 * float(truth[:, j].mean()), 2)}
            for j, name in enumerate(table.models)
        },
    }


def study(data: Dataset) -> dict:
    fitted, judged = halves(data.table)
    rng = np.random.default_rng(SEED)
    found = policies(data, fitted, judged)
    baseline = found["best single (by the judged labels)"]
    return {
        "source": data.source,
        "score": data.score,
        "n_fitted": len(fitted),
        "n_judged": len(judged),
        "n_models": len(data.table.models),
        "ranking_on_all_prompts": ranking(data.table, rng),
        "policies": {name: summary(values, baseline, rng) for name, values in found.items()},
    }


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
        "bootstraps": BOOTSTRAPS,
        "bootstraps_of_rankings": RANKINGS,
        "label_draws": DRAWS,
        "versions": {name: version(name) for name in ("nilometer", "numpy", "scipy")},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, one in result["data"].items():
        print(name, one["ranking_on_all_prompts"]["spearman"], one["ranking_on_all_prompts"]["interval"])
        for policy, values in one["policies"].items():
            print(f"  {policy:45s} {values['score']:6.2f} {values['interval']} {values['minus_best_single_interval']}")


if __name__ == "__main__":
    main()
