"""Self-consistency and its weighted forms against greedy on recorded tasks; results/decide_reasoning.json.

    python studies/decide_reasoning.py [--fresh NAME=GREEDY.parquet,SAMPLES_FOLDER ...]

The shipped recordings `specialist` (greedy) and `specialist_samples` (four draws at temperature 1 for the first 25
prompts of each of 72 slices) answer the same prompts. Answers of different words that end in the same number, word or
sequence are one class. What is learned (how a mean log-probability maps to being right) is learned on six tasks and
used on the other six, then the other way round. Intervals: paired bootstrap over prompts, 95 %, 2,000 resamples; and
over whole tasks, which is the honest unit for other tasks. `--fresh` adds recordings with more draws
(`nilometer record --samples 16`).
"""

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from nilometer.decisions import decide
from nilometer.estimators import Calibrator, Posterior
from nilometer.models import TASKS
from nilometer.signals import read_answer
from nilometer.traces import corpus_path, expand_paths, read_traces

STRATEGIES = (
    "greedy",
    "one draw",
    "mode of the draws",
    "mode with greedy as one more vote",
    "different texts by probability",
    "votes by calibrated confidence",
    "odds of calibrated confidence",
)
RESULT = Path(__file__).parent / "results" / "decide_reasoning.json"
COLUMNS = ["prompt_id", "answer", "correct", "chosen_logprobs", "attributes"]


def rows_of(paths) -> dict[str, list[dict]]:
    table = read_traces(paths).read_all().select(COLUMNS)
    found: dict[str, list[dict]] = {}
    for row in table.to_pylist():
        task = dict(row["attributes"])["domain"]
        logs = np.array(row["chosen_logprobs"] or [0.0])
        own = {
            "task": task,
            "class": read_answer(row["answer"], TASKS[task].kind),
            "correct": float(row["correct"] or 0),
        }
        found.setdefault(row["prompt_id"], []).append(
            {**own, "text": row["answer"], "sum": float(logs.sum()), "mean": float(logs.mean())}
        )
    return found


def crossed_confidence(prompts: list[str], draws: dict[str, list[dict]]) -> dict[str, list[float]]:
    """P(right) of each draw from its mean log-probability, learned on the other half of the tasks."""
    tasks = sorted({draws[p][0]["task"] for p in prompts})
    half = {task: i % 2 for i, task in enumerate(tasks)}
    found = {}
    for side in (0, 1):
        known = [d for p in prompts if half[draws[p][0]["task"]] != side for d in draws[p]]
        curve = IsotonicRegression(y_min=0.01, y_max=0.99, out_of_bounds="clip")
        curve.fit([d["mean"] for d in known], [d["correct"] for d in known])
        for p in prompts:
            if half[draws[p][0]["task"]] == side:
                found[p] = curve.predict([d["mean"] for d in draws[p]]).tolist()
    return found


def vote(draws: list[dict], weights) -> str:
    totals: dict[str, float] = {}
    for draw, weight in zip(draws, weights, strict=True):
        totals[draw["class"]] = totals.get(draw["class"], 0.0) + weight
    return max(sorted(totals), key=lambda key: totals[key])


def strategies(prompts, greedy, draws) -> dict[str, list[str]]:
    confidence = crossed_confidence(prompts, draws)
    found: dict[str, list[str]] = {name: [] for name in STRATEGIES}
    for p in prompts:
        own = draws[p]
        texts = [d["text"] or "" for d in own]
        classes = {text: d["class"] for text, d in zip(texts, own, strict=True)}
        weighted = Posterior.from_samples(texts, classes.__getitem__, logprobs=[min(d["sum"], 0.0) for d in own])
        odds = [np.log(c / (1 - c)) + 5 for c in confidence[p]]
        rows = (
            greedy[p][0]["class"],
            own[0]["class"],
            decide(Posterior.from_samples([d["class"] for d in own]), "zero_one").value,
            vote([*own, greedy[p][0]], [1] * (len(own) + 1)),
            decide(weighted, "zero_one").value,
            vote(own, confidence[p]),
            vote(own, odds),
        )
        for name, row in zip(found, rows, strict=True):
            found[name].append(row)
    return found


def study(greedy: dict[str, list[dict]], draws: dict[str, list[dict]]) -> dict:
    prompts = [p for p in draws if p in greedy]
    right = {p: {d["class"] for d in [*draws[p], *greedy[p]] if d["correct"] == 1} for p in prompts}
    found = strategies(prompts, greedy, draws)
    tasks = np.array([draws[p][0]["task"] for p in prompts])
    scores = {
        name: np.array([a in right[p] for p, a in zip(prompts, row, strict=True)], float) for name, row in found.items()
    }
    return {
        "n_prompts": len(prompts),
        "n_draws": int(np.median([len(draws[p]) for p in prompts])),
        "upper_limit_any_draw_right": round(any_right(prompts, draws), 4),
        "accuracy": compared(scores, tasks),
        "by_task": by_task(scores, tasks),
        "confidence": trust(prompts, draws, scores["mode of the draws"], tasks),
        "samples": by_draws(prompts, draws, right) if len(draws[prompts[0]]) > 4 else None,
    }


