"""What second opinions bring: MMLU-Pro with the answers of forty models, and further draws on the corpus's open tasks.

    python studies/second_opinions.py [--draws 6]

MMLU-Pro: the model in question has 75 labels in each of four subjects drawn at random; the accuracy of the other ten is
estimated from its own token probability, the confidence that it states, and whether other models chose the same option,
on all responses or on a random 25 or 50 of each subject (and on the labelled ones). `agreement rate` takes the share
of equal answers for the accuracy. Open tasks: `specialist_samples`, four draws of each prompt; four labelled tasks,
240 labels each, slices are levels; a draw is compared with the other three. Errors are mean absolute errors of slice
accuracies; coverage and mean half-width are those of nominal 90 % intervals, bounds 95 % by bootstrap over models (open
tasks: over compositions). Models and tasks are split into halves by every second name: the expected spread of the
residuals was chosen on the first half. Results: studies/results/second_opinions.json.
"""

import argparse
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from evidence import DATA, halves

from nilometer.estimators import Profiles, Sentinel, as_profiles
from nilometer.signals import STATED_CONFIDENCE, agreement_column, draw_agreement, profile_traces
from nilometer.traces import corpus_path, read_traces, slice_names

RESULT = Path(__file__).parent / "results" / "second_opinions.json"
SEED, LEVEL, LABELS, SUBJECTS = 20261128, 0.9, 75, 4
SMALL, CHEAP, STRONG = "Meta-Llama-3.1-8B-Instruct-Turbo", "gpt-4o-mini-2024-07-18", "gpt-4.1"
STRONG_THREE = (STRONG, "claude-3-7-sonnet-20250219", "o4-mini-2025-04-16")
SETTINGS: dict[str, tuple[tuple[str, ...], bool, int]] = {
    "own tokens": ((), False, 0),
    "+ stated confidence": ((), True, 0),
    "+ small model": ((SMALL,), False, 0),
    "+ cheap model": ((CHEAP,), False, 0),
    "+ cheap model, 50 a subject": ((CHEAP,), False, 50),
    "+ cheap model, 25 a subject": ((CHEAP,), False, 25),
    "+ both": ((SMALL, CHEAP), False, 0),
    "+ both + stated": ((SMALL, CHEAP), True, 0),
    "+ both + stated, 50 a subject": ((SMALL, CHEAP), True, 50),
    "+ strong model": ((STRONG,), False, 0),
    "+ three strong models": (STRONG_THREE, False, 0),
}
TARGETS = {
    "one cheap model": ("+ cheap model", "error", 0.050),
    "two models and stated confidence": ("+ both + stated", "error", 0.042),
    "a strong model": ("+ strong model", "error", 0.032),
    "half-width with two models": ("+ both", "half_width", 0.13),
}


class Answers:
    """The answers of all models to the same questions."""

    def __init__(self, path: Path) -> None:
        table = pq.read_table(path)
        names = table["model"].cast(pa.string()).to_numpy(zero_copy_only=False)
        self.columns, order = {}, table["question_id"].to_numpy()
        for model in sorted(set(names.tolist()) - {"phi-4"}):
            rows = np.flatnonzero(names == model)
            self.columns[model] = table.take(pa.array(rows[np.argsort(order[rows])]))
        self.answers = {model: _texts(one["answer"]) for model, one in self.columns.items()}
        self.subject = _texts(next(iter(self.columns.values()))["domain"])

    @property
    def models(self) -> list[str]:
        """Those with token probabilities."""
        return [name for name, one in self.columns.items() if one["mean_token_prob"].null_count < len(one) // 10]

    def correct(self, model: str) -> np.ndarray:
        return self.columns[model]["correct"].to_numpy().astype(float)

    def profiles(self, model: str, others: tuple[str, ...], *, stated: bool, asked: np.ndarray) -> Profiles:
        own = self.columns[model]
        average = -np.log(np.clip(own["mean_token_prob"].to_numpy().astype(float), 1e-4, 1 - 1e-6))
        values = {
            "nll_avg": average,
            "nll_sum": average * np.maximum(own["n_tokens"].to_numpy(), 1),
            "no_answer": (self.answers[model] == "").astype(float),
        }
        for other in others:
            same = (self.answers[other] == self.answers[model]) & (self.answers[model] != "")
            values[agreement_column(other)] = np.where(asked, same, np.nan)
        if stated:
            said = own["verbal_numerical"].to_numpy().astype(float)
            values[STATED_CONFIDENCE] = np.where(said > 1, np.nan, said)
        provenance = {"k": (), "logprobs_mode": (), "model": (model,)}
        return Profiles(np.stack(list(values.values()), axis=1), tuple(values), provenance)


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False).astype(str)


def judge(sentinel: Sentinel, profiles: Profiles, correct: np.ndarray, names: np.ndarray, **more) -> list[tuple]:
    """Error, hit and half-width of every slice."""
    found = []
    for row in sentinel.estimate(profiles, names, **more):
        if hasattr(row, "accuracy"):
            truth = correct[names == row.slice].mean()
            hit = row.low - 1e-9 <= truth <= row.high + 1e-9
            found.append((abs(row.accuracy - truth), hit, (row.high - row.low) / 2))
    return found


