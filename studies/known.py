"""New traffic of slices that have labels: their own labels against carrying the accuracy over and the common rule.

    python studies/known.py [--draws 10]

Of every slice a random half is the reference, of which some responses are labelled; the other half is traffic:
`unchanged`, or only the half of it with the larger (`harder`) or smaller (`easier`) negative log-likelihood of the
answer. Errors are mean absolute errors of slice accuracies; coverage and mean half-width are those of nominal 90 %
intervals for the realised accuracy of the traffic. The prior of the uncertain share of a change was looked at on
`specialist` (other draws) while the method was made; the public sets took no part in it. Bounds are 95 % intervals of
the coverage by a bootstrap over slices. Results: studies/results/known.json.
"""

import argparse
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from evidence import DATA, Collection, load

from nilometer.estimators import Sentinel

RESULT = Path(__file__).parent / "results" / "known.json"
SEED, LEVEL = 20261127, 0.9
KINDS = ("unchanged", "harder", "easier")
CELLS = (
    *(("specialist", "families", n) for n in (10, 30, 100, 200)),
    *(("specialist", "slices", n) for n in (10, 50)),
    ("specialist_samples", "families", 100),
    ("gemma3", "families", 50),
    ("smollm2", "families", 50),
    *(("mmlupro", "families", n) for n in (30, 100, 200)),
    ("qa", "slices", 100),
    ("mcq", "slices", 100),
)


def traffic(hardness: np.ndarray, rows: np.ndarray, kind: str) -> np.ndarray:
    """Rows of one slice that are asked for."""
    if kind == "unchanged":
        return rows
    order = rows[np.argsort(hardness[rows], kind="stable")]
    return order[len(order) // 2 :] if kind == "harder" else order[: len(order) // 2]


def draw(collection: Collection, names: np.ndarray, n_labels: int, rng: np.random.Generator) -> dict[str, list]:
    """Errors and hits of every slice, by kind of traffic."""
    labelled = collection.labelled
    hardness = np.nan_to_num(labelled.profiles.column("nll_sum"), nan=np.inf)
    halves = {name: np.array_split(rng.permutation(np.flatnonzero(names == name)), 2) for name in np.unique(names)}
    own = np.concatenate([reference[:n_labels] for reference, _ in halves.values()])
    if np.ptp(labelled.correct[own]) == 0:
        return {}
    sentinel = Sentinel(bootstraps=0, confidence_level=LEVEL).fit(
        labelled.profiles.rows(own), labelled.correct[own], groups=names[own]
    )
    found: dict[str, list] = {}
    for kind in KINDS:
        rows = np.concatenate([traffic(hardness, new, kind) for _, new in halves.values()])
        estimates = [
            {row.slice: row for row in sentinel.estimate(labelled.profiles.rows(rows), names[rows], left_out=out)}
            for out in (False, True)
        ]
        for name in halves:
            truth = labelled.correct[rows][names[rows] == name].mean()
            carried = labelled.correct[own][names[own] == name].mean()
            row, rule = (one[name] for one in estimates)
            if not (hasattr(row, "accuracy") and hasattr(rule, "accuracy")):
                continue
            hit = row.low - 1e-9 <= truth <= row.high + 1e-9
            errors = [abs(value - truth) for value in (row.accuracy, carried, rule.accuracy)]
            found.setdefault(kind, []).append((*errors, hit, (row.high - row.low) / 2))
    return found


def bounds(hits: np.ndarray, rng: np.random.Generator) -> list[float]:
    """95 % bootstrap interval of a coverage over slices."""
    means = hits[rng.integers(0, len(hits), (1000, len(hits)))].mean(axis=1)
    return [round(float(q), 3) for q in np.quantile(means, [0.025, 0.975])]


def cell(name: str, by: str, n_labels: int, draws: int) -> dict:
    rows: dict[str, list] = {}
    for model, collection in enumerate(load(name)):
        names = collection.labelled.families if by == "families" else collection.labelled.slices
        for i in range(draws if name not in ("mmlupro", "qa", "mcq") else 1):
            for kind, found in draw(collection, names, n_labels, np.random.default_rng([SEED, model, i])).items():
                rows.setdefault(kind, []).extend(found)
    summary = {}
    for kind, found in rows.items():
        values = np.array(found, dtype=float)
        own, carried, rule, hits, half = values.mean(axis=0).round(4).tolist()
        coverage = {"coverage": hits, "bounds": bounds(values[:, 3], np.random.default_rng(SEED))}
        summary[kind] = {"own": own, "carried": carried, "rule": rule, **coverage, "half_width": half, "n": len(values)}
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    result: dict = {"seed": SEED, "level": LEVEL, "draws": options.draws, "cells": {}}
    for name, by, n_labels in CELLS:
        if name in ("mmlupro", "qa", "mcq") and not DATA.exists():
            continue
        result["cells"][f"{name}, {by}, {n_labels} labels"] = cell(name, by, n_labels, options.draws)
        result["versions"] = {package: version(package) for package in ("nilometer", "numpy", "scipy")}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        print(name, by, n_labels, json.dumps(result["cells"][f"{name}, {by}, {n_labels} labels"]), flush=True)


if __name__ == "__main__":
    main()
