"""Ask a small model how similar two sentences are, and keep the twenty best tokens at the place of the score.

    python studies/record_scores.py --model FOLDER --name NAME --pairs FILE.csv --shots TRAIN.csv --out FILE.jsonl

The pairs are the STS benchmark (`sentence1,sentence2,similarity`), which the user brings: its texts have licences of
their own. The output holds no sentence: one chat completion in OpenAI's shape per pair, with the human score beside
it. Eight examples from the training part precede every pair; log-probabilities are before temperature.
"""

import argparse
import csv
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import transformers

TOP, SHOTS, BATCH = 20, 8, 32
TASK = "Rate how similar the two sentences are in meaning, from 0 (unrelated) to 5 (the same meaning).\n\n"


def pairs(path: Path) -> list[tuple[str, str, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row[0], row[1], float(row[2])) for row in csv.reader(file)]


def shown(first: str, second: str) -> str:
    return f"Sentence 1: {first}\nSentence 2: {second}\nScore: "


def examples(path: Path, seed: int) -> str:
    """Eight training pairs whose rounded scores are spread over the scale, in random order."""
    rng = np.random.default_rng(seed)
    train = [pair for pair in pairs(path) if len(pair[0]) + len(pair[1]) < 160]
    wanted = rng.permutation([0, 1, 2, 3, 4, 5, *rng.integers(0, 6, SHOTS - 6)])
    text = TASK
    for score in wanted:
        near = [pair for pair in train if abs(pair[2] - score) < 0.1]
        first, second, _ = near[rng.integers(len(near))]
        text += f"{shown(first, second)}{score}\n\n"
    return text


class Scorer:
    """The model with the examples read once."""

    def __init__(self, folder: str, prefix: str) -> None:
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.prefix = self.tokenizer(prefix, return_tensors="pt")["input_ids"]

    @torch.inference_mode()
    def logprobs(self, texts: list[str]) -> torch.Tensor:
        """Log-probabilities of the next token after each text, shape (texts, vocabulary)."""
        encoded = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        longest = max(map(len, encoded))
        padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids in encoded])
        cache = self.model(self.prefix, use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(len(texts))
        logits = self.model(padded, past_key_values=cache).logits
        last = torch.tensor([len(ids) - 1 for ids in encoded])
        return torch.log_softmax(logits[torch.arange(len(texts)), last].float(), -1)


def completion(scorer: Scorer, row: torch.Tensor, name: str) -> dict:
    best, tokens = row.topk(TOP)
    listed = [
        {"token": scorer.tokenizer.decode([token]), "logprob": round(value, 4)}
        for value, token in zip(best.tolist(), tokens.tolist(), strict=True)
    ]
    choice = {
        "index": 0,
        "finish_reason": "length",
        "message": {"role": "assistant", "content": listed[0]["token"].strip()},
        "logprobs": {"content": [{**listed[0], "top_logprobs": listed}]},
    }
    return {"object": "chat.completion", "model": name, "choices": [choice]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("model", "name", "pairs", "shots", "out"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--most", type=int, default=10_000)
    chosen = parser.parse_args()
    asked = pairs(Path(chosen.pairs))[: chosen.most]
    scorer = Scorer(chosen.model, examples(Path(chosen.shots), chosen.seed))
    started = time.process_time()
    with Path(chosen.out).open("w", encoding="utf-8") as out:
        for start in range(0, len(asked), BATCH):
            part = asked[start : start + BATCH]
            rows = scorer.logprobs([shown(first, second) for first, second, _ in part])
            for number, (row, pair) in enumerate(zip(rows, part, strict=True), start):
                response = completion(scorer, row, chosen.name)
                line = {"prompt_id": f"pair-{number}", "truth": pair[2], "response": response}
                out.write(json.dumps(line) + "\n")
            print(f"{start + len(part)} pairs, {time.process_time() - started:.0f} s CPU", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
