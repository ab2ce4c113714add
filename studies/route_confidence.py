"""Per-answer confidence from log-probabilities beside and with agreement; results/route_confidence.json.

    python studies/route_confidence.py

The three recorded models of the corpus on the 1,200 prompts that all answered, compared by final answer. Half of the
prompts of every task (seeded) are labelled; they fit a sentinel on each answer's log-probabilities, the scorer of
agreement and confidence, and the labelled choice of one model. The other half is judged, each prompt by the answer
that a rule gives. A second split labels whole tasks and judges the others. Intervals are 95 % bootstraps over prompts.

Also, where models' answers are not known but their confidence is: the most confident of ten models per prompt on
multiple-choice sets (mcq_confidence.parquet beside the checkout), raw and after isotonic calibration on half.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from route_data import corpus
from sklearn.isotonic import IsotonicRegression

from nilometer.decisions import select_medoid
from nilometer.estimators import Sentinel, Smoothie, fit_answer_scorer
from nilometer.signals import distance_sums, profile_batch
from nilometer.traces import corpus_path, read_panel, read_traces

RESULT = Path(__file__).parent / "results" / "route_confidence.json"
MCQ = Path(__file__).parents[2] / "shared" / "data" / "traces" / "mcq_confidence.parquet"
SEED, BOOTSTRAPS = 20261125, 1000


def confidences(labelled: np.ndarray) -> np.ndarray:
    """(prompts, models) probability of a right answer from a sentinel per model, fitted on the labelled prompts."""
    import pyarrow as pa

    traces = read_traces([corpus_path(name) for name in ("specialist", "smollm2", "gemma3")]).read_all()
    panel = read_panel(traces)
    keep = (panel.rows >= 0).all(axis=(1, 2)).nonzero()[0]
    rows = panel.rows[keep][:, :, 0]
    profiles = pa.Table.from_batches([profile_batch(batch) for batch in traces.to_batches()])
    correct = profiles["correct"].to_numpy()
    found = np.empty(rows.shape)
    for j in range(rows.shape[1]):
        own = rows[labelled, j]
        sentinel = Sentinel(method="pcc", classifier="logistic").fit(profiles.take(pa.array(own)), correct[own])
        found[:, j] = sentinel.predict_proba(profiles.take(pa.array(rows[:, j])))[:, 1]
    return found


def rules(labelled: np.ndarray) -> dict[str, np.ndarray]:
    data = corpus(Path("none"), None)
    table, judged = data.table, ~labelled
    n = int(judged.sum())
    scores = table.scores[judged]
    rows = np.arange(n)
    confidence = confidences(labelled)
    smoothie = Smoothie().fit(table.embeddings)
    local = Smoothie(20).fit(table.embeddings[labelled], prompts=table.prompts[labelled])
    distances = distance_sums(table.embeddings)
    labels = np.where(labelled[:, None], table.scores, np.nan)
    agreement = fit_answer_scorer(distances, labels).p_correct(distances)
    both = fit_answer_scorer(distances, labels, confidence=confidence).p_correct(distances, confidence=confidence)
    weights = np.clip(confidence, 0.01, 0.99)
    weights = weights / (1 - weights)
    best = table.scores[labelled].mean(axis=0).argmax()
    return {
        "random": scores.mean(axis=1),
        "Smoothie, global, one call": scores[:, smoothie.best_],
        "Smoothie, k = 20, one call": scores[rows, local.predict(table.prompts[judged])],
        "nearest to the others": scores[rows, select_medoid(table.embeddings).models[judged]],
        "best single by the labels": scores[:, best],
        "nearest, weighted by the odds of each answer": scores[
            rows, select_medoid(table.embeddings, weights=weights).models[judged]
        ],
        "most confident": scores[rows, confidence[judged].argmax(axis=1)],
        "agreement and labels": scores[rows, agreement[judged].argmax(axis=1)],
        "agreement, confidence and labels": scores[rows, both[judged].argmax(axis=1)],
        "oracle": scores.max(axis=1),
    }


def summary(found: dict[str, np.ndarray], baseline: str) -> dict:
    rng = np.random.default_rng(SEED)
    n = len(next(iter(found.values())))
    drawn = rng.integers(0, n, (BOOTSTRAPS, n))
    result = {}
    for name, values in found.items():
        gap = values - found[baseline]
        result[name] = {
            "score": _interval(values, drawn),
            f"minus {baseline}": _interval(gap, drawn),
        }
    return result


def _interval(values: np.ndarray, drawn: np.ndarray) -> list[float]:
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return [round(100 * float(v), 2) for v in (values.mean(), low, high)]


def multiple_choice() -> dict:
    if not MCQ.exists():
        return {"missing": MCQ.name}
    table = pq.read_table(MCQ)
    frame = {name: table[name].to_numpy(zero_copy_only=False) for name in ("model", "dataset", "prompt", "shots")}
    question = table["question_id"].to_numpy()
    correct = table["correct"].to_numpy(zero_copy_only=False).astype(float)
    p = np.nan_to_num(table["max_prob"].to_numpy(zero_copy_only=False).astype(float))
    result = {}
    for dataset in ("arc", "hellaswag", "truthfulqa", "winogrande"):
        first = frame["prompt"][frame["dataset"] == dataset][0]
        own = (frame["dataset"] == dataset) & (frame["prompt"] == first) & (frame["shots"].astype(int) == 0)
        models = sorted(set(frame["model"][own].tolist()))
        ids = sorted(set.intersection(*({*question[own & (frame["model"] == m)].tolist()} for m in models)))
        place = {q: i for i, q in enumerate(ids)}
        scores, confidence = np.zeros((len(ids), len(models))), np.zeros((len(ids), len(models)))
        for j, model in enumerate(models):
            rows = np.flatnonzero(own & (frame["model"] == model) & np.isin(question, ids))
            at = [place[q] for q in question[rows].tolist()]
            scores[at, j], confidence[at, j] = correct[rows], p[rows]
        half = np.random.default_rng(SEED).permutation(len(ids)) < len(ids) // 2
        judged, rows = scores[~half], np.arange(int((~half).sum()))
        calibrated = np.column_stack(
            [
                IsotonicRegression(out_of_bounds="clip")
                .fit(confidence[half, j], scores[half, j])
                .predict(confidence[~half, j])
                for j in range(len(models))
            ]
        )
        found = {
            "random": judged.mean(axis=1),
            "best single by the labels": judged[:, scores[half].mean(axis=0).argmax()],
            "most confident, raw": judged[rows, confidence[~half].argmax(axis=1)],
            "most confident, calibrated": judged[rows, calibrated.argmax(axis=1)],
            "oracle": judged.max(axis=1),
        }
        result[dataset] = {
            "n_judged": len(rows),
            "n_models": len(models),
            **summary(found, "best single by the labels"),
        }
    return result


def main() -> None:
    data = corpus(Path("none"), None)
    tasks = data.table.groups
    rng = np.random.default_rng(SEED)
    half = np.zeros(len(tasks), dtype=bool)
    for task in np.unique(tasks):
        own = np.flatnonzero(tasks == task)
        half[rng.permutation(own)[: len(own) // 2]] = True
    names = np.unique(tasks)
    whole = np.isin(tasks, names[::2])
    baseline = "best single by the labels"
    result = {
        "half_of_every_task_labelled": {"n_judged": int((~half).sum()), **summary(rules(half), baseline)},
        "half_of_the_tasks_labelled": {
            "labelled": names[::2].tolist(),
            "n_judged": int((~whole).sum()),
            **summary(rules(whole), baseline),
        },
        "multiple_choice": multiple_choice(),
        "multiple_choice_source": "bplaut/llm-calibration-and-correctness-prediction at c176fdd, MIT",
        "seed": SEED,
        "bootstraps": BOOTSTRAPS,
        "versions": {name: version(name) for name in ("nilometer", "numpy", "scikit-learn")},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
