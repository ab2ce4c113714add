"""The entropy-aware sampler against greedy, temperature, min-p and self-consistency at equal compute.

    python studies/sampler.py --model FOLDER --traces FOLDER --work FOLDER

Thresholds are placed on the traces of `studies/attention_record.py` (chains); the prompts asked here are others of the
same slices. Compute is the number of tokens that go through the model after the prompt, dropped continuations
included. Self-consistency (majority of k answers) gets the smallest k whose mean compute reaches the sampler's, and
so do the majority votes over min-p. Differences are paired over prompts; intervals are bootstraps over prompts within
slices (5,000 draws), Holm's correction over the comparisons. Results: studies/results/sampler.json.
"""

import argparse
import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from attention_prompts import chain_questions

from nilometer.models import (
    EntropySampler,
    HFRunner,
    SamplerOptions,
    SamplerRunner,
    Sampling,
    fit_thresholds,
)
from nilometer.signals import final_answer
from nilometer.traces import read_traces

RESULT = Path(__file__).parent / "results" / "sampler.json"
SLICES = (
    ("running_sum", 1), ("running_sum", 2), ("addition", 2), ("subtraction", 2), ("gcd", 1), ("word_reversal", 1),
)  # fmt: skip
SKIPPED, ASKED, LONGEST, MOST_VOTES, SEED, DRAWS = 40, 12, 32, 3, 20261125, 5000


def prompts():
    for task, level in SLICES:
        questions, forms, _ = chain_questions(task, level, SKIPPED + ASKED)
        yield from ((f"{task}-{level}", q, text) for q, text in list(zip(questions, forms, strict=True))[SKIPPED:])


def branching(runner: HFRunner, thresholds, temperature: float, asked: list) -> list[dict]:
    found = []
    sampler = SamplerRunner(runner, EntropySampler(thresholds, SamplerOptions()))
    for i, (_, question, text) in enumerate(asked):
        (trace,) = sampler.answer([text], Sampling(temperature, max_tokens=LONGEST), seed=SEED + i)
        found.append({"answers": [trace.answer], "costs": [int(trace.attributes["n_evaluated"])],
                      "correct": [question.judge(trace.answer)]})  # fmt: skip
    return found


def batched(runner: HFRunner, n: int, asked: list, **how) -> list[dict]:
    """Answer every prompt n times in one batch per prompt with transformers' own generate."""
    tokenizer, found = runner._tokenizer, []
    ends = [i for i in range(len(tokenizer)) if runner.is_end(i)]
    for i, (_, question, text) in enumerate(asked):
        torch.manual_seed(SEED + i)
        ids = runner.encode(text)
        many = {"num_return_sequences": n} if n > 1 else {}
        told = runner.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=LONGEST, eos_token_id=ends,
            pad_token_id=tokenizer.eos_token_id, **many, **how,
        )[:, ids.shape[1] :]  # fmt: skip
        answers, costs = [], []
        for row in told.tolist():
            length = next((j + 1 for j, token in enumerate(row) if token in ends), len(row))
            answers.append(tokenizer.decode(row[:length], skip_special_tokens=True).strip())
            costs.append(length)
        found.append({"answers": answers, "costs": costs, "correct": [question.judge(a) for a in answers]})
    return found


def voted(rows: list[dict], k: int, asked: list) -> tuple[np.ndarray, np.ndarray]:
    """Correctness of the majority of the first k answers (first seen wins a tie) and the compute spent."""
    correct, costs = [], []
    for row, (_, question, _) in zip(rows, asked, strict=True):
        finals = [final_answer(answer) for answer in row["answers"][:k]]
        best = Counter(finals).most_common(1)[0][0]
        correct.append(question.judge(best))
        costs.append(sum(row["costs"][:k]))
    return np.array(correct), np.array(costs, dtype=float)