def any_right(prompts, draws) -> float:
    return float(np.mean([any(draw["correct"] == 1 for draw in draws[p]) for p in prompts]))


def compared(scores: dict[str, np.ndarray], tasks: np.ndarray) -> dict:
    rng = np.random.default_rng(0)
    n, base = len(tasks), scores["greedy"]
    picks = rng.integers(0, n, (2000, n))
    names = np.unique(tasks)
    rows = {name: np.flatnonzero(tasks == name) for name in names}
    whole = [np.concatenate([rows[name] for name in rng.choice(names, len(names))]) for _ in range(2000)]
    found = {}
    for name, own in scores.items():
        gains = own - base
        over_prompts = np.quantile(gains[picks].mean(axis=1), [0.025, 0.975])
        over_tasks = np.quantile([gains[pick].mean() for pick in whole], [0.025, 0.975])
        found[name] = {
            "accuracy": round(float(own.mean()), 4),
            "gain": round(float(gains.mean()), 4),
            "interval_over_prompts": over_prompts.round(4).tolist(),
            "interval_over_tasks": over_tasks.round(4).tolist(),
        }
    return found


def by_task(scores: dict[str, np.ndarray], tasks: np.ndarray) -> dict:
    names = ("greedy", "one draw", "mode of the draws", "votes by calibrated confidence")
    return {
        str(t): {name: round(float(scores[name][tasks == t].mean()), 3) for name in names} for t in np.unique(tasks)
    }


def trust(prompts, draws, right: np.ndarray, tasks: np.ndarray) -> dict:
    """Does the share of the mode say how often it is right, as it is and calibrated on the other half of the tasks?"""
    share = np.array(
        [np.unique([d["class"] for d in draws[p]], return_counts=True)[1].max() / len(draws[p]) for p in prompts]
    )
    half = np.array([sorted(set(tasks)).index(t) % 2 for t in tasks])
    calibrated = np.empty(len(share))
    for side in (0, 1):
        said = [Posterior(values=("right", "wrong"), weights=np.array([s, 1 - s + 1e-9])) for s in share]
        truth = ["right" if r else "wrong" for r in right]
        fit, use = np.flatnonzero(half != side), np.flatnonzero(half == side)
        model = Calibrator("isotonic").fit([said[i] for i in fit], [truth[i] for i in fit])
        for i, one in zip(use, model.transform([said[i] for i in use]), strict=True):
            calibrated[i] = dict(zip(one.values, one.weights, strict=True))["right"]
    return {
        "expected_accuracy_by_share": round(float(share.mean()), 4),
        "expected_accuracy_calibrated_on_other_tasks": round(float(calibrated.mean()), 4),
        "realised_accuracy": round(float(right.mean()), 4),
        "brier_by_share": round(float(np.mean((share - right) ** 2)), 4),
        "brier_calibrated": round(float(np.mean((calibrated - right) ** 2)), 4),
        "brier_of_the_base_rate": round(float(right.mean() * (1 - right.mean())), 4),
        "auroc_of_the_share": round(float(roc_auc_score(right, share)), 4),
    }


def by_draws(prompts, draws, right) -> dict:
    """Accuracy of the mode of the first k draws in random orders."""
    rng = np.random.default_rng(3)
    found = {}
    for k in (1, 2, 4, 8, len(draws[prompts[0]])):
        runs = []
        for _ in range(10):
            hits = []
            for p in prompts:
                few = [draws[p][i] for i in rng.permutation(len(draws[p]))[:k]]
                hits.append(vote(few, [1] * len(few)) in right[p])
            runs.append(np.mean(hits))
        found[str(k)] = [round(float(np.mean(runs)), 4), round(float(np.std(runs)), 4)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="append", default=[], metavar="NAME=GREEDY,FOLDER")
    models = {"specialist": study(rows_of(corpus_path("specialist")), rows_of(corpus_path("specialist_samples")))}
    for given in parser.parse_args().fresh:
        name, files = given.split("=")
        greedy, folder = files.split(",")
        models[name] = study(rows_of(greedy), rows_of(expand_paths(folder)))
    result = {
        "gain": "accuracy less that of greedy on the same prompts",
        "resamples": 2000,
        "seed": 0,
        "models": models,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "pyarrow": pa.__version__,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(models, indent=1)[:6000])


if __name__ == "__main__":
    main()
