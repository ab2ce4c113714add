"""What plans are worth on the recorded corpus `specialist` (72 slices, 7,200 responses).

    python studies/plan.py [--loops 8] [--part all|rounds|slices] [--per-round 36 180]

rounds: the loop closed. Labels of 6 of 12 tasks (drawn anew for each loop, 20 labels for each of their slices) fit a
sentinel; the slices of the other 6 tasks have none. Six rounds of 36 or of 180 labels
(one or five for each slice) follow, drawn by `plan_labels`, by plan
without a sentinel (`no sentinel`: nothing known of any response), or at random over all responses of those tasks. After
each round every slice is estimated by the labels it has: by plan with `measure_plan`, at random with their mean, both
drawn to the sentinel's estimate with `combine`; slices without a label keep that estimate. Errors are mean absolute
errors of the accuracies of the 36 slices. Intervals: 2.5 % and 97.5 % of a bootstrap over loops.

slices: which 2, 3 or 4 slices to label first. `choose_slices` sees only a mean score of each task, the largest entropy
(on MMLU-Pro, where ../shared/data/traces is there, the negative log-probability per token). The estimator learns on all
labels of the chosen tasks; errors are over the slices of all others. Beside the choice stand all compositions of that
size, or 15 drawn ones for each model of MMLU-Pro, and the two ends of the score with the middle of its gaps. The rule
was chosen on the recorded corpus with this table at hand; MMLU-Pro took no part. On the recorded corpus means are over
200 sets of 8 of the 12 tasks.
Result: studies/results/plan.json.
"""

import argparse
import json
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
from arms import Bench, Errors, quick, thresholds
from evidence import DATA, load

from nilometer.decisions import choose_slices, labels_alone, plan_labels
from nilometer.estimators import (
    Estimate,
    LabelledAccuracy,
    Sentinel,
    as_responses,
    combine,
    labelled_mean,
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
    estimates = {
        row.slice: row for row in sentinel.estimate(target, by=names, left_out=True) if isinstance(row, Estimate)
    }
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
                table = pa.table({"trace_id": corpus.ids[own], "max": np.zeros(len(own))})
                p_correct = np.full(len(own), np.nan) if blind else p
                traffic = as_responses(table, names, correct=correct, p_correct=p_correct)
                plans.append(plan_labels(traffic, () if blind else estimates.values(), per_round, rng=rng).labels)
                drawn = np.flatnonzero(np.isin(corpus.ids[own], [row.trace_id for row in plans[-1]]))
            correct[drawn] = truth[drawn]
            measured = {name: labels_alone(name, plans, known) for name in slices}
            believed = np.array(
                [combined(estimates.get(name), accuracy(measured.get(name), correct[names == name])) for name in slices]
            )
            errors.append(float(np.abs(believed - realized).mean()))
        found[design] = errors
    return found


def accuracy(measured: LabelledAccuracy | None, correct: np.ndarray) -> LabelledAccuracy | None:
    """Return the measurement by plan, or where there is none the mean of the labels of the slice."""
    if measured is not None:
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


def ends(scores: dict[str, float], k: int) -> tuple[str, ...]:
    """Easiest and hardest, then always the middle of the largest gap."""
    names = sorted(scores, key=lambda name: scores[name])
    chosen = [names[0], names[-1]]
    while len(chosen) < k:
        away = {n: min(abs(scores[n] - scores[c]) for c in chosen) for n in names if n not in chosen}
        chosen.append(max(away, key=lambda n: away[n]))
    return tuple(chosen)


RULES = {"middles of equal parts": choose_slices, "ends and gaps": ends}


def family_errors(bench: Bench, compositions: list[tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Mean absolute error of each family after learning on each composition, by estimator."""
    run = Errors(bench, compositions)
    atc = f"atc[{bench.atc}]"
    run.run(
        "default",
        lambda b, c: {"default": quick(b, c)["combined"], atc: thresholds(b, c)[atc]},
        list(range(len(compositions))),
    )
    return {name: run.per_family(name, "all") for name in ("default", atc)}


def mean_scores(bench: Bench) -> dict[str, float]:
    column, families = bench.labelled.profiles.column(bench.atc), bench.labelled.families
    return {str(i): float(np.nanmean(column[families == str(i)])) for i in range(len(bench.families))}


def first_slices() -> dict:
    bench = Bench(load("specialist")[0])
    every = [c for k in (2, 3, 4) for c in combinations(range(len(bench.families)), k)]
    place = {c: i for i, c in enumerate(every)}
    errors, scores, rng = family_errors(bench, every), mean_scores(bench), np.random.default_rng(SEED)
    sets = [sorted(rng.permutation(len(bench.families))[:8].tolist()) for _ in range(200)]
    result: dict = {"sets_of_8_tasks": len(sets)}
    for name, table in errors.items():
        mean = {c: float(np.nanmean(table[i])) for c, i in place.items()}
        for k in (2, 3, 4):
            rows = [
                {
                    "random": np.mean(v := [mean[c] for c in combinations(own, k)]),
                    "worst tenth": np.quantile(v, 0.9),
                    "worst": max(v),
                    "best": min(v),
                }
                | {
                    rule: mean[tuple(sorted(map(int, choose({str(t): scores[str(t)] for t in own}, k))))]
                    for rule, choose in RULES.items()
                }
                for own in sets
            ]
            result[f"recorded corpus, {name}, {k}"] = _means(rows)
    if DATA.exists():
        result |= other_models()
    return result


def other_models() -> dict:
    found: dict[str, list[dict]] = {}
    for model in load("mmlupro"):
        bench, rng = Bench(model), np.random.default_rng(SEED)
        scores = mean_scores(bench)
        for k in (2, 3, 4):
            every = list(combinations(range(len(bench.families)), k))
            drawn = [every[i] for i in rng.permutation(len(every))[:15] if bench.usable(every[i])]
            chosen = {rule: tuple(sorted(map(int, choose(scores, k)))) for rule, choose in RULES.items()}
            if not all(bench.usable(c) for c in chosen.values()):
                continue
            table = family_errors(bench, [*chosen.values(), *drawn])["default"]
            means = np.nanmean(table, axis=1)
            row = dict(zip(chosen, means[:2].tolist(), strict=True))
            v = means[2:]
            row |= {"random": v.mean(), "worst tenth": np.quantile(v, 0.9), "worst": v.max(), "best": v.min()}
            found.setdefault(f"MMLU-Pro, default, {k}", []).append(row)
    return {name: {**_means(rows), "models": len(rows)} for name, rows in found.items()}


def _means(rows: list[dict]) -> dict[str, float]:
    keys = (*RULES, "random", "worst tenth", "worst", "best")
    better = np.mean([row["middles of equal parts"] < row["random"] for row in rows])
    return {key: round(float(np.mean([row[key] for row in rows])), 4) for key in keys} | {
        "share_better_than_random": round(float(better), 3)
    }


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
        result["first_slices"] = first_slices()
    result |= {"seed": SEED, "versions": {name: version(name) for name in ("nilometer", "scikit-learn", "numpy")}}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
