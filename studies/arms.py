"""The label-free estimators of slice accuracy beside each other, on the corpus and on public sets.

    python studies/arms.py [--data DIR] [--only specialist qa] [--paper 6] [--per-size 6]

Compositions: every set of 1 to 4 labelled families on the main corpus, a seeded sample of `--per-size` of each size
elsewhere and for the slow arms. Errors are mean absolute errors of out-of-domain slices, families weighted equally,
then the mean and the worst decile over compositions. Every second family in alphabetical order served for choices
(features, transforms, penalty, mixture, interval scale); the figures are errors on slices of the other families,
which no choice has seen. Intervals are bootstraps over families and models. The paper's forest with its grid search and
calibration runs on `--paper` compositions of each size of the main corpus, and its cost on all compositions is
extrapolated from there; it needs entropies, which the public sets do not have. Two classifiers on the paper's 1, 3, 10
and 17 features, without a search, are averaged on all compositions of the main corpus too (`pcc[...]`). On sampled
compositions 20 labels per slice are drawn and put together with the default as `with_labels` does it.
Results: studies/results/arms.json.
"""

import argparse
import json
import time
from dataclasses import replace
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
from evidence import CONTROLS, CORPUS, PUBLIC, Collection, Labelled, halves, load
from scipy.stats import rankdata

from nilometer.estimators import (
    LABEL_FREE,
    Sentinel,
    as_responses,
    cross_model_accuracy,
    fit_threshold,
    thresholded_accuracy,
    with_labels,
)
from nilometer.estimators.accuracy.rules.classifier import FEATURE_SETS, Recipe
from nilometer.estimators.accuracy.rules.rule import FitPlan, fit_rule, source_scores, target_scores
from nilometer.estimators.accuracy.sentinel import MONOTONE_FEATURES
from nilometer.estimators.accuracy.sums import facts_of_responses

RESULT = Path(__file__).parent / "results" / "arms.json"
SIZES, SEED, BOOTSTRAPS, TWENTY = (1, 2, 3, 4), 20261125, 300, 20
SINGLE = (
    "max",
    "se_sum",
    "nll_sum",
    "nll_avg",
    "mean",
    "q10",
    "q25",
    "q75",
    "std",
    "margin_min",
    "tail_mass_max",
    "log_length",
)
SLOW = ("weighted", "profile", "doc", "anchored", "sld", "halfway")


class Bench:
    """One model's labelled responses, with everything cut by slice once."""

    def __init__(self, collection: Collection) -> None:
        labelled = collection.labelled
        codes = {f: str(i) for i, f in enumerate(collection.families)}
        families = np.array([codes[f] for f in labelled.families])
        names, place = np.unique(labelled.slices, return_inverse=True)
        self.labelled = Labelled(labelled.profiles, labelled.correct, place.astype(str), families)
        self.families = collection.families
        self.parts = [np.flatnonzero(place == i) for i in range(len(names))]
        self.family = np.array([int(families[rows[0]]) for rows in self.parts])
        self.realized = np.array([labelled.correct[rows].mean() for rows in self.parts])
        self.profiles = [labelled.profiles.rows(rows) for rows in self.parts]
        held_out = halves(self.families)[1]
        self.held_out = np.isin(self.family, [self.families.index(f) for f in held_out])
        values = labelled.profiles
        self.features = tuple(f for f in MONOTONE_FEATURES if f in values.names and np.nanstd(values.column(f)) > 0)
        self.atc = "max" if "max" in self.features else "nll_avg"

    def own(self, composition: tuple[int, ...]) -> np.ndarray:
        return np.isin(self.labelled.families, [str(i) for i in composition])

    def usable(self, composition: tuple[int, ...]) -> bool:
        return bool(np.ptp(self.labelled.correct[self.own(composition)]) > 0)

    def plan(self, method: str, recipe: Recipe, features: tuple[str, ...]) -> FitPlan:
        return FitPlan(method, self.atc, features, recipe)


