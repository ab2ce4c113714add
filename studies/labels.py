"""What labels bring: error, coverage and width of slice accuracies after n labels per slice.

    python studies/labels.py [--draws 5] [--traces ../shared/data/traces]

Slices: the 12 tasks of the recorded corpus `specialist`, and where the files are there 14 subjects of 33 models
(MMLU-Pro; one number per response, the mean token probability, entered as `nll_avg` = -log of it) and 5 benchmarks of
10 models (`max_prob` in the same way, 2,000 questions each). Every slice is estimated by a sentinel that never saw a
label of its family; labels are then drawn in it by each design. The accuracy asked for is that of the slice's
responses. Two choices were made after figures had been seen: the weight of PPI++ divides by the variance of all
predictions and lies in [0, 1] (with 10 labels the error was .168 on the benchmarks, labels alone .121), and the prior
is a Beta around the estimate with an uncertain spread (with normal tails 95 % intervals covered .80 on the recorded
tasks after 10 labels), chosen on half of the recorded tasks.
Means over slices; 95 % intervals are bootstraps over models, or over slices where
there is one model. Correlated rows: four sampled answers to each prompt (`specialist_samples`), labelled prompt by
prompt.
Result: studies/results/labels.json.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.estimators import (
    Estimate,
    Sentinel,
    combine,
    cut_strata,
    draw_sample,
    inclusion_probabilities,
    labelled_mean,
    neyman_allocation,
    ppi_mean,
    shrink_accuracies,
    stratified_mean,
    weighted_mean,
)
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces, slice_names

RESULT = Path(__file__).parent / "results" / "labels.json"
SEED, NUMBERS, MANY, STRATA = 20261125, (10, 20, 50, 100), (50, 100, 150, 200, 300, 400, 600, 800, 1000, 1200), 5


class Slice(NamedTuple):
    model: str
    name: str
    truth: np.ndarray
    p_correct: np.ndarray
    estimate: Estimate


def slices_of(model: str, profiles: pa.Table, correct: np.ndarray, names: np.ndarray) -> list[Slice]:
    """Estimate every slice by a sentinel that never saw it."""
    sentinel = Sentinel(bootstraps=0).fit(profiles, correct, groups=names)
    found = []
    for estimate in sentinel.estimate(profiles, by=names, left_out=True):
        own = names == estimate.slice
        if not isinstance(estimate, Estimate):
            continue
        p = sentinel.left_out_[estimate.slice].rule.p_correct(sentinel.labelled_.profiles.rows(own))
        found.append(Slice(model, estimate.slice, correct[own], p, estimate))
    return found


def recorded() -> list[Slice]:
    table = profile_traces(read_traces(corpus_path("specialist")))
    names = np.asarray(slice_names(table, ["domain"]).to_pylist())
    return slices_of("specialist", table, table["correct"].to_numpy().astype(float), names)


def public(folder: Path, file: str, column: str, *, by: str, most: int) -> list[Slice]:
    table = pq.read_table(folder / file)
    if file.startswith("mcq"):
        keep = (table["prompt"].to_numpy(zero_copy_only=False) == "first") & (table["shots"].to_numpy() == 0)
        table = table.filter(pa.array(keep))
    models = np.asarray(table["model"].to_pylist())
    found, rng = [], np.random.default_rng(SEED)
    for model in sorted(set(models.tolist())):
        own = table.filter(pa.array(models == model))
        probability, names = own[column].to_numpy(zero_copy_only=False).astype(float), np.asarray(own[by].to_pylist())
        known = ~np.isnan(probability) & (probability > 0)
        rows = np.concatenate([rng.permutation(np.flatnonzero(known & (names == n)))[:most] for n in np.unique(names)])
        profiles = pa.table({"nll_avg": -np.log(probability[rows])})
        correct = own["correct"].to_numpy(zero_copy_only=False).astype(float)[rows]
        found += slices_of(model, profiles, correct, names[rows])
    return found


def draw(truth: np.ndarray, rows: np.ndarray) -> np.ndarray:
    correct = np.full(len(truth), np.nan)
    correct[rows] = truth[rows]
    return correct


def designs(one: Slice, n: int, rng: np.random.Generator) -> dict:
    """Return the accuracy by each design after n labels, drawn anew for each design that draws its own way."""
    p, truth = one.p_correct, one.truth
    plain = draw(truth, rng.choice(len(truth), n, replace=False))
    strata = cut_strata(p, max(1, min(STRATA, n // 4)))
    spreads = np.array([np.sqrt(np.mean((p * (1 - p))[strata == h])) for h in range(strata.max() + 1)])
    allocation = neyman_allocation(np.bincount(strata), spreads, n)
    rows = [rng.choice(np.flatnonzero(strata == h), m, replace=False) for h, m in enumerate(allocation)]
    inclusion = inclusion_probabilities(p, n)
    labels, ppi = labelled_mean(plain), ppi_mean(plain, p)
    return {
        "labels alone": labels,
        "ppi++": ppi,
        "stratified": stratified_mean(draw(truth, np.concatenate(rows)), strata),
        "active": weighted_mean(draw(truth, draw_sample(inclusion, rng=rng)), p, inclusion),
        "labels with prior": combine(one.estimate, labels),
        "ppi++ with prior": combine(one.estimate, ppi),
    }


def after_labels(slices: list[Slice], numbers: tuple[int, ...], draws: int) -> dict:
    """Errors, coverage and half-widths of shape (slices, draws) per design and number of labels."""
    result = {}
    for n in numbers:
        fit = [one for one in slices if len(one.truth) > n]
        if not fit:
            continue
        rng = np.random.default_rng([SEED, n])
        found = [[designs(one, n, rng) for one in fit] for _ in range(draws)]
        truth = np.array([one.truth.mean() for one in fit])
        per = {name: np.array([[row[name] for row in rows] for rows in _plain(found)]) for name in found[0][0]}
        pas = [_shrunk(rows, fit) for rows in found]
        result[n] = {"n_slices": len(fit)}
        for name, values in per.items():
            accuracy, low, high = values[..., 0], values[..., 1], values[..., 2]
            result[n][name] = {
                "error": np.abs(accuracy - truth).mean(axis=0),
                "width": ((high - low) / 2).mean(axis=0),
                "coverage": ((low <= truth) & (truth <= high)).mean(axis=0),
            }
        result[n]["ppi++ shrunk over slices (PAS)"] = {"error": np.abs(np.array(pas) - truth).mean(axis=0)}
        result[n]["models"] = np.array([one.model for one in fit])
    return result


def _plain(found: list) -> list:
    return [[{name: (a.accuracy, a.low, a.high) for name, a in row.items()} for row in rows] for rows in found]


def _shrunk(rows: list[dict], slices: list[Slice]) -> np.ndarray:
    models, result = np.array([one.model for one in slices]), np.empty(len(slices))
    for model in set(models.tolist()):
        own = np.flatnonzero(models == model)
        variances = np.array([max(rows[i]["ppi++"].standard_error ** 2, 1e-4) for i in own])
        labelled = np.array([rows[i]["ppi++"].accuracy for i in own])
        predicted = np.array([slices[i].estimate.accuracy for i in own])
        result[own] = shrink_accuracies(labelled, variances, predicted).accuracy
    return result


def interval(values: np.ndarray, models: np.ndarray) -> list[float]:
    """95 % bootstrap interval of a mean over slices, models (or slices of the one model) drawn again."""
    units = models if len(set(models.tolist())) > 1 else np.arange(len(values)).astype(str)
    names = np.unique(units)
    sums = np.array([[values[units == name].sum(), (units == name).sum()] for name in names])
    rng = np.random.default_rng(SEED)
    drawn = sums[rng.integers(0, len(names), (2000, len(names)))].sum(axis=1)
    return [round(float(q), 4) for q in np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])]


def summary(slices: list[Slice], draws: int) -> dict:
    truth = np.array([one.truth.mean() for one in slices])
    estimated = np.array([one.estimate.accuracy for one in slices])
    models = np.array([one.model for one in slices])
    held = np.array([one.estimate.low <= a <= one.estimate.high for one, a in zip(slices, truth, strict=True)])
    apart = np.abs(estimated - truth)
    result = {
        "n_slices": len(slices),
        "n_models": len(set(models.tolist())),
        "responses_per_slice": [int(f([len(one.truth) for one in slices])) for f in (min, np.median, max)],
        "0": {
            "label-free estimate": {
                "error": round(float(apart.mean()), 4),
                "error_interval": interval(apart, models),
                "coverage": round(float(held.mean()), 3),
            }
        },
    }
    for n, found in after_labels(slices, NUMBERS, draws).items():
        result[str(n)] = {
            name: {
                "error": round(float(row["error"].mean()), 4),
                "error_interval": interval(row["error"], found["models"]),
                **{k: round(float(row[k].mean()), 4) for k in ("coverage", "width") if k in row},
            }
            for name, row in found.items()
            if isinstance(row, dict)
        }
    return result


def labels_needed(slices: list[Slice], draws: int) -> dict:
    """Labels at which the mean half-width of 95 % intervals reaches .05 and .02, interpolated on the numbers tried."""
    large: list[Slice] = []
    for least in (1900, 900):
        large = large or [one for one in slices if len(one.truth) >= least]
    if not large:
        return {}
    smallest = min(len(one.truth) for one in large)
    found = after_labels(large, tuple(n for n in MANY if n < smallest), draws)
    result = {
        "n_slices": len(large),
        "mean_accuracy_times_error": round(
            float(np.mean([one.truth.mean() * (1 - one.truth.mean()) for one in large])), 3
        ),
        "median_responses": int(np.median([len(one.truth) for one in large])),
    }
    for name in next(iter(found.values())):
        if "width" not in (found[MANY[0]][name] if isinstance(found[MANY[0]][name], dict) else {}):
            continue
        widths = np.array([found[n][name]["width"].mean() for n in found])
        result[name] = {
            f"+-{h}": None if widths.min() > h else round(float(np.interp(-h, -widths, list(found))))
            for h in (0.05, 0.02)
        }
    return result


def correlated(repetitions: int = 400) -> dict:
    """Coverage of 90 % intervals for the traffic behind four answers to each prompt, whole prompts labelled."""
    table = profile_traces(read_traces(corpus_path("specialist_samples")))
    names = np.asarray(slice_names(table, ["domain"]).to_pylist())
    prompts = np.asarray(table["prompt_id"].to_pylist())
    correct = table["correct"].to_numpy().astype(float)
    rng, rows = np.random.default_rng(SEED), {"one by one": [], "prompt by prompt": []}
    for name in np.unique(names):
        own = np.flatnonzero(names == name)
        clusters, place = np.unique(prompts[own], return_inverse=True)
        for _ in range(repetitions // 12):
            shown = np.isin(place, rng.choice(len(clusters), 30, replace=False))
            labels = np.where(shown, correct[own], np.nan)
            for kind, given in (("one by one", None), ("prompt by prompt", place)):
                found = labelled_mean(labels, clusters=given, confidence_level=0.9)
                truth = correct[own].mean()
                rows[kind].append((found.low <= truth <= found.high, (found.high - found.low) / 2))
    return {
        "nominal": 0.9,
        "labelled": "30 of 150 prompts, 4 answers each",
        "repetitions": len(rows["one by one"]),
        **{
            kind: dict(zip(("coverage", "width"), np.mean(v, axis=0).round(3).tolist(), strict=True))
            for kind, v in rows.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--traces", type=Path, default=Path(__file__).parents[1] / "../shared/data/traces")
    options = parser.parse_args()
    corpora = {"specialist, 12 tasks": recorded()}
    if options.traces.exists():
        corpora["MMLU-Pro, 14 subjects"] = public(
            options.traces, "mmlupro.parquet", "mean_token_prob", by="domain", most=10**9
        )
        corpora["five benchmarks"] = public(
            options.traces, "mcq_confidence.parquet", "max_prob", by="dataset", most=2000
        )
    result = {
        "seed": SEED,
        "draws_per_slice": options.draws,
        **{
            name: summary(slices, options.draws * (6 if name.startswith("spec") else 1))
            for name, slices in corpora.items()
        },
        "labels_needed": {name: labels_needed(slices, 1) for name, slices in corpora.items()},
        "correlated_rows": correlated(),
        "versions": {name: version(name) for name in ("nilometer", "scikit-learn", "numpy")},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
