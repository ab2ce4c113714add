"""What plans are worth on the recorded corpus `specialist` (72 slices, 7,200 responses).

    python studies/plan.py [--loops 8] [--part all|rounds|slices] [--per-round 36 180]

rounds: the loop closed. Labels of 6 of 12 tasks (drawn anew for each loop, 20 labels for each of their slices) fit a
sentinel; the slices of the other 6 tasks have none. Six rounds of 36 or of 180 labels
(one or five for each slice) follow, drawn by `plan_labels`, by plan
without a sentinel (`no sentinel`: nothing known of any response), or at random over all responses of those tasks. After
each round every slice is estimated by the labels it has: by plan with `measure_plan`, at random with their mean, both
drawn to the sentinel's estimate with `combine`; slices without a label keep that estimate. Errors are mean absolute
errors of the accuracies of the 36 slices. Intervals: 2.5 % and 97.5 % of a bootstrap over loops.

slices: which 2, 3 or 4 tasks to label first. `choose_slices` sees only the mean largest entropy of each task; all
compositions of that size are the rest. The estimator is ATC on the largest entropy, fitted on all labels of those
tasks; errors are over the slices of the other tasks.
Result: studies/results/plan.json.
"""

import argparse
import json
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np

from nilometer.decisions import Traffic, choose_slices, measure_plan, plan_labels
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    LabelledAccuracy,
    Sentinel,
    combine,
    fit_threshold,
    labelled_mean,
    thresholded_accuracy,
)
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces, slice_names

RESULT = Path(__file__).parent / "results" / "plan.json"
SEED, ROUNDS, FIRST = 20261125, 6, 20


class Corpus:
    """Profiles, labels and slices of the recording."""

    def __init__(self) -> None:
        self.table = profile_traces(read_traces(corpus_path("specialist")))
        self.correct = self.table["correct"].to_numpy().astype(float)
        self.task = np.asarray(slice_names(self.table, ["domain"]).to_pylist())
        self.slice = np.asarray(slice_names(self.table, ["domain", "level"]).to_pylist())
        self.ids = np.asarray(self.table["trace_id"].to_pylist())
        self.entropy = self.table["max"].to_numpy().astype(float)


def combined(estimate: Estimate | None, measured: LabelledAccuracy | None) -> float:
    """Return the accuracy believed of a slice: estimate and labels, or what there is of them."""
    if estimate is None:
        return 0.5 if measured is None else measured.accuracy
    return estimate.accuracy if measured is None else combine(estimate, measured).accuracy


def one_loop(corpus: Corpus, rng: np.random.Generator, per_round: int) -> dict[str, list[float]]:
    tasks = rng.permutation(np.unique(corpus.task))
    source = np.isin(corpus.task, tasks[:6])
    first = np.full(len(corpus.correct), np.nan)
    for name in np.unique(corpus.slice[source]):
        rows = rng.choice(np.flatnonzero(corpus.slice == name), FIRST, replace=False)
        first[rows] = corpus.correct[rows]
    sentinel = Sentinel(bootstraps=0).fit(corpus.table, first, groups=corpus.slice, families=corpus.task)
    own = np.flatnonzero(~source)
    target = corpus.table.take(own)
    names, truth = corpus.slice[own], corpus.correct[own]
    estimates = {row.slice: row for row in sentinel.estimate(target, by=names) if isinstance(row, Estimate)}
    p = sentinel.predict_proba(target)[:, 1]
    slices = np.unique(names)
    realized = np.array([truth[names == name].mean() for name in slices])
    known = dict(zip(corpus.ids[own].tolist(), truth.tolist(), strict=True))
    found = {}
    for design in ("by plan", "by plan, no sentinel", "at random"):
        blind = design != "by plan"
        correct, plans = np.full(len(own), np.nan), []
        believed = np.array([combined(estimates.get(name), None) for name in slices])
        errors = [float(np.abs(believed - realized).mean())]
        for _ in range(ROUNDS):
            if design == "at random":
                drawn = rng.choice(np.flatnonzero(np.isnan(correct)), per_round, replace=False)
            else:
                traffic = Traffic(corpus.ids[own], names, correct, np.full(len(own), np.nan) if blind else p)
                plans.append(plan_labels(traffic, {} if blind else estimates, per_round, rng=rng).labels)
                drawn = np.flatnonzero(np.isin(corpus.ids[own], [row.trace_id for row in plans[-1]]))
            correct[drawn] = truth[drawn]
            measured = measure_plan(plans, known) if plans else {}
            believed = np.array([
                combined(estimates.get(name), accuracy(measured.get(name), correct[names == name])) for name in slices
            ])  # fmt: skip
            errors.append(float(np.abs(believed - realized).mean()))
        found[design] = errors
    return found


