"""Answers of llama-cpp-python 0.3.36's server to SmolLM2-135M-Instruct, as curl wrote them."""

from pathlib import Path

import numpy as np
import pytest

from nilometer.traces import read_traces

WIRE = Path(__file__).parent / "wire"


@pytest.mark.parametrize(("kind", "n_tokens"), [("chat", 8), ("completions", 6), ("stream", 8)])
def test_real_answers_are_read_with_all_twenty_alternatives(kind, n_tokens):
    row = read_traces(WIRE / f"real_llama_cpp_python_{kind}.jsonl").read_all().to_pylist()[0]
    assert (row["k"], row["n_tokens"], len(row["top_logprobs"])) == (20, n_tokens, 20 * n_tokens)


def test_streaming_loses_nothing():
    whole, stream = (
        read_traces(WIRE / f"real_llama_cpp_python_{kind}.jsonl").read_all().to_pylist()[0]
        for kind in ("chat", "stream")
    )
    assert whole["answer"] == stream["answer"]
    for name in ("chosen_logprobs", "top_logprobs"):  # NaN where the server lists fewer than 20
        np.testing.assert_array_equal(whole[name], stream[name])
