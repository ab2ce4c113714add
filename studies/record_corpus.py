"""Record a Hugging Face causal model on the verifiable tasks: greedy or sampled, with the top-20 of every token.

    python studies/record_corpus.py --model FOLDER --name NAME --out FOLDER [--style user|chat|fewshot]
    python studies/record_corpus.py --out FOLDER --merge FILE

The questions are the same for every model, and none of them is trained on by `train_specialist.py`. One Parquet
part per task and level; a killed run goes on with the same command. Log-probabilities are before temperature.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from nilometer.models import TASKS, HFRunner, Problem, Sampling, make_problems, question_of, record
from nilometer.traces import read_traces, write_traces

RECORDED = tuple(TASKS)[:12]
TRAINED_LEVELS = (1, 2, 3)
PROMPTS = 100


def recorded_problems(task: str, level: int) -> list[Problem]:
    """Return the problems that every recording asks, the same for all models."""
    return make_problems(task, level, PROMPTS, rng=np.random.default_rng([777, list(TASKS).index(task), level]))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--name")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--style", default="user", choices=["user", "chat", "fewshot"])
    parser.add_argument("--tasks", default=",".join(RECORDED))
    parser.add_argument("--levels", default="1,2,3,4,5,6")
    parser.add_argument("--n", type=int, default=PROMPTS)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--max-new", type=int, default=96)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--merge", type=Path, help="write all parts of --out into this file and stop")
    return parser.parse_args()


def asked(problem: Problem, style: str) -> str:
    """Return the text that the model sees."""
    if style == "user":
        return f"<|im_start|>user\n{problem.prompt}<|im_end|>\n<|im_start|>assistant\n"
    if style == "chat":
        return f"{problem.prompt} Reply with the answer only."
    task, level = problem.task, int(problem.level)
    own = {p.prompt for p in recorded_problems(task, level)}
    rng = np.random.default_rng([99, list(TASKS).index(task), level])
    shots = make_problems(task, level, 4, rng=rng, exclude=own)
    return "".join(f"Q: {shot.prompt}\nA: {shot.gold}\n\n" for shot in shots) + f"Q: {problem.prompt}\nA:"


class Asker:
    """A runner that shows the model its own form of each prompt; traces keep the plain question."""

    def __init__(self, runner: HFRunner, forms: dict[str, str]) -> None:
        self.name, self._runner, self._forms = runner.name, runner, forms

    def answer(self, prompts, sampling, *, seed):
        return self._runner.answer([self._forms[prompt] for prompt in prompts], sampling, seed=seed)


def main() -> None:
    chosen = options()
    if chosen.merge:
        parts = [read_traces(path).read_all() for path in sorted(chosen.out.glob("*.parquet"))]
        print(write_traces(chosen.merge, pa.concat_tables(parts)), "traces")
        return
    suite, forms = {}, {}
    for task in chosen.tasks.split(","):
        for level in map(int, chosen.levels.split(",")):
            problems = recorded_problems(task, level)[: chosen.n]
            forms.update({problem.prompt: asked(problem, chosen.style) for problem in problems})
            suite[f"{task}-{level}"] = [question_of(problem, i) for i, problem in enumerate(problems)]
    stop = "\n" if chosen.style == "fewshot" else None
    runner = HFRunner(chosen.model, name=chosen.name, render=chosen.style == "chat", stop=stop)
    sampled = chosen.samples > 1
    sampling = Sampling(float(sampled), chosen.samples, chosen.max_new, 20, chosen.batch)
    settings = {"model": chosen.name, "style": chosen.style, "n": chosen.n}
    done = record(Asker(runner, forms), suite, chosen.out, sampling=sampling, settings=settings, advance=_say)
    print(done, file=sys.stderr)


def _say(n_responses: int, n_tokens: int) -> None:
    print(f"{n_responses} responses, {n_tokens} tokens, process {os.getpid()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
