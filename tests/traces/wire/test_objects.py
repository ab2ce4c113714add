"""Traces from Python objects: vLLM's offline outputs and Hugging Face's generate."""

from types import SimpleNamespace as Object

import numpy as np
import pytest

from nilometer.errors import MissingLogprobsError
from nilometer.traces import traces_from_generate, traces_from_vllm


def _listed(**values):
    return {int(name[1:]): Object(logprob=value, rank=1, decoded_token=name) for name, value in values.items()}


def test_vllm_sampled_token_outside_the_top_k_adds_no_column():
    rows = [_listed(t1=-0.1, t2=-3.0), _listed(t9=-7.0, t1=-0.2, t2=-2.0)]
    answer = Object(index=0, text="ab", token_ids=[1, 9], logprobs=rows, finish_reason="length")
    row = traces_from_vllm([Object(request_id="r", prompt="p", outputs=[answer])], model="m", temperature=0.5)
    row = row.to_pylist()[0]
    assert row["k"] == 2
    assert row["top_logprobs"] == pytest.approx([-0.1, -3.0, -0.2, -2.0])
    assert row["chosen_logprobs"] == pytest.approx([-0.1, -7.0])
    assert (row["tokens"], row["finish_reason"], row["logprobs_mode"]) == (["t1", "t9"], "length", "raw")


def test_vllm_samples_share_the_prompt_and_may_lack_logprobs():
    answers = [Object(index=i, text="a", token_ids=[1], logprobs=None, finish_reason="stop") for i in range(2)]
    rows = traces_from_vllm([Object(request_id="r", prompt="p", outputs=answers)]).to_pylist()
    assert [row["trace_id"] for row in rows] == ["r#0", "r#1"]
    assert [row["prompt_id"] for row in rows] == ["r", "r"]
    assert rows[0]["chosen_logprobs"] is None


class _Tokenizer:
    eos_token_id = 2

    def decode(self, tokens, *, skip_special_tokens=False):
        return "".join(f"<{t}>" for t in tokens if not (skip_special_tokens and t == 2))


def test_generate_ends_at_the_end_token_and_matches_the_softmax():
    rng = np.random.default_rng(0)
    steps = [rng.normal(size=(2, 5)) for _ in range(3)]
    sequences = np.array([[4, 0, 2, 2], [4, 1, 3, 0]])
    rows = traces_from_generate(Object(sequences=sequences, logits=steps), tokenizer=_Tokenizer(), k=3).to_pylist()
    assert [row["n_tokens"] for row in rows] == [2, 3]
    assert [row["finish_reason"] for row in rows] == ["stop", "length"]
    assert rows[0]["answer"] == "<0>"
    p = np.exp(steps[2][1]) / np.exp(steps[2][1]).sum()
    assert np.exp(rows[1]["chosen_logprobs"][2]) == pytest.approx(p[0], abs=1e-6)
    assert np.exp(rows[1]["top_logprobs"][6:]) == pytest.approx(np.sort(p)[::-1][:3], abs=1e-6)


def test_generate_scores_are_processed_and_missing_ones_say_the_cure():
    output = Object(sequences=np.array([[4, 0]]), scores=[np.zeros((1, 5))])
    assert traces_from_generate(output).to_pylist()[0]["logprobs_mode"] == "processed"
    with pytest.raises(MissingLogprobsError, match="output_logits=True"):
        traces_from_generate(Object(sequences=np.array([[4, 0]])))
