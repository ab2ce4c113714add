"""Does attention help a token's confidence, or the accuracy of a slice, beyond the output distribution?

    python studies/attention_confidence.py --recordings FOLDER [FOLDER ...]

Reads the chains that `studies/attention_record.py` wrote.

1. Token confidence: every task is left out once, `TokenConfidence` is fitted on the others and judged on the tokens
   of the task left out (truth: the only right text). Log-probability alone against all output features, attention
   alone, and both. AUROC is of right over wrong tokens within tasks; intervals and differences are bootstraps over
   tasks (2,000 draws), paired.
2. Slice accuracy: each task is left out, a logistic regression on response features of the others estimates the
   accuracy of its slices as a mean probability; absolute errors against the realised accuracy, paired over tasks.

Results: studies/results/attention_confidence.json.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nilometer.estimators import TokenConfidence
from nilometer.signals import (
    ATTENTION_FEATURE_NAMES,
    TOKEN_ATTENTION_NAMES,
    TOKEN_OUTPUT_NAMES,
    attention_from_batch,
    profile_traces,
    ragged_from_batch,
    token_features,
    token_truth,
)
from nilometer.traces import read_traces

RESULT = Path(__file__).parent / "results" / "attention_confidence.json"
SEED, DRAWS, BINS = 20261125, 2000, 10
NAMES = TOKEN_OUTPUT_NAMES + TOKEN_ATTENTION_NAMES
SETS = {
    "log-probability": ("nll",),
    "output": TOKEN_OUTPUT_NAMES,
    "attention": TOKEN_ATTENTION_NAMES,
    "output and attention": NAMES,
}
OUTPUT_FEATURES = ("max", "se_sum", "nll_sum", "mean", "margin_min", "prob_min", "log_length")


def tokens(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, truth, task = [], [], []
    for batch in read_traces(folder, keep=["attention"]):
        attributes = batch.column("attributes").to_pylist()
        for row, statistics in enumerate(attention_from_batch(batch)):
            own = ragged_from_batch(batch.slice(row, 1))
            features.append(token_features(own.chosen, own.top, attention=statistics))
            known = dict(attributes[row])
            truth.append(token_truth(batch.column("tokens")[row].as_py(), known["worked"]))
            task += [known["domain"]] * len(own.chosen)
    truth, features, task = np.concatenate(truth), np.concatenate(features), np.array(task)
    known = ~np.isnan(truth)
    return features[known], truth[known] >= 0.5, task[known]


def left_out(features, right, task) -> dict[str, np.ndarray]:
    found = {name: np.empty(len(right)) for name in SETS}
    for own in np.unique(task):
        out = task == own
        for name, names in SETS.items():
            columns = [NAMES.index(n) for n in names]
            model = TokenConfidence(names=names).fit(features[~out][:, columns], right[~out], task[~out])
            found[name][out] = model.predict_proba(features[out][:, columns])[:, 1]
    return found


def judged(p: np.ndarray, right: np.ndarray) -> dict[str, float]:
    edges = np.clip((p * BINS).astype(int), 0, BINS - 1)
    ece = sum(abs(p[edges == b].mean() - right[edges == b].mean()) * (edges == b).mean() for b in np.unique(edges))
    q = np.clip(p, 1e-6, 1 - 1e-6)
    both = 0 < right.sum() < len(right)
    return {
        "auroc": float(roc_auc_score(right, p)) if both else float("nan"),
        "brier": float(((p - right) ** 2).mean()),
        "log_loss": float(-(np.log(q) * right + np.log(1 - q) * ~right).mean()),
        "ece": float(ece),
    }


def over_tasks(values: dict[str, list[float]]) -> dict:
    """Means over tasks with intervals, and paired differences from the first entry."""
    rng = np.random.default_rng(SEED)
    table = {name: np.array(column) for name, column in values.items()}
    n = len(next(iter(table.values())))
    draws = rng.integers(0, n, (DRAWS, n))
    first = next(iter(table))

    def summary(x):
        means = np.nanmean(x[draws], axis=1)
        return {
            "mean": round(float(np.nanmean(x)), 4),
            "low": round(float(np.quantile(means, 0.025)), 4),
            "high": round(float(np.quantile(means, 0.975)), 4),
        }

    return {
        name: summary(x) | ({} if name == first else {f"minus {first}": summary(x - table[first])})
        for name, x in table.items()
    }


def token_study(folder: Path) -> dict:
    features, right, task = tokens(folder)
    found = left_out(features, right, task)
    result: dict = {"n_tokens": len(right), "n_wrong": int((~right).sum()), "tasks": np.unique(task).tolist()}
    scores = {name: [judged(p[task == t], right[task == t]) for t in np.unique(task)] for name, p in found.items()}
    for measure in ("auroc", "brier", "log_loss", "ece"):
        result[measure] = over_tasks({name: [row[measure] for row in rows] for name, rows in scores.items()})
    result["pooled"] = {name: {k: round(v, 4) for k, v in judged(p, right).items()} for name, p in found.items()}
    order = np.argsort(found["output and attention"])
    parts = np.array_split(order, BINS)
    result["reliability"] = [
        [round(float(found["output and attention"][rows].mean()), 3), round(float(right[rows].mean()), 3), len(rows)]
        for rows in parts
    ]
    return result


def slice_study(folder: Path) -> dict:
    table = profile_traces(read_traces(folder, keep=["attention"]))
    attributes = [dict(a) for a in table["attributes"].to_pylist()]
    task = np.array([a["domain"] for a in attributes])
    slices = np.array([f"{a['domain']}-{a['level']}" for a in attributes])
    correct = table["correct"].to_numpy().astype(float) >= 0.5
    sets = {
        "output": OUTPUT_FEATURES,
        "attention": ATTENTION_FEATURE_NAMES,
        "output and attention": OUTPUT_FEATURES + ATTENTION_FEATURE_NAMES,
    }
    errors: dict[str, list[float]] = {"output": [], "constant": [], "attention": [], "output and attention": []}
    for own in np.unique(task):
        out = task == own
        estimated = {"constant": np.full(out.sum(), correct[~out].mean())}
        for name, names in sets.items():
            X = np.nan_to_num(np.stack([table[n].to_numpy().astype(float) for n in names], axis=1))
            line = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=3000)).fit(X[~out], correct[~out])
            estimated[name] = line.predict_proba(X[out])[:, 1]
        for name, p in estimated.items():
            gaps = [abs(p[slices[out] == s].mean() - correct[slices == s].mean()) for s in np.unique(slices[out])]
            errors[name].append(float(np.mean(gaps)))
    return {
        "n_responses": len(correct),
        "n_slices": len(np.unique(slices)),
        "accuracy": round(float(correct.mean()), 3),
        "absolute_error": over_tasks(errors),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", required=True, nargs="+", type=Path)
    options = parser.parse_args()
    result = {"seed": SEED, "bootstraps": DRAWS, "scikit-learn": version("scikit-learn"), "models": {}}
    for folder in options.recordings:
        if any((folder / "chains").glob("*.parquet")):
            result["models"][folder.name] = {
                "tokens": token_study(folder / "chains"),
                "slices": slice_study(folder / "chains"),
            }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
