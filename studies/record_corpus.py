"""Record a Hugging Face causal model on the verifiable tasks: greedy or sampled, with the top-20 of every token.

    python studies/record_corpus.py --model FOLDER --name NAME --out FOLDER [--style user|chat|fewshot]

One Parquet part per task and level, renamed when complete; parts that exist are skipped, so a killed run resumes.
Log-probabilities are of the raw distribution, before temperature.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from nilometer.models import TASKS, Problem, make_problems, verify
from nilometer.traces import TRACE_SCHEMA, read_traces, write_traces

RECORDED = tuple(TASKS)[:12]
TRAINED_LEVELS = (1, 2, 3)
PROMPTS = 100


def recorded_problems(task: str, level: int) -> list[Problem]:
    """Return the problems that every recording asks, the same for all models."""
    return make_problems(task, level, PROMPTS, rng=np.random.default_rng([777, list(TASKS).index(task), level]))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--style", default="user", choices=["user", "chat", "fewshot"])
    parser.add_argument("--tasks", default=",".join(RECORDED))
    parser.add_argument("--levels", default="1,2,3,4,5,6")
    parser.add_argument("--n", type=int, default=PROMPTS)
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--max-new", type=int, default=96)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--merge", type=Path, help="write all parts of --out into this file and stop")
    return parser.parse_args()


class Recorder:
    """A model, its tokenizer and how they are asked."""

    def __init__(self, asked: argparse.Namespace) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.asked = asked
        self.tokenizer = AutoTokenizer.from_pretrained(asked.model)
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model = AutoModelForCausalLM.from_pretrained(asked.model, dtype=torch.bfloat16).eval()
        self.fewshot = asked.style == "fewshot"
        self.end = -1 if self.fewshot else self.tokenizer.convert_tokens_to_ids("<|im_end|>")

    def render(self, problem: Problem, shots: list[Problem]) -> str:
        if self.asked.style == "user":
            return f"<|im_start|>user\n{problem.prompt}<|im_end|>\n<|im_start|>assistant\n"
        if self.asked.style == "chat":
            turn = [{"role": "user", "content": problem.prompt + " Reply with the answer only."}]
            return self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        return "".join(f"Q: {s.prompt}\nA: {s.gold}\n\n" for s in shots) + f"Q: {problem.prompt}\nA:"

    def _ends(self, token: int) -> bool:
        if self.fewshot:
            return token == self.tokenizer.eos_token_id or "\n" in self.tokenizer.decode([token])
        return token == self.end

    @torch.inference_mode()
    def generate(self, prompts: list[str], generator: torch.Generator | None):
        encoded = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=self.fewshot)
        current, mask, past = encoded["input_ids"], encoded["attention_mask"], None
        n = len(prompts)
        done, reasons = torch.zeros(n, dtype=torch.bool), ["length"] * n
        answers: list[list[tuple[int, float, np.ndarray]]] = [[] for _ in range(n)]
        places = (mask.cumsum(1) - 1).clamp(min=0)
        for _ in range(self.asked.max_new):
            out = self.model(
                input_ids=current, attention_mask=mask, position_ids=places, past_key_values=past,
                use_cache=True, logits_to_keep=1,
            )  # fmt: skip
            past = out.past_key_values
            logs = torch.log_softmax(out.logits[:, -1].float(), -1)
            values, best = logs.topk(self.asked.k)
            chosen = best[:, 0]
            if generator is not None:
                chosen = torch.multinomial(torch.softmax(logs / self.asked.temperature, -1), 1, generator=generator)[
                    :, 0
                ]
            for i in (~done).nonzero()[:, 0].tolist():
                token = int(chosen[i])
                answers[i].append((token, float(logs[i, token]), values[i].numpy()))
                if self._ends(token):
                    done[i], reasons[i] = True, "stop"
            if done.all():
                break
            current = chosen[:, None]
            mask = torch.cat([mask, torch.ones(n, 1, dtype=mask.dtype)], 1)
            places = mask.sum(1, keepdim=True) - 1
        return answers, reasons

    def trace(self, job: tuple[int, Problem, int], tokens: list[tuple[int, float, np.ndarray]], reason: str):
        j, problem, sample = job
        asked = self.asked
        ids = [token for token, _, _ in tokens]
        answer = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        prompt_id = f"{problem.task}-{problem.level}-{j}"
        attributes = {
            "domain": problem.task, "level": problem.level, "suite": "basic", "gold": problem.gold,
            "decoding": "sampled" if asked.samples else "greedy",
        }  # fmt: skip
        return {
            "trace_id": f"{asked.name}/{prompt_id}" + (f"/s{sample}" if asked.samples else ""),
            "prompt_id": prompt_id, "model": asked.name, "provider": "transformers", "k": asked.k,
            "logprobs_mode": "raw", "temperature": asked.temperature if asked.samples else 0.0,
            "finish_reason": reason, "n_tokens": len(ids), "chosen_logprobs": [value for _, value, _ in tokens],
            "top_logprobs": np.concatenate([top for _, _, top in tokens]).tolist(),
            "tokens": [self.tokenizer.decode([token]) for token in ids], "prompt": problem.prompt,
            "answer": answer, "correct": float(verify(problem, answer)), "attributes": list(attributes.items()),
        }  # fmt: skip

    def record(self, task: str, level: int) -> list[dict]:
        asked, number = self.asked, list(TASKS).index(task)
        problems = recorded_problems(task, level)[: asked.n]
        prompts = {problem.prompt for problem in recorded_problems(task, level)}
        shots = make_problems(task, level, 4, rng=np.random.default_rng([99, number, level]), exclude=prompts)
        jobs = [(j, problem, s) for j, problem in enumerate(problems) for s in range(max(1, asked.samples))]
        generator = torch.Generator().manual_seed(1000 * number + level) if asked.samples else None
        rows = []
        for start in range(0, len(jobs), asked.batch):
            part = jobs[start : start + asked.batch]
            answers, reasons = self.generate([self.render(problem, shots) for _, problem, _ in part], generator)
            rows += [self.trace(*row) for row in zip(part, answers, reasons, strict=True)]
        return rows


def main() -> None:
    asked = options()
    if asked.merge:
        parts = [read_traces(path).read_all() for path in sorted(asked.out.glob("*.parquet"))]
        print(write_traces(asked.merge, pa.concat_tables(parts)), "traces")
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    recorder, start, n_tokens = Recorder(asked), time.time(), 0
    for task in asked.tasks.split(","):
        for level in map(int, asked.levels.split(",")):
            part = asked.out / f"{task}-{level}.parquet"
            if part.exists():
                continue
            rows = recorder.record(task, level)
            write_traces(part, pa.Table.from_pylist(rows, schema=TRACE_SCHEMA))
            n_tokens += sum(row["n_tokens"] for row in rows)
            accuracy = np.mean([row["correct"] for row in rows])
            speed = n_tokens / (time.time() - start)
            print(f"{task} {level}: {len(rows)} traces, accuracy {accuracy:.2f}, {speed:.0f} tokens/s", file=sys.stderr)


if __name__ == "__main__":
    main()
