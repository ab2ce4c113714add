"""Enumerated probabilities, draws and top-k of one call, on questions with numbers of several tokens as answers.

    XDG_CACHE_HOME=... python studies/decide_scoring.py --model smollm2 [--n 10]

SmolLM2-135M-Instruct (4-bit weights, dequantised) is asked for numbers from 0 to 99 (``KINDS`` of the basic suite whose
right answers lie there), with two worked examples as a plain text. Three ways to its distribution over the 100 numbers:
every number scored in one pass over the tree of their tokens, with the end of the line belonging to it, which is the
reference; the twenty best alternatives at each token of one answer; and 1 to 32 draws at temperature 1. Reported are
missing mass, squared error of the mean and absolute error of the median against the truth, the log-loss of the truth,
the distance of the mean from the enumerated one, and CPU seconds of the model. Intervals are bootstrap ones over the
questions (1,000 resamples, 95 %).
Result: studies/results/decide_scoring.json.
"""

import argparse
import json
import os
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nilometer.decisions import best_answers
from nilometer.errors import NotEnoughDataError
from nilometer.estimators import Posterior, listed_tokens, posterior_of_call, whole_draw
from nilometer.models import HFRunner, HFScorer, Sampling, SuiteOptions, make_suite, smollm2_folder
from nilometer.signals import parse_number

RESULT = Path(__file__).parent / "results" / "decide_scoring.json"
KINDS = ("addition", "subtraction", "maximum", "gcd", "modulo", "linear_equation", "running_sum", "letter_counting")
SCALE = range(100)
DRAWS = (1, 4, 16, 32)
FLOOR = 1e-6


def questions(n: int) -> list[tuple[str, int]]:
    """Texts with two worked examples of the same kind before each question, and the right numbers."""
    found = []
    for task in KINDS:
        suite = make_suite("basic", SuiteOptions(n=n + 2, tasks=(task,), levels=(1,), seed=7))[f"{task}-1"]
        shown = "".join(f"Q: {one.prompt}\nA: {one.gold}\n\n" for one in suite[:2])
        rows = [(f"{shown}Q: {one.prompt}\nA:", int(one.gold)) for one in suite[2:]]
        found += [row for row in rows if row[1] in SCALE]
    return found


def enumerated(runner: HFRunner, texts: list[str]) -> tuple[list[Posterior], float]:
    began = time.process_time()
    scored = HFScorer(runner, closed=True, batch=8).score(texts, [[f" {y}" for y in SCALE]] * len(texts))
    spent = time.process_time() - began
    made = [
        Posterior.from_label_logprobs(
            dict(zip(SCALE, row.tolist(), strict=True)), labels=SCALE, smallest_listed=0.0, temperature=1.0
        )
        for row in scored
    ]
    return made, spent


def answers(runner: HFRunner, texts: list[str], *, k: int, seed: int):
    began = time.process_time()
    sampling = Sampling(temperature=1.0, k=k, max_tokens=4, batch=32)
    traces = []
    for start in range(0, len(texts), 32):
        traces += runner.answer(texts[start : start + 32], sampling, seed=seed + start)
    return traces, time.process_time() - began


def one_call(runner: HFRunner, texts: list[str]) -> tuple[list[Posterior | None], float]:
    """Posteriors by the alternatives of one answer each, as a server would list them."""
    began = time.process_time()
    made = []
    for start in range(0, len(texts), 32):
        part = texts[start : start + 32]
        rows: list[list] = [[] for _ in part]
        ended = [False] * len(part)
        steps = runner._steps(part, Sampling(temperature=1.0, k=20, max_tokens=4, batch=32), seed=start)
        for chosen, logprobs, top, best in steps:
            for row, token in enumerate(chosen.tolist()):
                if not ended[row]:
                    names = [runner._tokenizer.decode([one]) for one in best[row].tolist()]
                    rows[row].append(
                        (runner._tokenizer.decode([token]), float(logprobs[row, token]), names, top[row].tolist())
                    )
                    ended[row] = runner.is_end(token)
            if all(ended):
                break
        for tokens in rows:
            listed = listed_tokens(
                [one[0] for one in tokens],
                [one[1] for one in tokens],
                top_texts=[name for one in tokens for name in one[2]],
                top_logprobs=[one[3] for one in tokens],
            )
            made.append(posterior_of_call(listed, SCALE))
    return made, time.process_time() - began


