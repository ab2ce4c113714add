"""Does averaged confidence shrink towards the labelled accuracy on real traces, and with what logit slope?

    python studies/slope.py [--data ../shared/data/traces]

Every family of slices is left out once; the classifier of the others gives the mean probability of each of its
slices. Reported: the least-squares slope of logit realised accuracy on logit mean probability, per model (slope 1
is none, above 1 is shrinkage), with a bootstrap over families, and what a fixed slope of 1.6 would do to the error.
Descriptive, on all families: nothing was chosen by it. Results: studies/results/slope.json.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from evidence import CORPUS, PUBLIC, Collection, load

from nilometer.estimators.accuracy.rules.classifier import FEATURE_SETS, Recipe
from nilometer.estimators.accuracy.rules.rule import FitPlan, fit_rule
from nilometer.estimators.accuracy.rules.slope import scaled_logit
from nilometer.estimators.accuracy.sentinel import MONOTONE_FEATURES
from nilometer.estimators.residuals import logit

RESULT = Path(__file__).parent / "results" / "slope.json"
SEED, BOOTSTRAPS, MOST_ROWS = 20261125, 1000, 20_000


def left_out(collection: Collection, plan: FitPlan) -> np.ndarray:
    """Rows (family number, mean probability, accuracy of the others, realised accuracy) of every slice."""
    labelled, rows = collection.labelled, []
    for number, family in enumerate(collection.families):
        own = labelled.families == family
        if np.ptp(labelled.correct[~own]) == 0:
            continue
        rule = fit_rule(labelled.rows(~own).responses, plan)
        for name in sorted(set(labelled.slices[own].tolist())):
            part = labelled.rows(labelled.slices == name)
            rows.append((number, rule.p_correct(part.profiles).mean(), rule.accuracy, part.correct.mean()))
    return np.array(rows)


def slope(rows: np.ndarray) -> float:
    return float(np.polyfit(logit(rows[:, 1]), logit(rows[:, 3]), 1)[0])


def summary(rows: np.ndarray) -> dict:
    rng, families, slopes = np.random.default_rng(SEED), np.unique(rows[:, 0]), []
    for _ in range(BOOTSTRAPS):
        drawn = np.concatenate([rows[rows[:, 0] == f] for f in rng.choice(families, families.size)])
        if np.ptp(drawn[:, 1]) > 0:
            slopes.append(slope(drawn))
    stretched = np.array([scaled_logit(p, a, 1.6) for _, p, a, _ in rows])
    return {
        "slope": round(slope(rows), 3),
        "interval": [round(float(q), 3) for q in np.quantile(slopes, [0.025, 0.975])],
        "n_families": int(families.size),
        "n_slices": len(rows),
        "error_as_it_is": round(float(np.abs(rows[:, 1] - rows[:, 3]).mean()), 4),
        "error_with_slope_1_6": round(float(np.abs(stretched - rows[:, 3]).mean()), 4),
        "error_constant": round(float(np.abs(rows[:, 2] - rows[:, 3]).mean()), 4),
    }


def plans(collection: Collection) -> dict[str, FitPlan]:
    names = collection.labelled.profiles.names
    values = collection.labelled.profiles
    given = [f for f in MONOTONE_FEATURES if f in names and np.nanstd(values.column(f)) > 0]
    found = {"monotone": FitPlan("pcc", "max", tuple(given), Recipe("monotone"))}
    if collection.name in CORPUS:
        useful = tuple(f for f in FEATURE_SETS[17] if np.nanstd(values.column(f)) > 0)
        found["paper: logistic, 17 features"] = FitPlan("pcc", "max", useful, Recipe("logistic", False, True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    result: dict = {"seed": SEED, "collections": {}}
    for name in (*CORPUS, *PUBLIC):
        collections = load(name, options.data) if options.data else load(name)
        for label in plans(collections[0]):
            found = {c.model: summary(left_out(c, plans(c)[label])) for c in collections}
            values = list(found.values())
            result["collections"][f"{name}, {label}"] = {
                "median_slope": round(float(np.median([v["slope"] for v in values])), 3),
                "slopes_above_1": sum(v["slope"] > 1 for v in values),
                "n_models": len(values),
                "mean_error": {
                    key: round(float(np.mean([v[key] for v in values])), 4)
                    for key in ("error_as_it_is", "error_with_slope_1_6", "error_constant")
                },
                "models": found,
            }
            head = {k: v for k, v in result["collections"][f"{name}, {label}"].items() if k != "models"}
            print(name, label, json.dumps(head), flush=True)
    result["versions"] = {name: version(name) for name in ("nilometer", "scikit-learn", "numpy")}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
