"""The entropy-aware sampler against greedy, temperature, min-p and self-consistency at equal compute.

    python studies/sampler.py --model FOLDER --name NAME --traces FOLDER --work FOLDER [--asked 22]

Thresholds are placed on the traces of `studies/attention_record.py` (chains); the prompts asked here are others of the
same slices, `--asked` of each. Three settings: branching with greedy tokens, branching with tokens drawn at .7 (the
adaptive variant), and `wide`, which branches on the upper 40 % of the tokens into more continuations, so that its
compute is that of a vote of three or more. Compute is the number of tokens that go through the model after the prompt,
dropped continuations included. Self-consistency (majority of k answers) gets for each setting the smallest k whose
mean compute reaches the setting's, over temperature and over min-p draws. Differences are paired over prompts;
intervals are bootstraps over prompts within slices (5,000 draws), Holm's correction over all comparisons of a model.
A killed run goes on with the same command. Results: studies/results/sampler.json, one part per model.
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
    ("running_sum", 1),
    ("running_sum", 2),
    ("addition", 1),
    ("addition", 2),
    ("subtraction", 1),
    ("subtraction", 2),
    ("gcd", 1),
    ("modulo", 1),
    ("word_reversal", 1),
    ("maximum", 1),
)
SKIPPED, LONGEST, SEED, DRAWS = 40, 32, 20261125, 5000
DRAWN = ("temperature 0.7", "min-p 0.1, T 1")
WIDE = SamplerOptions(temperature=0.0, branches=5, candidates=8, lookahead=8)


def prompts(n: int):
    for task, level in SLICES:
        questions, forms, _ = chain_questions(task, level, SKIPPED + n)
        yield from ((f"{task}-{level}", q, text) for q, text in list(zip(questions, forms, strict=True))[SKIPPED:])


def branching(runner: HFRunner, thresholds, options: SamplerOptions, asked: list) -> list[dict]:
    found = []
    sampler = SamplerRunner(runner, EntropySampler(thresholds, options))
    for i, (_, question, text) in enumerate(asked):
        (trace,) = sampler.answer([text], Sampling(options.temperature, max_tokens=LONGEST), seed=SEED + i)
        found.append(
            {
                "answers": [trace.answer],
                "costs": [int(trace.attributes["n_evaluated"])],
                "correct": [question.judge(trace.answer)],
            }
        )
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
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=LONGEST,
            eos_token_id=ends,
            pad_token_id=tokenizer.eos_token_id,
            **many,
            **how,
        )[:, ids.shape[1] :]
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
    draws = np.array(
        [np.mean([difference[rng.choice(rows, len(rows))].mean() for rows in groups]) for _ in range(DRAWS)]
    )
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    return {
        "difference": round(float(difference.mean()), 4),
        "low": round(float(np.quantile(draws, 0.025)), 4),
        "high": round(float(np.quantile(draws, 0.975)), 4),
        "wins": wins,
        "losses": losses,
        "p_sign": float(sign_test(wins, losses)),
    }


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
    parser.add_argument("--name", required=True)
    parser.add_argument("--traces", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path, help="answers are kept here, method by method")
    parser.add_argument("--asked", type=int, default=22, help="prompts of each slice")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    runner = HFRunner(options.model, name=options.name, render=False, stop="\n")
    usual, wide = (fit_thresholds(read_traces(options.traces, keep=["attention"]), low=0.5, high=h) for h in (0.9, 0.6))
    asked = list(prompts(options.asked))
    greedy, drawn = SamplerOptions(temperature=0.0), SamplerOptions()
    methods = {
        "greedy": lambda: batched(runner, 1, asked, do_sample=False),
        "entropy sampler, T 0": lambda: branching(runner, usual, greedy, asked),
        "entropy sampler, T 0.7": lambda: branching(runner, usual, drawn, asked),
        "entropy sampler, wide": lambda: branching(runner, wide, WIDE, asked),
        "temperature 0.7": lambda: batched(runner, 8, asked, do_sample=True, temperature=0.7, top_k=0),
        "min-p 0.1, T 1": lambda: batched(runner, 3, asked, do_sample=True, top_k=0, min_p=0.1),
    }
    rows = {}
    for name, run in methods.items():
        kept = options.work / f"{name.replace(' ', '_').replace(',', '')}.json"
        if not kept.exists():
            kept.write_text(json.dumps(run()))
            print(name, "done", flush=True)
        rows[name] = json.loads(kept.read_text())
    found = report(rows, asked)
    found["thresholds"] = {"usual": usual._asdict(), "wide": wide._asdict()}
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result = {"models": {**result.get("models", {}), options.name: found}}
    result |= {"seed": SEED, "torch": version("torch"), "transformers": version("transformers")}
    result["options"] = {"T 0": greedy._asdict(), "T 0.7": drawn._asdict(), "wide": WIDE._asdict()}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(found["methods"], indent=1))


def report(rows: dict[str, list[dict]], asked: list) -> dict:
    slices = np.array([name for name, _, _ in asked])
    table = {name: voted(found, 1, asked) for name, found in rows.items()}
    comparisons = []
    for ours in [name for name in rows if name.startswith("entropy")]:
        against = [name for name in rows if not name.startswith("entropy")]
        for name in DRAWN:
            k = votes(rows[name], table[ours][1].mean(), asked)
            against.append(f"vote of {k}, {name}")
            table[against[-1]] = voted(rows[name], k, asked)
        comparisons += [
            {"method": ours, "against": other, **compare(table[ours][0], table[other][0], slices)} for other in against
        ]
    holm(comparisons)
    return {
        "n_prompts": len(asked),
        "slices": [f"{t}-{level}" for t, level in SLICES],
        "methods": {
            name: {
                "accuracy": round(float(correct.mean()), 4),
                "compute": round(float(costs.mean()), 2),
                "by_slice": {s: round(float(correct[slices == s].mean()), 3) for s in np.unique(slices).tolist()},
            }
            for name, (correct, costs) in table.items()
        },
        "comparisons": comparisons,
    }


def votes(rows: list[dict], budget: float, asked: list) -> int:
    """Smallest number of answers whose mean compute reaches the budget; all that there are if none does."""
    most = len(rows[0]["answers"])
    return next((k for k in range(1, most + 1) if voted(rows, k, asked)[1].mean() >= budget), most)


if __name__ == "__main__":
    main()
