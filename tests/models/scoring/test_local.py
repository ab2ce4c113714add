"""One pass over the tree against one pass per candidate, on a model with random weights."""

from types import SimpleNamespace

import numpy as np
import pytest

from nilometer.models import HFScorer

pytestmark = pytest.mark.hf

TEXTS = [["1", "12", "123", "2"], ["3", "33"]]
PROMPTS = ["ab", "a much longer prompt"]


@pytest.fixture(scope="module")
def runner():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    model = transformers.LlamaForCausalLM(config).eval().float()
    return SimpleNamespace(
        model=model,
        tokens=lambda text: [ord(char) for char in text],
        encode=lambda text: torch.tensor([[ord(char) for char in text]]),
        end_tokens=lambda: {10, 46},
    )


def one_by_one(runner, prompt, text):
    """Log-probability of the text behind the prompt, and of an end behind both."""
    import torch

    ids = torch.tensor([runner.tokens(prompt + text)])
    with torch.inference_mode():
        logprobs = torch.log_softmax(runner.model(input_ids=ids).logits[0].float(), -1).double()
    places = range(len(prompt), len(prompt + text))
    path = sum(float(logprobs[place - 1, ids[0, place]]) for place in places)
    return path, path + float(torch.logsumexp(logprobs[-1, [10, 46]], 0))


@pytest.mark.parametrize("batch", [1, 2])
def test_tree_gives_what_each_candidate_alone_gives(batch, runner):
    found = HFScorer(runner, closed=True, batch=batch).score(PROMPTS, TEXTS)
    alone = [
        [one_by_one(runner, prompt, text)[1] for text in texts] for prompt, texts in zip(PROMPTS, TEXTS, strict=True)
    ]
    assert np.concatenate(found) == pytest.approx(np.concatenate(alone), abs=1e-5)


def test_open_candidates_leave_the_longer_ones_out(runner):
    (found,) = HFScorer(runner).score(PROMPTS[:1], TEXTS[:1])
    paths = np.exp([one_by_one(runner, PROMPTS[0], text)[0] for text in TEXTS[0]])
    wanted = [paths[0] - paths[1], paths[1] - paths[2], paths[2], paths[3]]
    assert np.exp(found) == pytest.approx(wanted, abs=1e-9, rel=1e-4)
