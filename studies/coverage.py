"""Measured coverage and width of the intervals on families that were left out, by number of labels and of families.

    python studies/coverage.py [--draws 40] [--pooled-draws 8]

Cells: labels in all (50, 100, 300, 1,000), labelled families (4, 6, 8), kind of traffic. In every draw, families and
labels are drawn at random; the slices of the families that were not drawn are the monitored traffic (an unseen
task), and their realised accuracies are what the intervals must hold. `easier` and `harder` keep of every monitored
slice the half with the smaller or larger negative log-likelihood of the answer (covariate shift); `fewer right` drops
half of the right answers (label shift); `simulated` draws families from the model of the intervals itself.
`pooled`: 33 models on MMLU-Pro (where ../shared/data/traces is there), the same subjects labelled for all, intervals
of each model alone and drawn towards those of the others. `other models`: the same with labels of 1, 3 or all other
models on every subject, error and coverage on the subjects without labels of this model.
Coverage counts slices; its Clopper-Pearson bounds count draws times families as independent, which is optimistic
where slices of a family err together. Results: studies/results/coverage.json.
"""

import argparse
import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from evidence import DATA, Collection, Labelled, load
from scipy.stats import beta

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import (
    Estimate,
    NotEnoughData,
    Sentinel,
    SliceEstimates,
    fit_residuals,
    prediction_interval,
    with_other_models,
)

RESULT = Path(__file__).parent / "results" / "coverage.json"
SEED, LEVEL = 20261125, 0.9
LABELS, FAMILIES, SHIFTS = (50, 100, 300, 1000), (4, 6, 8), ("unseen task", "easier", "harder", "fewer right")


def bounds(hits: int, n: int) -> list[float]:
    """95 % Clopper-Pearson bounds of a share."""
    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(0.975, hits + 1, n - hits))
    return [round(low, 3), round(high, 3)]


class Cell:
    """Counts of one cell."""

    def __init__(self) -> None:
        self.hits, self.n, self.width, self.refused, self.refused_well, self.units, self.fell = 0, 0, 0.0, 0, 0, 0, 0

    def add(self, row: Estimate | NotEnoughData, realized: float) -> None:
        if isinstance(row, NotEnoughData):
            self.refused += 1
            return
        self.n += 1
        self.hits += row.low - 1e-9 <= realized <= row.high + 1e-9
        self.width += (row.high - row.low) / 2
        self.fell += row.method == "constant"

    def summary(self) -> dict:
        if not self.n:
            return {"n": 0, "refused": self.refused}
        share = self.hits / self.n
        return {
            "coverage": round(share, 3),
            "bounds": bounds(round(share * self.units), self.units),
            "half_width": round(self.width / self.n, 3),
            "n_slices": self.n,
            "n_families": self.units,
            "refused": self.refused,
            "fell_back": round(self.fell / self.n, 3),
            "within": bool(0.86 <= share <= 0.94),
        }


def draw_labels(rng: np.random.Generator, families: np.ndarray, n: int) -> np.ndarray:
    """Rows of n labels, equally many from every family."""
    names = np.unique(families)
    each = np.array_split(np.arange(n), len(names))
    return np.concatenate(
        [rng.permutation(np.flatnonzero(families == f))[: len(k)] for f, k in zip(names, each, strict=True)]
    )


