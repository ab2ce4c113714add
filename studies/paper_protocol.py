"""The protocol of the Entropy Sentinel paper on the recorded corpus: every composition of 1 to 4 labelled tasks.

    python studies/paper_protocol.py [--corpus specialist] [--searches 15] [--processes 2]

Estimators learn on all slices (task and level) of the labelled tasks and estimate every slice: those of other
tasks are out of domain, those of the labelled tasks in domain (counted separately, on the same responses).
The paper's classifiers run with their grid search on a seeded sample of `--searches` compositions of each size (0
keeps what the result file has of them). The logistic regression also runs on all compositions, with the
hyper-parameter that its search chose most often on the first three of each size; the forest is thirty times dearer.
Calibration, class balance and features are the paper's in both.
Errors are means over slices, then the median over compositions, as the paper reports; intervals are bootstraps over
the tasks that are estimated. Also asks how averaged confidence shrinks: the slope of logit realised on logit
estimated. Results: studies/results/paper_protocol.json.
"""

import argparse
import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from nilometer.estimators import fit_threshold, thresholded_accuracy
from nilometer.estimators.accuracy.rules.classifier import FEATURE_SETS, Recipe, fit_classifier
from nilometer.estimators.residuals import logit
from nilometer.signals import FEATURE_NAMES, profile_traces
from nilometer.traces import corpus_path, read_traces, slice_names

RESULT = Path(__file__).parent / "results" / "paper_protocol.json"
SIZES, SEED, BOOTSTRAPS, CHOICE = (1, 2, 3, 4), 20261124, 2000, 3


class Corpus:
    """Profiles, labels and slices of one recording."""

    def __init__(self, name: str) -> None:
        table = profile_traces(read_traces(corpus_path(name)))
        self.features = {f: np.nan_to_num(table[f].to_numpy().astype(float)) for f in FEATURE_NAMES}
        self.correct = table["correct"].to_numpy().astype(float)
        self.task = np.asarray(slice_names(table, ["domain"]).to_pylist())
        names = np.asarray(slice_names(table, ["domain", "level"]).to_pylist())
        self.slices, self.place = np.unique(names, return_inverse=True)
        self.slice_task = np.array([self.task[self.place == i][0] for i in range(len(self.slices))])
        self.realized = self.by_slice(self.correct)
        self.n = np.bincount(self.place)
        self.tasks = sorted(set(self.task.tolist()))

    def by_slice(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.place, values) / np.bincount(self.place)

    def matrix(self, size: int) -> np.ndarray:
        return np.stack([self.features[name] for name in FEATURE_SETS[size]], axis=1)


def atc(feature: str):
    def estimate(corpus: Corpus, own: np.ndarray) -> np.ndarray:
        score = corpus.features[feature]
        rule = fit_threshold(score[own], corpus.correct[own])
        return np.array([thresholded_accuracy(score[corpus.place == i], rule) for i in range(len(corpus.slices))])

    return estimate


class Averaged:
    """Mean probability of one of the paper's classifiers; keeps what each grid search chose."""

    def __init__(self, size: int, recipe: Recipe, chosen: dict | None = None) -> None:
        self.size, self.recipe, self.chosen, self.found = size, recipe, chosen, Counter()

    def __call__(self, corpus: Corpus, own: np.ndarray) -> np.ndarray:
        X, y = corpus.matrix(self.size), (corpus.correct >= 0.5).astype(int)
        model = fit_classifier(X[own], y[own], self.recipe, chosen=self.chosen)
        self.found[json.dumps(model.chosen_)] += 1
        return corpus.by_slice(model.predict_proba(X)[:, 1])

    def fixed(self) -> "Averaged":
        """Return the same classifier with the choice that the searches made most often."""
        return Averaged(self.size, self.recipe, json.loads(self.found.most_common(1)[0][0]))


def constant(corpus: Corpus, own: np.ndarray) -> np.ndarray:
    return np.full(len(corpus.slices), corpus.correct[own].mean())


QUICK = {
    "constant": constant,
    "atc[max]": atc("max"),
    "atc[se_sum]": atc("se_sum"),
    "atc[nll_sum]": atc("nll_sum"),
}
SLOW = {
    "paper: forest, 10 features, balanced": Averaged(10, Recipe("forest", balanced=True, calibrated=True)),
    "paper: logistic, 17 features": Averaged(17, Recipe("logistic", balanced=False, calibrated=True)),
}


def compositions(corpus: Corpus, per_size: int | None = None) -> list[tuple[str, ...]]:
    rng, found = np.random.default_rng(SEED), []
    for size in SIZES:
        every = list(combinations(corpus.tasks, size))
        picked = range(len(every)) if per_size is None else rng.permutation(len(every))[:per_size]
        found += [every[i] for i in picked]
    return found


def run_parallel(corpus: Corpus, rules: dict, chosen: list[tuple[str, ...]], processes: int) -> dict[str, np.ndarray]:
    parts = np.array_split(np.arange(len(chosen)), max(8 * processes, 1))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(run, corpus, rules, [chosen[i] for i in part]) for part in parts]
        done = [future.result() for future in waiting]
    return {name: np.concatenate([part[name] for part in done]) for name in rules}


