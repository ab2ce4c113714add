"""Record a model on the prompts of the attention studies, with attention statistics beside the traces.

    python studies/attention_record.py --model FOLDER --name NAME --out FOLDER [--kinds chains,facts,declines,styles] [--n 40]

One Parquet part per domain and level; a killed run goes on with the same command. Greedy, top-20, bf16.
"""

import argparse
import sys
from pathlib import Path

from attention_prompts import CHAINS, chain_questions, fact_questions, style_questions
from record_corpus import Asker

from nilometer.models import HFRunner, Sampling, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--kinds", default="chains,facts,declines,styles")
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--batch", type=int, default=20)
    options = parser.parse_args()
    for kind in options.kinds.split(","):
        suite, forms, longest = {}, {}, 40
        if kind == "chains":
            for task, levels in CHAINS.items():
                for level in levels:
                    questions, texts, _ = chain_questions(task, level, options.n)
                    suite[f"{task}-{level}"] = questions
                    forms |= {question.prompt: text for question, text in zip(questions, texts, strict=True)}
        elif kind in {"facts", "declines"}:
            questions, texts = fact_questions(declining=kind == "declines")
            longest = 10
            for domain in ("capitals", "symbols"):
                suite[domain] = [question for question in questions if question.attributes["domain"] == domain]
            forms = {question.prompt: text for question, text in zip(questions, texts, strict=True)}
        else:
            questions = style_questions()
            suite["styles"] = questions
            forms = {question.prompt: question.prompt for question in questions}
        stop = None if kind == "styles" else "\n"
        runner = HFRunner(options.model, name=options.name, render=kind == "styles", stop=stop, attention=True)
        sampling = Sampling(0.0, 1, longest, 20, options.batch)
        settings = {"model": options.name, "kind": kind, "n": options.n}
        done = record(
            Asker(runner, forms), suite, options.out / kind, sampling=sampling, settings=settings, advance=_say
        )
        print(kind, done, file=sys.stderr, flush=True)


def _say(n_responses: int, n_tokens: int) -> None:
    print(f"{n_responses} responses, {n_tokens} tokens", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
