"""Do labels give the intervals that a plan promises?

The recorded answers of a model that was fine-tuned on half of its tasks (`specialist`), sliced by task and, for more
and smaller slices, by task and level. A share of the labels is known; a plan for some more is drawn as by
`nilometer plan label`; its labels are looked up and measured as by `nilometer plan measure`. For every slice that got a
label, the half-width promised by the plan is compared with that of the interval measured. Repeated over seeds of which
labels are known and which responses are drawn.

    uv run python studies/plan_promises.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from nilometer.decisions import headline_estimates, measure_plan, plan_labels
from nilometer.estimators import cut_responses, fit_sentinel
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces

HERE = Path(__file__).parent
SEEDS = 5
SETTINGS = (("domain", 300, 120), ("domain", 600, 300), ("domain,level", 600, 400))
"""Slice keys, labels known, labels planned."""


def one_plan(
    table: pa.Table, keys: list[str], known: int, *, budget: int, seed: int
) -> list[tuple[float, float, bool]]:
    """Promised and measured half-width of every slice that the plan labels, and whether the interval holds."""
    rng = np.random.default_rng(seed)
    truth = table["correct"].to_numpy().astype(float)
    shown = np.full(len(truth), np.nan)
    rows = rng.choice(len(truth), known, replace=False)
    shown[rows] = truth[rows]
    responses = cut_responses(table, keys, correct=shown)
    sentinel, _ = fit_sentinel(responses)
    found = headline_estimates(sentinel, responses)
    plan = plan_labels(found.responses, found.label_free, budget, rng=rng, believed=found.estimates)
    labels = dict(zip(responses.trace_ids.tolist(), truth.tolist(), strict=True))
    measured = {row.slice: row for row in measure_plan([plan.labels], labels, standing=plan.standing)}
    realized = dict(zip(responses.slices.names, _means(responses.slices, truth), strict=True))
    return [
        (
            row.expected_half_width,
            (measured[row.slice].high - measured[row.slice].low) / 2,
            measured[row.slice].low <= realized[row.slice] <= measured[row.slice].high,
        )
        for row in plan.slices
        if row.n_new
    ]


def _means(slices, values: np.ndarray) -> list[float]:
    return (np.bincount(slices.codes, values) / slices.counts).tolist()


def main() -> None:
    table = profile_traces(read_traces(corpus_path("specialist")))
    settings = []
    for keys, known, budget in SETTINGS:
        pairs = [
            pair for seed in range(SEEDS) for pair in one_plan(table, keys.split(","), known, budget=budget, seed=seed)
        ]
        promised, measured, holds = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
        off = measured / promised - 1
        settings.append(
            {
                "keys": keys,
                "labels_known": known,
                "labels_planned": budget,
                "slices": len(pairs),
                "promised_median": round(float(np.median(promised)), 4),
                "measured_median": round(float(np.median(measured)), 4),
                "ratio_quantiles_05_50_95": np.quantile(off + 1, [0.05, 0.5, 0.95]).round(3).tolist(),
                "within_a_quarter": round(float((np.abs(off) <= 0.25).mean()), 4),
                "intervals_that_hold": round(float(holds.mean()), 4),
            }
        )
        print(settings[-1])
    result = {"seeds": SEEDS, "confidence_level": 0.95, "nilometer": version("nilometer"), "settings": settings}
    (HERE / "results" / "plan_promises.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