def accuracy(measured: LabelledAccuracy | NotEnoughDataError | None, correct: np.ndarray) -> LabelledAccuracy | None:
    """Return the measurement by plan, or where there is none the mean of the labels of the slice."""
    if isinstance(measured, LabelledAccuracy):
        return measured
    return labelled_mean(correct) if (~np.isnan(correct)).sum() >= 2 else None


def rounds(corpus: Corpus, loops: int, per_round: int) -> dict:
    found = [one_loop(corpus, np.random.default_rng([SEED, i]), per_round) for i in range(loops)]
    rng = np.random.default_rng(SEED)
    result = {
        "loops": loops,
        "labels_per_round": per_round,
        "slices": 36,
        "labels": [per_round * i for i in range(ROUNDS + 1)],
    }
    for design in found[0]:
        errors = np.array([loop[design] for loop in found])
        drawn = errors[rng.integers(0, loops, (2000, loops))].mean(axis=1)
        result[design] = {
            "error": errors.mean(axis=0).round(4).tolist(),
            "interval": np.quantile(drawn, [0.025, 0.975], axis=0).T.round(4).tolist(),
        }
    return result


def composition_error(corpus: Corpus, tasks: tuple[str, ...]) -> float:
    own = np.isin(corpus.task, tasks)
    rule = fit_threshold(corpus.entropy[own], corpus.correct[own])
    others = np.unique(corpus.slice[~own])
    return float(np.mean([
        abs(thresholded_accuracy(corpus.entropy[corpus.slice == s], rule) - corpus.correct[corpus.slice == s].mean())
        for s in others
    ]))  # fmt: skip


def first_slices(corpus: Corpus) -> dict:
    tasks = np.unique(corpus.task)
    scores = {str(task): float(corpus.entropy[corpus.task == task].mean()) for task in tasks}
    result: dict = {"mean_largest_entropy": {name: round(value, 3) for name, value in sorted(scores.items())}}
    for k in (2, 3, 4):
        errors = {c: composition_error(corpus, c) for c in combinations(tasks.tolist(), k)}
        chosen = choose_slices(scores, k)
        values = np.array(list(errors.values()))
        mine = composition_error(corpus, chosen)
        result[str(k)] = {
            "chosen": list(chosen), "error": round(mine, 4), "random_mean": round(float(values.mean()), 4),
            "random_median": round(float(np.median(values)), 4), "worst": round(float(values.max()), 4),
            "worst_decile": round(float(np.quantile(values, 0.9)), 4), "best": round(float(values.min()), 4),
            "share_of_compositions_that_are_worse": round(float((values > mine).mean()), 3),
            "compositions": len(values),
        }  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loops", type=int, default=8)
    parser.add_argument("--part", choices=("all", "rounds", "slices"), default="all")
    parser.add_argument("--per-round", type=int, nargs="+", default=(36, 180), help="Labels of each round.")
    options = parser.parse_args()
    corpus = Corpus()
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if options.part != "slices":
        for n in options.per_round:
            result[f"rounds_of_{n}"] = rounds(corpus, options.loops, n)
    if options.part != "rounds":
        result["first_slices"] = first_slices(corpus)
    result |= {"seed": SEED, "versions": {name: version(name) for name in ("nilometer", "scikit-learn", "numpy")}}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