def drawn(traces: list, n_texts: int, k: int) -> list[Posterior | None]:
    found = []
    for i in range(n_texts):
        texts = [whole_draw(trace.answer, trace.finish_reason, labels=SCALE) for trace in traces[i::n_texts][:k]]
        try:
            found.append(Posterior.from_samples(texts, parse_number(), labels=SCALE))
        except NotEnoughDataError:
            found.append(None)
    return found


def judged(
    name: str, made: list[Posterior | None], reference: list[Posterior], truth: np.ndarray, seconds: float
) -> dict:
    """Errors of a way; a question without a readable answer counts as 50, the middle of the scale."""
    rng = np.random.default_rng(0)
    mean, median = np.full(len(made), 50.0), np.full(len(made), 50.0)
    there = [i for i, one in enumerate(made) if one is not None]
    kept = [one for one in made if one is not None]
    mean[there], median[there] = best_answers(kept, "squared"), best_answers(kept, "absolute")
    loss = np.full(len(made), -np.log(FLOOR))
    for i, one in zip(there, kept, strict=True):
        p = dict(zip(one.values, one.weights.tolist(), strict=True)).get(int(truth[i]), 0.0) * (1 - one.missing_mass)
        loss[i] = -np.log(max(p, FLOOR))
    rows = rng.integers(len(made), size=(1000, len(made)))

    def interval(values: np.ndarray, power: float = 1.0) -> list[float]:
        found = values[rows].mean(axis=1) ** power
        return [
            round(float(values.mean() ** power), 3),
            *(round(float(q), 3) for q in np.quantile(found, (0.025, 0.975))),
        ]

    away = np.abs(mean - np.array(best_answers(reference, "squared"), dtype=float))
    return {
        "way": name,
        "unreadable": len(made) - len(there),
        "missing_mass": round(float(np.mean([one.missing_mass for one in kept])), 4),
        "rmse_of_mean": interval((mean - truth) ** 2, 0.5),
        "mae_of_median": interval(np.abs(median - truth)),
        "log_loss": interval(loss),
        "mean_away_from_enumerated": interval(away),
        "cpu_s_per_question": round(seconds / len(made), 4),
    }


def main(given: argparse.Namespace) -> None:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = smollm2_folder(home / "nilometer") if given.model == "smollm2" else given.model
    runner = HFRunner(folder, render=False, stop="\n", dtype="float32")
    rows = questions(given.n)
    texts, truth = [text for text, _ in rows], np.array([gold for _, gold in rows], dtype=float)
    reference, seconds = enumerated(runner, texts)
    table = [judged("all numbers scored", reference, reference, truth, seconds)]
    calls, spent = one_call(runner, texts)
    table.append(judged("top 20 of one call", calls, reference, truth, spent))
    traces, spent = answers(runner, texts * max(DRAWS), k=1, seed=1000)
    for k in DRAWS:
        table.append(judged(f"{k} draws", drawn(traces, len(texts), k), reference, truth, spent * k / max(DRAWS)))
    result = {
        "model": "SmolLM2-135M-Instruct, 4-bit weights dequantised, float32",
        "n_questions": len(texts),
        "kinds": list(KINDS),
        "right_if_the_mode": round(float(np.mean(np.array(best_answers(reference, "zero_one")) == truth)), 3),
        "ways": table,
        "versions": {name: version(name) for name in ("nilometer", "torch", "transformers", "numpy")},
        "cores": os.cpu_count(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2", help="smollm2, or a folder in Hugging Face's form")
    parser.add_argument("--n", type=int, default=10, help="questions of each kind")
    main(parser.parse_args())