def run(corpus: Corpus, rules: dict, chosen: list[tuple[str, ...]]) -> dict[str, np.ndarray]:
    """Return estimates of shape (compositions, slices) per rule; NaN where labels of one kind allow no fit."""
    found = {name: np.full((len(chosen), len(corpus.slices)), np.nan) for name in rules}
    for i, tasks in enumerate(chosen):
        own = np.isin(corpus.task, tasks)
        if corpus.correct[own].min() == corpus.correct[own].max():
            continue
        for name, rule in rules.items():
            found[name][i] = rule(corpus, own)
    return found


def summary(corpus: Corpus, estimates: np.ndarray, chosen: list[tuple[str, ...]]) -> dict:
    inside = np.array([np.isin(corpus.slice_task, tasks) for tasks in chosen])
    error = np.abs(estimates - corpus.realized)
    result = {}
    for size in (*SIZES, None):
        rows = np.array([size is None or len(tasks) == size for tasks in chosen]) & ~np.isnan(error[:, 0])
        outside = np.where(inside[rows], np.nan, error[rows])
        result["all" if size is None else str(size)] = {
            "n_compositions": int(rows.sum()),
            "out_of_domain": round(float(np.median(np.nanmean(outside, axis=1))), 4),
            "in_domain": round(float(np.median(np.nanmean(np.where(inside[rows], error[rows], np.nan), axis=1))), 4),
            "out_of_domain_interval": bootstrap(corpus, outside),
        }
    return result


def bootstrap(corpus: Corpus, outside: np.ndarray) -> list[float]:
    """95 % percentile interval of the median error when the estimated tasks are drawn again."""
    rng = np.random.default_rng(SEED)
    per_task = np.stack([np.nansum(outside[:, corpus.slice_task == t], axis=1) for t in corpus.tasks], axis=1)
    counts = np.stack([(~np.isnan(outside[:, corpus.slice_task == t])).sum(axis=1) for t in corpus.tasks], axis=1)
    medians = []
    for _ in range(BOOTSTRAPS):
        drawn = rng.integers(0, len(corpus.tasks), len(corpus.tasks))
        n = counts[:, drawn].sum(axis=1)
        medians.append(np.median(per_task[n > 0][:, drawn].sum(axis=1) / n[n > 0]))
    return [round(float(q), 4) for q in np.quantile(medians, [0.025, 0.975])]


def slope(corpus: Corpus) -> dict:
    """Slope of logit realised on logit estimated, of averaged confidence with whole tasks left out."""
    rule = SLOW["paper: logistic, 17 features"]
    estimated = np.full(len(corpus.slices), np.nan)
    for task in corpus.tasks:
        estimated[corpus.slice_task == task] = rule(corpus, corpus.task != task)[corpus.slice_task == task]
    x, y = logit(estimated), logit(corpus.realized)
    rng, slopes = np.random.default_rng(SEED), []
    for _ in range(BOOTSTRAPS):
        rows = np.concatenate([np.flatnonzero(corpus.slice_task == t) for t in rng.choice(corpus.tasks, 12)])
        slopes.append(np.polyfit(x[rows], y[rows], 1)[0])
    return {
        "slope": round(float(np.polyfit(x, y, 1)[0]), 3),
        "interval": [round(float(q), 3) for q in np.quantile(slopes, [0.025, 0.975])],
        "estimated_range": [round(float(estimated.min()), 3), round(float(estimated.max()), 3)],
        "realized_range": [round(float(corpus.realized.min()), 3), round(float(corpus.realized.max()), 3)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="specialist")
    parser.add_argument(
        "--searches", type=int, default=15, help="compositions of each size with a grid search; 0 keeps"
    )
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    corpus = Corpus(options.corpus)
    every, sample = compositions(corpus), compositions(corpus, options.searches)
    logistic = {name: rule for name, rule in SLOW.items() if rule.recipe.classifier == "logistic"}
    run(corpus, logistic, compositions(corpus, CHOICE))
    fixed = {f"{name}, fixed": rule.fixed() for name, rule in logistic.items()}
    if options.searches:
        found = run(corpus, {**QUICK, **SLOW}, sample)
        sampled = {name: summary(corpus, values, sample) for name, values in found.items()}
    else:
        sampled = json.loads(RESULT.read_text())["sampled_compositions"]
    all_rules = run(corpus, QUICK, every) | run_parallel(corpus, fixed, every, options.processes)
    result = {
        "corpus": options.corpus,
        "n_responses": len(corpus.correct),
        "n_slices": len(corpus.slices),
        "accuracy": round(float(corpus.correct.mean()), 4),
        "seed": SEED,
        "all_compositions": {name: summary(corpus, values, every) for name, values in all_rules.items()},
        "sampled_compositions": sampled,
        "hyper_parameters": {name: rule.chosen for name, rule in fixed.items()},
        "slope_of_averaged_confidence": slope(corpus),
        "versions": {name: version(name) for name in ("nilometer", "scikit-learn", "numpy")},
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
