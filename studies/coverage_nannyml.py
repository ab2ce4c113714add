"""NannyML's CBPE on the same labels and the same unseen tasks as the sentinel, coverage of nominal 90 % bands.

    python studies/coverage_nannyml.py export FOLDER          # in the project's environment
    python studies/coverage_nannyml.py estimate FOLDER        # where nannyml==0.13.1 and statsmodels are installed

For every draw of labels, the probability of a correct answer (the sentinel's classifier, so that both see the same
score) and the labels are CBPE's reference; every unseen slice is a chunk whose accuracy it estimates. Its band is three
sampling errors; 1.645 of them are the nominal 90 % compared here. Results: studies/results/coverage_nannyml.json.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "coverage_nannyml.json"
LABELS, FAMILIES, DRAWS, LEVEL, FACTOR = (50, 100, 300, 1000), 6, 10, 0.9, 1.645


def export(folder: Path) -> None:
    from coverage import SEED, draw_labels
    from evidence import load

    from nilometer.estimators import Estimate, Sentinel

    folder.mkdir(parents=True, exist_ok=True)
    (collection,) = load("specialist")
    labelled = collection.labelled
    for n_labels in LABELS:
        rng = np.random.default_rng([SEED, n_labels, FAMILIES])
        for draw in range(DRAWS):
            names = rng.permutation(collection.families)
            seen = np.flatnonzero(np.isin(labelled.families, names[:FAMILIES]))
            own = labelled.rows(seen[draw_labels(rng, labelled.families[seen], n_labels)])
            rest = labelled.rows(np.isin(labelled.families, names[FAMILIES:]))
            sentinel = Sentinel(confidence_level=LEVEL, bootstraps=10).fit(
                own.profiles, own.correct, groups=own.slices, families=own.families
            )
            rows = [row for row in sentinel.estimate(rest.profiles, by=rest.slices) if isinstance(row, Estimate)]
            order = np.argsort(rest.slices, kind="stable")
            np.savez(
                folder / f"{n_labels}-{draw}.npz",
                reference_p=sentinel.predict_proba(own.profiles)[:, 1],
                reference_correct=own.correct,
                p=sentinel.predict_proba(rest.profiles)[order, 1],
                correct=rest.correct[order],
                slices=rest.slices[order],
                names=np.array([row.slice for row in rows]),
                accuracy=np.array([row.accuracy for row in rows]),
                low=np.array([row.low for row in rows]),
                high=np.array([row.high for row in rows]),
            )


def cbpe(data) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and sampling errors, one per slice in alphabetical order."""
    os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"  # it reports every call to a server otherwise
    import nannyml
    import pandas as pd

    size = len(data["slices"]) // len(np.unique(data["slices"]))
    reference = pd.DataFrame({"p": data["reference_p"], "pred": 1, "correct": data["reference_correct"].astype(int)})
    estimator = nannyml.CBPE(
        y_pred_proba="p",
        y_pred="pred",
        y_true="correct",
        problem_type="classification_binary",
        metrics=["accuracy"],
        chunk_size=size,
    )
    estimator.fit(reference)
    found = estimator.estimate(pd.DataFrame({"p": data["p"], "pred": 1})).filter(period="analysis").to_df()
    return found[("accuracy", "value")].to_numpy(), found[("accuracy", "sampling_error")].to_numpy()


def estimate(folder: Path) -> None:
    from importlib.metadata import version

    cells = {}
    for n_labels in LABELS:
        hits, widths, ours, our_widths, errors, our_errors = [], [], [], [], [], []
        for draw in range(DRAWS):
            data = np.load(folder / f"{n_labels}-{draw}.npz")
            value, error = cbpe(data)
            names = np.unique(data["slices"])
            realized = np.array([data["correct"][data["slices"] == name].mean() for name in names])
            hits.append(np.abs(value - realized) <= FACTOR * error)
            widths.append(FACTOR * error)
            errors.append(np.abs(value - realized))
            at = realized[np.searchsorted(names, data["names"])]
            ours.append((data["low"] - 1e-9 <= at) & (at <= data["high"] + 1e-9))
            our_errors.append(np.abs(data["accuracy"] - at))
            our_widths.append((data["high"] - data["low"]) / 2)
        mean = {
            name: round(float(np.concatenate(v).mean()), 3)
            for name, v in (
                ("cbpe_coverage", hits),
                ("cbpe_half_width", widths),
                ("cbpe_error", errors),
                ("sentinel_coverage", ours),
                ("sentinel_half_width", our_widths),
                ("sentinel_error", our_errors),
            )
        }
        cells[str(n_labels)] = {**mean, "n_slices": sum(map(len, hits))}
        print(n_labels, cells[str(n_labels)], flush=True)
    result = {"nannyml": version("nannyml"), "confidence_level": LEVEL, "families": FAMILIES, "draws": DRAWS}
    RESULT.write_text(json.dumps({**result, "cells": cells}, indent=1) + "\n")


if __name__ == "__main__":
    {"export": export, "estimate": estimate}[sys.argv[1]](Path(sys.argv[2]))
