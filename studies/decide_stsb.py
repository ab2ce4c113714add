"""Every rule on every metric for scores that a small model gives to sentence pairs; results/decide_stsb.json.

    python studies/decide_stsb.py --recorded NAME=DEV.jsonl,TEST.jsonl [--recorded ...]

The files are those of `record_scores.py`: the score token's alternatives for pairs of the STS benchmark with the human
score. Calibrators are fitted twice: on a random part of the test file, which is then left out of every figure (the same
mix of sources), and on the development file, whose beginning holds other sources than the test file as a whole. All
figures are on the same remaining test pairs. Intervals are paired bootstrap ones over the pairs (1,000 resamples,
95 %). Draws are simulated from the recorded distribution, which is what sampling one token at temperature 1 would give.
"""

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nilometer.decisions import best_answers, compare
from nilometer.estimators import Calibrator, Posterior, posterior_from_response

RESULT = Path(__file__).parent / "results" / "decide_stsb.json"
SCALE = range(6)
METRICS = ("squared", "absolute", "pearson", "spearman", "ccc")
RULES = {"mode": "zero_one", "median": "absolute", "mean": "squared", "variance matched": "ccc"}
DRAWS, FEW_LABELS, REPEATS = (1, 2, 4, 8, 16, 32, 64), (25, 50, 100, 200), 10
FITTED_SHARE = 0.25


def read(path: str) -> tuple[list[Posterior], np.ndarray]:
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    posteriors = [posterior_from_response(row["response"], SCALE, pattern="^", temperature=1.0) for row in rows]
    return posteriors, np.array([row["truth"] for row in rows])


def table(answers: dict[str, list], posteriors: list[Posterior], truth: np.ndarray) -> dict:
    found = compare(posteriors, truth, answers=answers, metrics=METRICS)
    rows: dict = {}
    for cell in found.cells:
        rows.setdefault(cell.rule, {})[cell.metric] = {
            "value": round(cell.value, 4),
            "gain_over_first": round(cell.gain, 4),
            "interval": [round(cell.low, 4), round(cell.high, 4)],
        }
    return rows


def answers_of(posteriors: list[Posterior], prefix: str = "") -> dict[str, list]:
    return {prefix + name: best_answers(posteriors, rule) for name, rule in RULES.items()}


def drawn(posteriors: list[Posterior], k: int, rng: np.random.Generator) -> list[Posterior]:
    return [Posterior.from_samples(rng.choice(one.numbers, k, p=one.weights), labels=SCALE) for one in posteriors]


def by_draws(posteriors: list[Posterior], truth: np.ndarray) -> dict:
    """RMSE of the mean and accuracy against the full mean, by the number of draws; mean over repeats and its spread."""
    rng = np.random.default_rng(1)
    found = {}
    for k in DRAWS:
        means, modes = [], []
        for _ in range(REPEATS if k < 64 else 5):
            few = drawn(posteriors, k, rng)
            means.append(np.sqrt(np.mean((np.array(best_answers(few, "squared")) - truth) ** 2)))
            modes.append(np.sqrt(np.mean((np.array(best_answers(few, "zero_one")) - truth) ** 2)))
        found[str(k)] = {
            "rmse_mean": round(float(np.mean(means)), 4),
            "sd_mean": round(float(np.std(means)), 4),
            "rmse_mode": round(float(np.mean(modes)), 4),
            "sd_mode": round(float(np.std(modes)), 4),
        }
    return found


def by_labels(dev: tuple[list[Posterior], np.ndarray], test: tuple[list[Posterior], np.ndarray]) -> dict:
    """RMSE of the calibrated mean by the number of labels, over random choices of them."""
    rng = np.random.default_rng(2)
    found: dict = {}
    for kind in ("affine", "isotonic", "temperature"):
        for n in FEW_LABELS:
            errors = []
            for _ in range(REPEATS if kind != "temperature" else 5):
                picked = rng.choice(len(dev[0]), min(n, len(dev[0])), replace=False)
                fitted = Calibrator(kind).fit([dev[0][i] for i in picked], dev[1][picked])
                means = [one.mean for one in fitted.transform(test[0])]
                errors.append(np.sqrt(np.mean((np.array(means) - test[1]) ** 2)))
            found.setdefault(kind, {})[str(n)] = [round(float(np.mean(errors)), 4), round(float(np.std(errors)), 4)]
    return found


def halves(both: tuple[list[Posterior], np.ndarray]) -> tuple:
    """A random quarter to fit on and the rest, which all figures are on."""
    order = np.random.default_rng(7).permutation(len(both[1]))
    cut = int(FITTED_SHARE * len(order))
    return tuple(([both[0][i] for i in part], both[1][part]) for part in (order[:cut], order[cut:]))


def study(dev_file: str, test_file: str) -> dict:
    dev, (fitted, test) = read(dev_file), halves(read(test_file))
    posteriors, truth = test
    answers, parameters = answers_of(posteriors), {}
    for name, known in (("same mix", fitted), ("other mix", dev)):
        for kind in ("temperature", "bias", "affine", "isotonic"):
            calibrator = Calibrator(kind).fit(*known)
            answers |= answers_of(calibrator.transform(posteriors), f"{kind}, {name}: ")
            parameters[f"{kind}, {name}"] = {
                field: np.round(getattr(calibrator, field), 4).tolist()
                for field in ("temperature_", "biases_", "slope_", "intercept_", "spread_")
                if hasattr(calibrator, field)
            }
        answers[f"constant, {name}"] = [float(known[1].mean())] * len(truth)
    modes = np.array(answers["mode"])
    missing = float(np.mean([posterior.missing_mass for posterior in posteriors]))
    return {
        "n_fitted_same_mix": len(fitted[1]),
        "n_fitted_other_mix": len(dev[1]),
        "n_test": len(truth),
        "mean_missing_mass": round(missing, 4),
        "share_of_the_commonest_mode": round(float(max(np.mean(modes == v) for v in SCALE)), 4),
        "truth_mean": {"same mix": round(float(fitted[1].mean()), 3), "other mix": round(float(dev[1].mean()), 3)},
        "calibrators": parameters,
        "rules": table(answers, posteriors, truth),
        "rmse_gain_over_constant": over_constant(answers, posteriors, truth),
        "by_draws": by_draws(posteriors, truth),
        "rmse_of_the_mean_by_labels": by_labels(fitted, test),
    }


def over_constant(answers: dict[str, list], posteriors: list[Posterior], truth: np.ndarray) -> dict:
    kept = {"constant, same mix": answers["constant, same mix"]}
    kept |= {name: row for name, row in answers.items() if name == "mean" or name.endswith(": mean")}
    cells = compare(posteriors, truth, answers=kept, metrics=["squared"]).cells
    return {c.rule: {"gain": round(c.gain, 4), "interval": [round(c.low, 4), round(c.high, 4)]} for c in cells[1:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recorded", action="append", required=True, metavar="NAME=DEV,TEST")
    models = {}
    for given in parser.parse_args().recorded:
        name, files = given.split("=")
        models[name] = study(*files.split(","))
        print(name, json.dumps(models[name]["rules"], indent=0)[:3000])
    result = {
        "data": "STS benchmark, English; development and test parts, in their order",
        "resamples": 1000,
        "seed": 0,
        "gain": "against the mode of the uncalibrated posterior; above 0 is better",
        "models": models,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scikit-learn": version("scikit-learn"),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