def shifted(rng: np.random.Generator, collection: Collection, rows: np.ndarray, kind: str) -> np.ndarray:
    """Keep some of the rows of one slice."""
    if kind == "unseen task":
        return rows
    labelled = collection.labelled
    if kind == "fewer right":
        right = rows[labelled.correct[rows] >= 0.5]
        return np.setdiff1d(rows, rng.permutation(right)[: len(right) // 2])
    order = rows[np.argsort(labelled.profiles.column("nll_sum")[rows], kind="stable")]
    half = len(rows) // 2
    return order[:half] if kind == "easier" else order[half:]


def one_draw(rng: np.random.Generator, collection: Collection, cells: dict, *, n_labels: int, n_families: int) -> None:
    labelled, names = collection.labelled, rng.permutation(collection.families)
    seen = np.flatnonzero(np.isin(labelled.families, names[:n_families]))
    rows = seen[draw_labels(rng, labelled.families[seen], n_labels)]
    sentinel = fit(labelled.rows(rows))
    if sentinel is None:
        return
    for kind in SHIFTS:
        cell = cells.setdefault(f"{collection.name}, {n_labels} labels, {n_families} families, {kind}", Cell())
        cell.units += len(collection.families) - n_families
        slices = np.unique(labelled.slices[np.isin(labelled.families, names[n_families:])])
        parts = [shifted(rng, collection, np.flatnonzero(labelled.slices == name), kind) for name in slices]
        target = labelled.rows(np.concatenate(parts))
        for row in sentinel.estimate(target.profiles, by=target.slices, families=target.families):
            cell.add(row, float(target.correct[target.slices == row.slice].mean()))


def simulated(rng: np.random.Generator, draws: int) -> dict:
    """Coverage where the assumptions of the interval hold: errors of families and slices are normal in its units."""
    found = {}
    for n_families in (4, 6, 9, 19):
        hits = 0
        for _ in range(draws):
            families = np.repeat(np.arange(n_families + 1), 4)
            estimate = rng.uniform(0.1, 0.9, families.size)
            error = rng.normal(0, 0.15, n_families + 1)[families] + rng.normal(0, 0.1, families.size)
            true = np.clip(estimate + np.sqrt(estimate * (1 - estimate) + 0.1) * error, 0, 1)
            realized = rng.binomial(200, true) / 200
            own = families < n_families
            residuals = fit_residuals(estimate[own], realized[own], np.full(own.sum(), 200.0), families=families[own])
            low, high = prediction_interval(float(estimate[-1]), residuals, n=200, confidence_level=LEVEL)
            hits += low <= realized[-1] <= high
        found[str(n_families)] = {"coverage": round(hits / draws, 3), "bounds": bounds(hits, draws)}
    return found


def false_refusals(collection: Collection) -> dict:
    """How often the guard refuses or widens slices of families left out whole, with all others labelled."""
    labelled, counts = collection.labelled, {"n_slices": 0, "refused": 0, "refused_in_error": 0, "widened": 0}
    for family in collection.families:
        own = labelled.rows(labelled.families != family)
        sentinel = Sentinel(confidence_level=LEVEL).fit(
            own.profiles, own.correct, groups=own.slices, families=own.families
        )
        rest = labelled.rows(labelled.families == family)
        for name in np.unique(rest.slices):
            target = rest.rows(rest.slices == name)
            row = sentinel.estimate(target.profiles, by=target.slices)[0]
            counts["n_slices"] += 1
            counts["widened"] += isinstance(row, Estimate) and not row.in_support
            if isinstance(row, NotEnoughData):
                counts["refused"] += 1
                estimate = sentinel.fitted_.rule.estimate(target.profiles)
                low, high = prediction_interval(
                    estimate, sentinel.residuals_, n=len(target.correct), confidence_level=LEVEL
                )
                counts["refused_in_error"] += low <= target.correct.mean() <= high
    return {name: int(value) for name, value in counts.items()}


def pooled(draws: int) -> dict:
    """Coverage of unseen subjects alone and with `pool`, every model labelled on the same ones."""
    collections, cells = load("mmlupro"), {}
    for n_families in (4, 6):
        rng = np.random.default_rng([SEED, n_families])
        for _ in range(draws):
            seen = rng.permutation(collections[0].families)[:n_families]
            parts = [c.labelled.rows(np.isin(c.labelled.families, seen)) for c in collections]
            own = [part.rows(draw_labels(rng, part.families, 300)) for part in parts]
            alone = [fit(one) for one in own]
            for j, collection in enumerate(collections):
                others = [s.residuals_ for i, s in enumerate(alone) if i != j and s is not None and s.residuals_]
                if alone[j] is None:
                    continue
                rest = collection.labelled.rows(~np.isin(collection.labelled.families, seen))
                for kind, sentinel in (("alone", alone[j]), ("pooled", fit(own[j], pool=others))):
                    cell = cells.setdefault(f"mmlupro, 300 labels, {n_families} families, {kind}", Cell())
                    cell.units += len(np.unique(rest.families))
                    for row in sentinel.estimate(rest.profiles, by=rest.slices, families=rest.families):
                        cell.add(row, float(rest.correct[rest.slices == row.slice].mean()))
    return {key: cell.summary() for key, cell in cells.items()}


def other_models(draws: int) -> dict:
    """Error, coverage and width on subjects without labels, label-free and from other models' labels."""
    collections, found = load("mmlupro"), {}
    realized = [c.labelled.responses.accuracies for c in collections]
    for n_families in (4, 7):
        rng = np.random.default_rng([SEED, n_families])
        for _ in range(draws):
            seen = rng.permutation(collections[0].families)[:n_families]
            for j, collection in enumerate(collections):
                part = collection.labelled.rows(np.isin(collection.labelled.families, seen))
                own = part.rows(draw_labels(rng, part.families, 300))
                sentinel = fit(own)
                if sentinel is None:
                    continue
                rows = known_by_labels(
                    sentinel.estimate(collection.labelled.profiles, by=collection.labelled.slices, left_out=True),
                    own,
                )
                others = [realized[i] for i in rng.permutation(len(realized)) if i != j]
                for n_others in (0, 1, 3, len(others)):
                    mixed = with_other_models(rows, others[:n_others], confidence_level=LEVEL)
                    key = f"{n_families} labelled subjects, {n_others} other models"
                    found.setdefault(key, []).extend(
                        (
                            abs(row.accuracy - realized[j][row.slice]),
                            row.low <= realized[j][row.slice] <= row.high,
                            (row.high - row.low) / 2,
                        )
                        for row in mixed.estimates
                        if isinstance(row, Estimate) and not row.n_labels
                    )
    return {
        key: dict(zip(("error", "coverage", "half_width"), np.mean(rows, axis=0).round(4).tolist(), strict=True))
        | {"n_slices": len(rows)}
        for key, rows in found.items()
    }


def known_by_labels(rows: SliceEstimates, own: Labelled) -> list[Estimate | NotEnoughData]:
    """Estimates that know of the drawn labels and of no others."""
    known = own.responses.accuracies
    return [
        replace(row, realized_accuracy=known.get(row.slice), n_labels=int((own.slices == row.slice).sum()))
        for row in rows
    ]


def fit(own: Labelled, **options) -> Sentinel | None:
    """None where the labels drawn are of one kind."""
    try:
        return Sentinel(confidence_level=LEVEL, bootstraps=10, **options).fit(
            own.profiles, own.correct, groups=own.slices, families=own.families
        )
    except NotEnoughDataError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--pooled-draws", type=int, default=8)
    options = parser.parse_args()
    result: dict = {"seed": SEED, "confidence_level": LEVEL, "draws": options.draws, "cells": {}}
    result["simulated"] = simulated(np.random.default_rng(SEED), 2000)
    print(result["simulated"], flush=True)
    for name in ("specialist", "smollm2", "gemma3"):
        (collection,) = load(name)
        result.setdefault("guard", {})[name] = false_refusals(collection)
        cells: dict[str, Cell] = {}
        for n_labels in LABELS if name == "specialist" else (300,):
            for n_families in FAMILIES:
                rng = np.random.default_rng([SEED, n_labels, n_families])
                for _ in range(options.draws):
                    one_draw(rng, collection, cells, n_labels=n_labels, n_families=n_families)
        result["cells"] |= {key: cell.summary() for key, cell in cells.items()}
        print(name, result["guard"][name], flush=True)
        for key in cells:
            print(" ", key, result["cells"][key], flush=True)
    within = [cell["within"] for cell in result["cells"].values() if cell.get("n_slices")]
    if DATA.exists():
        result["pooled"] = pooled(options.pooled_draws)
        result["other_models"] = other_models(max(options.pooled_draws // 2, 1))
        print(result["pooled"], result["other_models"], flush=True)
    result["cells_within"] = [int(sum(within)), len(within)]
    result["versions"] = {package: version(package) for package in ("nilometer", "scikit-learn", "numpy", "scipy")}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