def of_model(answers: Answers, model: str, setting: tuple, draws: int, seed: int) -> list[tuple]:
    others, stated, sample = setting
    correct, subject, found = answers.correct(model), answers.subject, []
    for draw in range(draws):
        rng = np.random.default_rng([SEED, seed, draw])
        labelled = rng.choice(np.unique(subject), SUBJECTS, replace=False)
        picked = {name: rng.permutation(np.flatnonzero(subject == name)) for name in np.unique(subject)}
        own = np.concatenate([picked[name][:LABELS] for name in labelled])
        asked = np.ones(len(subject), dtype=bool)
        if sample:
            asked[:] = False
            asked[np.concatenate([own, *(picked[name][:sample] for name in picked if name not in labelled)])] = True
        profiles = answers.profiles(model, others, stated=stated, asked=asked)
        sentinel = Sentinel(bootstraps=0, confidence_level=LEVEL).fit(
            profiles.rows(own), correct[own], groups=subject[own]
        )
        new = ~np.isin(subject, labelled)
        found += judge(sentinel, profiles.rows(new), correct[new], subject[new])
    return found


def summary(groups: list[list[tuple]]) -> dict:
    """Means over all slices, and 95 % bounds of error and coverage by bootstrap over the groups."""
    rng, parts = np.random.default_rng(SEED), [np.array(group, dtype=float) for group in groups if group]
    means = np.concatenate(parts).mean(axis=0)
    drawn = [
        np.concatenate([parts[i] for i in rng.integers(0, len(parts), len(parts))]).mean(axis=0) for _ in range(500)
    ]
    bounds = np.quantile(np.array(drawn), [0.025, 0.975], axis=0).round(4)
    return {
        "error": round(float(means[0]), 4),
        "error_bounds": bounds[:, 0].tolist(),
        "coverage": round(float(means[1]), 4),
        "coverage_bounds": bounds[:, 1].tolist(),
        "half_width": round(float(means[2]), 4),
        "n": sum(map(len, parts)),
    }


def choices(draws: int) -> dict:
    answers = Answers(DATA / "mmlupro_answers_dev.parquet")
    result: dict = {}
    for half, models in zip(("choice", "figures"), halves(answers.models), strict=True):
        result[half] = {"models": models}
        for name, setting in SETTINGS.items():
            asked = [model for model in models if model not in setting[0]]
            result[half][name] = summary(
                [of_model(answers, model, setting, draws, answers.models.index(model)) for model in asked]
            )
            print(half, name, json.dumps(result[half][name]), flush=True)
        rates = [_rates(answers, model) for model in models if model != CHEAP]
        result[half]["agreement rate"] = round(float(np.mean(rates)), 4)
    return result


def _rates(answers: Answers, model: str) -> float:
    same = answers.answers[model] == answers.answers[CHEAP]
    correct = answers.correct(model)
    slices = [answers.subject == name for name in np.unique(answers.subject)]
    return float(np.mean([abs(same[rows].mean() - correct[rows].mean()) for rows in slices]))


def open_tasks(draws: int) -> dict:
    """Further draws of the same model as second opinions."""
    table = pa.Table.from_batches(list(read_traces(corpus_path("specialist_samples"))))
    prompts = np.unique(table["prompt_id"].to_pylist(), return_inverse=True)[1]
    agrees = draw_agreement(table["answer"].to_pylist(), prompts)
    table = profile_traces(table)
    family, slices = (np.asarray(slice_names(table, keys).to_pylist()) for keys in (["domain"], ["domain", "level"]))
    correct = table["correct"].to_numpy().astype(float)
    told = table.append_column(agreement_column("further draws"), pa.array(agrees))
    result: dict = {}
    for name, data in (("own tokens", table), ("+ three further draws", told)):
        profiles, groups = as_profiles(data), []
        for draw in range(4 * draws):
            rng = np.random.default_rng([SEED, draw])
            labelled = rng.choice(np.unique(family), SUBJECTS, replace=False)
            own = np.concatenate([rng.choice(np.flatnonzero(family == one), 240, replace=False) for one in labelled])
            sentinel = Sentinel(bootstraps=0, confidence_level=LEVEL).fit(
                profiles.rows(own), correct[own], groups=slices[own], families=family[own]
            )
            new = ~np.isin(family, labelled)
            groups.append(judge(sentinel, profiles.rows(new), correct[new], slices[new], families=family[new]))
        result[name] = summary(groups)
        print("open", name, json.dumps(result[name]), flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=6)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    result: dict = {"seed": SEED, "level": LEVEL, "labels": LABELS, "subjects": SUBJECTS, "draws": options.draws}
    result["open tasks"] = open_tasks(options.draws)
    result["multiple choice"] = choices(options.draws)
    figures = result["multiple choice"]["figures"]
    result["targets"] = {
        name: {"target": most, "measured": figures[setting][field], "met": figures[setting][field] <= most}
        for name, (setting, field, most) in TARGETS.items()
    }
    result["versions"] = {package: version(package) for package in ("nilometer", "numpy", "scipy")}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
