"""The quickstarts of NannyML and Evidently beside ours, on the same recorded answers; results/neighbours.json.

    python studies/neighbours.py export FOLDER    # in the project's environment
    python studies/neighbours.py run FOLDER       # with nannyml==0.13.1, statsmodels and evidently==0.7.23

Ten of twelve tasks have labels (reference), two do not (monitored). The score that NannyML calibrates is the model's
own probability of its answer, exp(-nll_sum). The bodies of `with_*` are the code that docs/coming-from.md shows.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "neighbours.json"
MONITORED = ("leap_year", "multiplication")


def with_nilometer(reference, monitored):
    from nilometer import Sentinel

    sentinel = Sentinel()
    sentinel.fit(reference, reference["correct"].to_numpy(), groups=reference["domain"].tolist())
    estimates = sentinel.estimate(monitored, by=monitored["domain"].tolist())
    return estimates.to_pandas()


def with_nannyml(reference, monitored):
    import nannyml

    estimator = nannyml.CBPE(
        y_pred_proba="p",
        y_pred="answered",
        y_true="correct",
        problem_type="classification_binary",
        metrics=["accuracy"],
        chunk_size=600,
    )
    estimator.fit(reference)
    estimates = estimator.estimate(monitored)
    return estimates.filter(period="analysis").to_df()


def with_evidently(reference, monitored):
    from evidently import Report
    from evidently.presets import DataDriftPreset

    report = Report([DataDriftPreset(columns=["p", "max", "nll_sum"])])
    run = report.run(monitored, reference)
    return run.dict()


def export(folder: Path) -> None:
    """Write the two tables and what nilometer makes of them."""
    import numpy as np

    from nilometer.signals import FEATURE_NAMES, profile_traces
    from nilometer.traces import corpus_path, read_traces, slice_names

    profiles = profile_traces(read_traces(corpus_path("specialist")))
    table = profiles.select(["trace_id", "model", "k", "correct", *FEATURE_NAMES]).to_pandas()
    table["domain"] = slice_names(profiles, ["domain"]).to_pylist()
    table["correct"] = table["correct"].astype(int)
    table["p"] = np.exp(-table["nll_sum"].astype(float))
    table["answered"] = 1
    hidden = table["domain"].isin(MONITORED)
    reference, monitored = table[~hidden], table[hidden].sort_values("domain", kind="stable")
    folder.mkdir(parents=True, exist_ok=True)
    reference.to_parquet(folder / "reference.parquet")
    monitored.to_parquet(folder / "monitored.parquet")
    found = with_nilometer(reference, monitored)
    realised = monitored.groupby("domain")["correct"].mean()
    rows = {
        row.slice: {"estimate": row.accuracy, "low": row.low, "high": row.high, "realised": realised[row.slice]}
        for row in found.itertuples()
    }
    _write(nilometer={"version": version("nilometer"), "slices": rows})


def run(folder: Path) -> None:
    """What NannyML and Evidently make of the same tables."""
    os.environ |= {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}  # both report their use otherwise
    import pandas as pd

    reference, monitored = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "monitored"))
    found = with_nannyml(reference.reset_index(drop=True), monitored.reset_index(drop=True).drop(columns="correct"))
    accuracy = found["accuracy"]
    rows = {
        name: {
            "estimate": accuracy["value"].iloc[i],
            "low": accuracy["lower_confidence_boundary"].iloc[i],
            "high": accuracy["upper_confidence_boundary"].iloc[i],
            "alert": bool(accuracy["alert"].iloc[i]),
        }
        for i, name in enumerate(MONITORED)
    }
    _write(nannyml={"version": version("nannyml"), "slices": rows})
    drift = {}
    for name in MONITORED:
        one = with_evidently(reference, monitored[monitored["domain"] == name])
        drift[name] = {
            metric["config"]["column"]: {"method": metric["config"]["method"], "value": float(metric["value"])}
            for metric in one["metrics"]
            if metric["config"].get("column")
        }
    _write(evidently={"version": version("evidently"), "slices": drift})


def _write(**part: object) -> None:
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    text = json.dumps(known | part, indent=1, default=float)
    RESULT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    {"export": export, "run": run}[sys.argv[1]](Path(sys.argv[2]))