def compare(one: np.ndarray, other: np.ndarray, slices: np.ndarray) -> dict:
    rng = np.random.default_rng(SEED)
    difference = one - other
    groups = [np.flatnonzero(slices == name) for name in np.unique(slices)]
    draws = np.array([
        np.mean([difference[rng.choice(rows, len(rows))].mean() for rows in groups]) for _ in range(DRAWS)
    ])  # fmt: skip
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    return {
        "difference": round(float(difference.mean()), 4), "low": round(float(np.quantile(draws, 0.025)), 4),
        "high": round(float(np.quantile(draws, 0.975)), 4), "wins": wins, "losses": losses,
        "p_sign": float(sign_test(wins, losses)),
    }  # fmt: skip


def sign_test(wins: int, losses: int) -> float:
    from scipy.stats import binomtest

    return 1.0 if wins + losses == 0 else binomtest(wins, wins + losses).pvalue


def holm(rows: list[dict]) -> None:
    order = sorted(rows, key=lambda row: row["p_sign"])
    running = 0.0
    for i, row in enumerate(order):
        running = max(running, min(1.0, (len(order) - i) * row["p_sign"]))
        row["p_holm"] = round(running, 4)
        row["p_sign"] = round(row["p_sign"], 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--traces", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path, help="answers are kept here, method by method")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    runner = HFRunner(options.model, name="smollm2-135m-instruct", render=False, stop="\n")
    thresholds = fit_thresholds(read_traces(options.traces, attention=True))
    asked = list(prompts())
    methods = {
        "entropy sampler, branches, T 0": lambda: branching(runner, thresholds, 0.0, asked),
        "greedy": lambda: batched(runner, 1, asked, do_sample=False),
        "temperature 0.7": lambda: batched(runner, MOST_VOTES, asked, do_sample=True, temperature=0.7, top_k=0),
        "min-p 0.1, T 1": lambda: batched(runner, MOST_VOTES, asked, do_sample=True, top_k=0, min_p=0.1),
    }  # fmt: skip
    rows = {}
    for name, run in methods.items():
        kept = options.work / f"{name.replace(' ', '_').replace(',', '')}.json"
        if not kept.exists():
            kept.write_text(json.dumps(run()))
            print(name, "done", flush=True)
        rows[name] = json.loads(kept.read_text())
    report(rows, asked, thresholds)


def report(rows: dict[str, list[dict]], asked: list, thresholds) -> None:
    slices = np.array([name for name, _, _ in asked])
    single = {name: voted(found, 1, asked) for name, found in rows.items()}
    budget = single["entropy sampler, branches, T 0"][1].mean()
    table = dict(single)
    for name in ("temperature 0.7", "min-p 0.1, T 1"):
        k = next((k for k in range(1, MOST_VOTES + 1) if voted(rows[name], k, asked)[1].mean() >= budget), MOST_VOTES)
        table[f"self-consistency, {name}, k = {k}"] = voted(rows[name], k, asked)
    ours = [name for name in table if name.startswith("entropy")]
    comparisons = [
        {"method": one, "against": other, **compare(table[one][0], table[other][0], slices)}
        for one in ours for other in table if other not in ours
    ]  # fmt: skip
    holm(comparisons)
    result = {
        "model": "smollm2-135m-instruct", "n_prompts": len(asked), "slices": [f"{t}-{level}" for t, level in SLICES],
        "thresholds": thresholds._asdict(), "options": SamplerOptions()._asdict(), "seed": SEED,
        "torch": version("torch"), "transformers": version("transformers"),
        "methods": {
            name: {"accuracy": round(float(correct.mean()), 4), "compute": round(float(costs.mean()), 2),
                   "by_slice": {s: round(float(correct[slices == s].mean()), 3) for s in np.unique(slices).tolist()}}
            for name, (correct, costs) in table.items()
        },
        "comparisons": comparisons,
    }  # fmt: skip
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["methods"], indent=1))


if __name__ == "__main__":
    main()