def thresholds(bench: Bench, composition: tuple[int, ...]) -> dict[str, np.ndarray]:
    """ATC on single statistics."""
    found, own, profiles = {}, bench.own(composition), bench.labelled.profiles
    for feature in SINGLE:
        if feature not in profiles.names or np.nanstd(profiles.column(feature)) == 0:
            continue
        score = profiles.column(feature)
        rule = fit_threshold(score[own & ~np.isnan(score)], bench.labelled.correct[own & ~np.isnan(score)])
        shares = [thresholded_accuracy(score[rows], rule) for rows in bench.parts]
        found[f"atc[{feature}]"] = np.array(shares)
    return found


def quick(bench: Bench, composition: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Every arm of the table that needs one fit, the default with its fallback among them."""
    source = bench.labelled.rows(bench.own(composition))
    plan = bench.plan("combined", Recipe("monotone"), bench.features)
    rule = fit_rule(source.responses, plan)
    found = arms(bench, rule, source, [name for name in LABEL_FREE if name not in (*SLOW, "atc")])
    found["default"] = default(bench, source)
    return found


def default(bench: Bench, source: Labelled) -> np.ndarray:
    """Estimates of the default, with its slope inside families and its fall-back, intervals or not."""
    fitted = Sentinel(bootstraps=0).fit(source.responses).fitted_
    every = bench.labelled.responses
    facts = fitted.spread(facts_of_responses(fitted, every), every.family_of)
    if fitted.verdict.falls_back:
        return np.full(len(facts), fitted.rule.accuracy)
    found = {row.name: float(row.accuracies[0]) for row in facts}
    return np.array([found[str(i)] for i in range(len(bench.parts))])


def arms(bench: Bench, rule, labelled: Labelled, names: list[str]) -> dict[str, np.ndarray]:
    found = {name: np.full(len(bench.parts), rule.accuracy_without_logprobs) for name in names}
    responses = labelled.responses
    weight = rule.learned.sequence_weight if rule.learned else 0.0
    known_rows = responses.rows(rule.plan.known(responses.profiles))
    source = source_scores(rule, known_rows, sequence_weight=weight)
    for i, profiles in enumerate(bench.profiles):
        known = rule.plan.known(profiles)
        if not known.any():
            continue
        inside = profiles.rows(known)
        target = target_scores(rule, inside)
        for name in names:
            value = LABEL_FREE[name].estimate(source, target)
            found[name][i] = known.mean() * value + (1 - known.mean()) * rule.accuracy_without_logprobs
    return found


def slow(bench: Bench, composition: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Arms that fit again per slice or per left-out family, and other classifiers."""
    source = bench.labelled.rows(bench.own(composition))
    rule = fit_rule(source.responses, bench.plan("anchored", Recipe("monotone"), bench.features))
    found = arms(bench, rule, source, list(SLOW))
    useful = given(bench, source, 17)
    if len(useful) > len(bench.features):
        one = fit_rule(source.responses, bench.plan("pcc", Recipe("monotone"), useful))
        found["pcc, the paper's 17 features"] = np.array([one.estimate(p) for p in bench.profiles])
    return found


def sweep(bench: Bench, composition: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Averaged probability of two classifiers on the paper's feature sets, hyper-parameters fixed."""
    source, found = bench.labelled.rows(bench.own(composition)), {}
    for size in FEATURE_SETS:
        useful = given(bench, source, size)
        for name, fixed in (("monotone", None), ("logistic", {"C": 2.0})):
            plan = replace(bench.plan("pcc", Recipe(name, False, False), useful), hyperparameters=fixed)
            p = fit_rule(source.responses, plan).p_correct(bench.labelled.profiles)
            found[f"pcc[{name}, {size}]"] = np.array([p[rows].mean() for rows in bench.parts])
    return found


def with_twenty(bench: Bench, composition: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The default, and what 20 labels drawn in each slice make of it and say alone."""
    own, labelled = bench.own(composition), bench.labelled
    rng, correct = np.random.default_rng([SEED, *composition]), np.full(len(own), np.nan)
    for rows in bench.parts:
        drawn = rng.permutation(rows)[:TWENTY]
        correct[drawn] = labelled.correct[drawn]
    source = labelled.rows(own)
    sentinel = Sentinel(bootstraps=0).fit(
        source.profiles, source.correct, groups=source.slices, families=source.families
    )
    free = sentinel.estimate(labelled.profiles, by=labelled.slices, families=labelled.families)
    p = sentinel.predict_proba(labelled.profiles)[:, 1]
    both = {
        row.slice: row.accuracy
        for row in with_labels(free, as_responses(labelled.profiles, labelled.slices, correct=correct, p_correct=p))
    }
    return {
        "default, 20 labels a slice": np.array([both[str(i)] for i in range(len(bench.parts))]),
        "20 labels a slice alone": np.array([np.nanmean(correct[rows]) for rows in bench.parts]),
    }


def paper(bench: Bench, composition: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The paper's deployment: forest, balanced, calibrated, 10 features; all there are where those are missing."""
    source = bench.labelled.rows(bench.own(composition))
    useful = given(bench, source, 10) or bench.features
    rule = fit_rule(source.responses, bench.plan("pcc", Recipe("forest", True, True), useful))
    return {"paper": np.array([rule.estimate(p) for p in bench.profiles])}


def given(bench: Bench, source: Labelled, size: int) -> tuple[str, ...]:
    profiles = source.profiles
    return tuple(f for f in FEATURE_SETS[size] if f in profiles.names and np.nanstd(profiles.column(f)) > 0)


def compositions(bench: Bench, per_size: int | None) -> list[tuple[int, ...]]:
    rng, found = np.random.default_rng(SEED), []
    for size in SIZES:
        every = list(combinations(range(len(bench.families)), size)) if size < len(bench.families) else []
        picked = range(len(every)) if per_size is None else sorted(rng.permutation(len(every))[:per_size])
        found += [every[i] for i in picked if bench.usable(every[i])]
    return found


class Errors:
    """Absolute errors of arms: arrays (compositions, slices), NaN inside the labelled families."""

    def __init__(self, bench: Bench, chosen: list[tuple[int, ...]]) -> None:
        self.bench, self.chosen = bench, chosen
        self.estimates: dict[str, np.ndarray] = {}
        self.seconds: dict[str, float] = {}

    def run(self, label: str, arm, rows: list[int]) -> None:
        begin = time.process_time()
        for row in rows:
            for name, values in arm(self.bench, self.chosen[row]).items():
                table = self.estimates.setdefault(name, np.full((len(self.chosen), len(self.bench.parts)), np.nan))
                table[row] = values
        self.seconds[label] = time.process_time() - begin

    def per_family(self, name: str, which: str) -> np.ndarray:
        """Mean error per composition and family, shape (compositions, families); NaN where labelled or not run."""
        bench, columns = self.bench, []
        error = np.abs(self.estimates[name] - bench.realized)
        use = {"held out": bench.held_out, "choices": ~bench.held_out, "all": np.ones(len(bench.family), bool)}[which]
        for f in range(len(bench.families)):
            own = error[:, (bench.family == f) & use]
            values = own.mean(axis=1) if own.shape[1] else np.full(len(error), np.nan)
            columns.append(np.where([f in c for c in self.chosen], np.nan, values))
        return np.stack(columns, axis=1)

    def rank_correlation(self, name: str) -> float:
        """Spearman correlation inside the easy and inside the hard slices, mean over compositions."""
        bench, found = self.bench, []
        for row, composition in enumerate(self.chosen):
            outside = ~np.isin(bench.family, composition) & bench.held_out & ~np.isnan(self.estimates[name][row])
            for cluster in (bench.realized > np.median(bench.realized), bench.realized <= np.median(bench.realized)):
                use = outside & cluster
                x, y = rankdata(self.estimates[name][row][use]), rankdata(bench.realized[use])
                if use.sum() > 4 and np.ptp(x) > 0 and np.ptp(y) > 0:
                    found.append(np.corrcoef(x, y)[0, 1])
        return float(np.mean(found)) if found else float("nan")


def mean_rows(table: np.ndarray) -> np.ndarray:
    """Mean over families of every composition, NaN where it has none."""
    given = ~np.isnan(table)
    return np.where(given.any(axis=1), np.where(given, table, 0).sum(axis=1) / np.maximum(given.sum(axis=1), 1), np.nan)


def describe(runs: list[Errors], name: str, which: str) -> dict | None:
    """Mean and worst decile over compositions, averaged over models; bootstrap over families and models."""
    tables = [run.per_family(name, which) for run in runs if name in run.estimates]
    per_model = [mean_rows(t) for t in tables]
    per_model = [v[~np.isnan(v)] for v in per_model]
    if not per_model or not all(v.size for v in per_model):
        return None
    rng, drawn = np.random.default_rng(SEED), [] if which == "held out" else [np.nan]
    for _ in range(BOOTSTRAPS if which == "held out" else 0):
        families = rng.integers(0, tables[0].shape[1], tables[0].shape[1])
        models = rng.integers(0, len(tables), len(tables))
        means = [mean_rows(tables[m][:, families]) for m in models]
        left = [np.nanmean(v) for v in means if not np.isnan(v).all()]
        drawn.append(np.mean(left) if left else np.nan)
    ranks = [run.rank_correlation(name) for run in runs if name in run.estimates]
    ranks = [r for r in ranks if not np.isnan(r)]
    return {
        "mean": round(float(np.mean([v.mean() for v in per_model])), 4),
        "interval": _quantiles(drawn),
        "median": round(float(np.median(np.concatenate(per_model))), 4),
        "worst_decile": round(float(np.mean([np.quantile(v, 0.9) for v in per_model])), 4),
        "rank_correlation_within_clusters": round(float(np.mean(ranks)), 3) if ranks else None,
        "n_models": len(tables),
        "n_compositions": int(np.mean([v.size for v in per_model])),
    }


def _quantiles(drawn: list[float]) -> list[float] | None:
    """None where some draw left no slice to estimate, as happens with two or three held-out families."""
    if not np.isfinite(drawn).all():
        return None
    return [round(float(q), 4) for q in np.quantile(drawn, [0.025, 0.975])]


def cross_model(runs: list[Errors]) -> None:
    """Add the estimate from other models' labels on the same slices; own labels on the labelled families only."""
    accuracies = np.array([run.bench.realized for run in runs])
    for j, run in enumerate(runs):
        others = np.delete(accuracies, j, axis=0)
        table = np.full((len(run.chosen), len(run.bench.parts)), np.nan)
        for row, composition in enumerate(run.chosen):
            own = np.where(np.isin(run.bench.family, composition), run.bench.realized, np.nan)
            table[row] = cross_model_accuracy(own, others).accuracy
        run.estimates["cross_model (others' labels)"] = table
        run.estimates["0.8 cross_model, 0.2 default"] = 0.8 * table + 0.2 * run.estimates["default"]


def study(name: str, options: argparse.Namespace) -> dict:
    runs: list[Errors] = []
    for collection in load(name, options.data) if options.data else load(name):
        bench = Bench(collection)
        chosen = compositions(bench, None if name in options.every else options.per_size)
        run = Errors(bench, chosen)
        every = list(range(len(chosen)))
        few = [chosen.index(c) for c in compositions(bench, min(options.per_size, 4)) if c in chosen and name in CORPUS]
        forests = [chosen.index(c) for c in compositions(bench, options.paper) if c in chosen and name in options.every]
        run.run("quick arms, all compositions", quick, every)
        run.run("thresholds, all compositions", thresholds, every)
        run.run("slow arms, sampled compositions", slow, few)
        run.run("20 labels a slice, sampled compositions", with_twenty, few or every)
        if forests:
            run.run("paper, sampled compositions", paper, forests)
            run.seconds["paper, all compositions (extrapolated)"] = (
                run.seconds["paper, sampled compositions"] / max(len(forests), 1) * len(every)
            )
            run.run("two classifiers x four feature sets, all compositions", sweep, every)
        runs.append(run)
    shared = {tuple(np.unique(run.bench.labelled.slices)) for run in runs}
    same = len({run.bench.family.tobytes() for run in runs}) == 1
    if len(runs) > 3 and len(shared) == 1 and same:
        cross_model(runs)
    names = sorted({arm for run in runs for arm in run.estimates})
    halves_ = ("held out", "choices", "all")
    result: dict = {
        "n_models": len(runs),
        "families": runs[0].bench.families,
        "held_out": halves(runs[0].bench.families)[1],
        "n_slices": len(runs[0].bench.parts),
        "control": name in CONTROLS,
        "cpu_seconds": {k: round(sum(r.seconds.get(k, 0) for r in runs), 1) for k in runs[0].seconds},
        "arms": {arm: {which: describe(runs, arm, which) for which in halves_} for arm in names},
        "same_compositions_as_paper": matched(runs),
    }
    result["targets"] = targets(runs, result)
    return result


def matched(runs: list[Errors]) -> dict[str, float]:
    """Mean held-out error of the arms on exactly the compositions and models that the paper's forest ran on."""
    found: dict[str, list[float]] = {}
    for run in runs:
        if "paper" not in run.estimates:
            continue
        rows = ~np.isnan(run.estimates["paper"][:, 0])
        for arm in ("paper", "default", "constant", f"atc[{run.bench.atc}]"):
            found.setdefault(arm, []).append(float(np.nanmean(mean_rows(run.per_family(arm, "held out")[rows]))))
    return {arm: round(float(np.mean(values)), 4) for arm, values in found.items()}


def on_rows_of(runs: list[Errors], arm: str, other: str) -> tuple[float, float]:
    """Mean held-out errors of two arms on the compositions that the first ran on."""
    found = []
    for run in runs:
        rows = ~np.isnan(run.estimates[arm]).all(axis=1)
        found.append([np.nanmean(mean_rows(run.per_family(name, "held out")[rows])) for name in (arm, other)])
    return tuple(np.mean(found, axis=0).tolist())


def targets(runs: list[Errors], result: dict) -> dict[str, dict]:
    """The targets of the issue on the held-out half, met or missed."""
    held = {arm: values["held out"] for arm, values in result["arms"].items() if values["held out"]}
    if "default" not in held:
        return {}
    ours, constant = held["default"]["mean"], held["constant"]["mean"]
    single = {arm: v["mean"] for arm, v in held.items() if arm.startswith("atc[")}
    best, atc = min(single, key=single.get), f"atc[{runs[0].bench.atc}]"
    same = result["same_compositions_as_paper"]
    worse = [
        float(np.nanmean(mean_rows(run.per_family("default", "held out"))))
        - min(float(np.nanmean(mean_rows(run.per_family(arm, "held out")))) for arm in ("constant", atc))
        for run in runs
    ]
    found = {
        f"<= 0.8 of the best single ATC in hindsight ({best})": (ours / single[best], 0.8),
        f"<= 0.6 of {atc}": (ours / single[atc], 0.6),
        "nowhere worse than the better of ATC and constant by more than 0.01 (worst model)": (max(worse), 0.01),
    }
    twenty, single_atc = on_rows_of(runs, "default, 20 labels a slice", atc)
    found[f"with 20 labels a slice <= 0.4 of {atc}, same compositions"] = (twenty / single_atc, 0.4)
    if same:
        found["<= 0.6 of the paper, same compositions"] = (same["default"] / same["paper"], 0.6)
        found["worst decile <= 0.6 of the paper's"] = (
            held["default"]["worst_decile"] / held["paper"]["worst_decile"],
            0.6,
        )
    if result["control"]:
        found = {"worse than the constant by at most 0.01": (ours - constant, 0.01)}
    return {k: {"value": round(v, 3), "target": t, "met": bool(v <= t)} for k, (v, t) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="*", default=[*CORPUS, *PUBLIC])
    parser.add_argument("--paper", type=int, default=6, help="compositions of each size for the paper's forest")
    parser.add_argument("--every", nargs="*", default=["specialist"], help="collections on which all compositions run")
    parser.add_argument("--per-size", type=int, default=6, help="compositions of each size elsewhere")
    options = parser.parse_args()
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"collections": {}}
    for name in options.only:
        begin = time.perf_counter()
        found = study(name, options)
        found["wall_seconds"] = round(time.perf_counter() - begin, 1)
        result["collections"][name] = found
        result |= {"seed": SEED, "sizes": SIZES, "per_size": options.per_size, "paper_per_size": options.paper}
        result["versions"] = {package: version(package) for package in ("nilometer", "scikit-learn", "numpy", "scipy")}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        print(
            name,
            json.dumps({k: found[k] for k in ("cpu_seconds", "targets", "same_compositions_as_paper")}),
            flush=True,
        )
        for arm, values in sorted(found["arms"].items(), key=lambda kv: (kv[1]["held out"] or {"mean": 9})["mean"]):
            print(f"  {arm:32s}", {w: (v["mean"], v["worst_decile"]) for w, v in values.items() if v}, flush=True)


if __name__ == "__main__":
    main()
