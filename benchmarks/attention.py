"""Attention statistics while decoding against plain SDPA (time) and `output_attentions=True` (memory).

    python benchmarks/attention.py --model FOLDER [--context 2000] [--steps 16] [--repeats 9]

One row, float32, one thread. Time is CPU time of `--steps` decode steps after a prompt of `--context` tokens, two
copies of the model in turn, median of the ratios. Memory is what stays allocated for the attention of a whole answer
of `--context` tokens from a short prompt: the bytes of the weights that eager attention returns, added up over the
steps, against the bytes of the numbers kept. Eager runs to 200 steps; its size at a step, exactly layers x heads x
keys x bytes, is checked there and summed to the end. Results: benchmarks/results/attention.json.
"""

import argparse
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import torch
from ratios import add_check, finish
from transformers import AutoModelForCausalLM

from nilometer.models import AttentionCapture
from nilometer.models.cache import cache_name

RESULT = Path(__file__).parent / "results" / "attention.json"


class Decoder:
    """A model in the middle of an answer."""

    def __init__(self, model, prompt) -> None:
        self.model, self._name = model, cache_name(model)
        with torch.inference_mode():
            self._out = model(prompt, use_cache=True, logits_to_keep=1)

    def seconds(self, steps: int) -> float:
        """CPU seconds of some decode steps."""
        with torch.inference_mode():
            started = time.process_time()
            for _ in range(steps):
                token = self._out.logits[:, -1].argmax(-1, keepdim=True)
                self._out = self.model(token, use_cache=True, logits_to_keep=1, **{self._name: self._out[self._name]})
            return time.process_time() - started


def eager_bytes(model, prompt, n: int) -> tuple[int, int]:
    """Bytes of the weights of n generated tokens: measured over 200 steps, and from the sizes to the end."""
    model.set_attn_implementation("eager")
    steps = min(n, 200)
    out = model.generate(
        prompt,
        max_new_tokens=steps,
        min_new_tokens=steps,
        do_sample=False,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    model.set_attn_implementation("sdpa")
    measured = sum(w.numel() * w.element_size() for step in out.attentions for w in step)
    cell = sum(w.shape[1] * w.element_size() for w in out.attentions[-1])
    counted = [cell * (prompt.shape[1] ** 2 if i == 0 else prompt.shape[1] + i) for i in range(n)]
    if sum(counted[:steps]) != measured:
        raise SystemExit("the sizes of eager weights are not as expected")
    return measured, sum(counted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--context", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=9)
    add_check(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    prompt = torch.randint(5, 1000, (1, options.context), generator=torch.Generator().manual_seed(0))
    plain, captured = [], []
    twin = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    with AttentionCapture(twin):
        one, other = Decoder(model, prompt), Decoder(twin, prompt)
        for _ in range(options.repeats):
            plain.append(one.seconds(options.steps))
            captured.append(other.seconds(options.steps))
    short = prompt[:, :8]
    measured, eager = eager_bytes(model, short, options.context)
    config = model.config
    with AttentionCapture(model) as capture:
        model.generate(short, max_new_tokens=64, min_new_tokens=64, do_sample=False)
    kept = capture.nbytes // 64 * options.context
    ratios = [b / a for a, b in zip(plain, captured, strict=True)]
    result = {
        "model": "smollm2-135m-instruct, float32",
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "context": options.context,
        "steps": options.steps,
        "repeats": options.repeats,
        "threads": 1,
        "torch": version("torch"),
        "transformers": version("transformers"),
        "cpu_seconds_sdpa": [round(x, 3) for x in plain],
        "cpu_seconds_captured": [round(x, 3) for x in captured],
        "ratio": round(1 / statistics.median(ratios), 4),
        "decode_overhead": round(statistics.median(ratios) - 1, 4),
        "decode_overhead_per_repeat": [round(x - 1, 4) for x in ratios],
        "eager_bytes_200_tokens": measured,
        "eager_bytes": eager,
        "kept_bytes": kept,
        "memory_ratio": round(eager / kept, 1),
    }
    finish(result, RESULT, options)


if __name__ == "__main__":
    main()
