"""How often `find_families` names a family of independent models, and how often it finds a copy; results/families.json.

    python studies/families.py [--runs 200]

Simulated answers to questions with 2, 4 or 10 choices, a wrong answer being any other choice with equal chance. Level:
all models are independent. Power: one more model with accuracy .65 copies the third at a share of the prompts. Both
also with prompts that differ: the log-odds of every model are moved by the same standard normal draw, and the
accuracies stay about as stated. With two choices, accuracies below .55 are raised to it: more than half of the models
must do better than guessing. The rows `guessers` break that rule on purpose. The settings of the test were chosen on
these sets of accuracies with other seeds: the runs are new, the sets are not.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nilometer.estimators import find_families
from nilometer.signals import answer_embeddings

RESULT = Path(__file__).parent / "results" / "families.json"
SEED, POWER_SHARE = 20261128, 4
ACCURACIES = {
    "5, .9 and .5": [0.9, 0.5, 0.5, 0.5, 0.5],
    "5, .9 to .5": [0.9, 0.8, 0.7, 0.6, 0.5],
    "5, all .6": [0.6] * 5,
    "6, .98 to .9": [0.98, 0.97, 0.96, 0.95, 0.9, 0.9],
    "8, .8 to .3": np.linspace(0.8, 0.3, 8).tolist(),
    "11, .9 to .4": np.linspace(0.9, 0.4, 11).tolist(),
    "20, .95 to .3": np.linspace(0.95, 0.3, 20).tolist(),
}
GUESSERS = "6, two of .9 among guessers"
CHOICES, COPIED = (2, 4, 10), (0.3, 0.6, 1.0)


def answers(accuracies: np.ndarray, n: int, n_choices: int, spread: float, rng: np.random.Generator) -> np.ndarray:
    odds = np.log(accuracies / (1 - accuracies)) * np.sqrt(1 + 0.346 * spread**2)
    right = rng.random((n, len(accuracies))) < 1 / (1 + np.exp(-odds - spread * rng.normal(size=(n, 1))))
    return np.where(right, 0, rng.integers(1, n_choices, right.shape))


def named(given: np.ndarray) -> tuple[tuple[str, ...], ...]:
    return find_families(answer_embeddings(given.tolist())).families


def level(accuracies: np.ndarray, n_choices: int, *, runs: int, rng: np.random.Generator) -> dict:
    kinds = {"200 prompts": (200, 0.0), "1,000 prompts": (1000, 0.0), "1,000 unequal prompts": (1000, 1.0)}
    return {
        name: sum(bool(named(answers(accuracies, n, n_choices, spread, rng))) for _ in range(runs)) / runs
        for name, (n, spread) in kinds.items()
    }


def power(accuracies: np.ndarray, n_choices: int, *, runs: int, rng: np.random.Generator) -> dict:
    more, last, found = np.append(accuracies, 0.65), len(accuracies), {}
    for name, spread in (("1,000 prompts", 0.0), ("1,000 unequal prompts", 1.0)):
        for share in COPIED:
            hits = exact = 0
            for _ in range(runs):
                given = answers(more, 1000, n_choices, spread, rng)
                copies = rng.random(len(given)) < share
                given[copies, last] = given[copies, 2]
                families = named(given)
                hits += any({"2", str(last)} <= set(family) for family in families)
                exact += families == (("2", str(last)),)
            found[f"{name}, {share:.0%} copied"] = {"found": hits / runs, "and nothing else": exact / runs}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    rng, rows = np.random.default_rng(SEED), []
    for n_choices in CHOICES:
        for name, given in ACCURACIES.items():
            own = np.maximum(given, 0.55) if n_choices == 2 else np.array(given)
            row = {"choices": n_choices, "models": name, "level": level(own, n_choices, runs=runs, rng=rng)}
            rows.append({**row, "power": power(own, n_choices, runs=runs // POWER_SHARE, rng=rng)})
            print(json.dumps(rows[-1]), flush=True)
        guess = np.array([0.9, 0.9, *[1 / n_choices] * 4])
        rows.append({"choices": n_choices, "models": GUESSERS, "level": level(guess, n_choices, runs=runs, rng=rng)})
    independent = [row["level"] for row in rows if row["models"] != GUESSERS]
    result = {
        "seed": SEED,
        "runs": runs,
        "runs_of_power": runs // POWER_SHARE,
        "version": version("nilometer"),
        "largest_level": {name: max(row[name] for row in independent) for name in independent[0]},
        "mean_level": {name: float(np.mean([row[name] for row in independent])) for name in independent[0]},
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
