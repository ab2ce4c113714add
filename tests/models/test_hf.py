"""The runner of Hugging Face models against plain forward passes (extra hf)."""

import subprocess
import sys

import numpy as np
import pytest

from nilometer.errors import ConfigError
from nilometer.models import HFRunner, Sampling, smollm2_folder

pytestmark = pytest.mark.hf
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PROMPTS = ["a b c", "c", "b a a c b"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random two-layer Llama with grouped keys, and a tokenizer of single words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path_factory.mktemp("tiny")
    words = ["<pad>", "<end>", *"abcdefghij"]
    plain = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<end>")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        initializer_range=0.5,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_logprobs_equal_those_of_a_forward_pass_also_when_padded(folder):
    runner = HFRunner(folder, dtype="float32")
    traces = runner.answer(PROMPTS, Sampling(max_tokens=8, k=5), seed=0)
    model, tokenizer = runner.model, runner._tokenizer
    for prompt, trace in zip(PROMPTS, traces, strict=True):
        asked = tokenizer(prompt)["input_ids"]
        told = tokenizer.convert_tokens_to_ids(trace.tokens)
        with torch.inference_mode():
            logprobs = torch.log_softmax(model(torch.tensor([asked + told])).logits[0], -1)[len(asked) - 1 : -1]
        chosen = logprobs[torch.arange(len(told)), torch.tensor(told)]
        assert trace.chosen_logprobs == pytest.approx(chosen.numpy(), abs=1e-4)
        assert trace.top_logprobs == pytest.approx(logprobs.topk(5)[0].numpy(), abs=1e-4)
        assert told == logprobs.argmax(-1).tolist()


def test_greedy_equals_generate(folder):
    runner = HFRunner(folder, dtype="float32")
    for prompt in PROMPTS:
        encoded = runner._tokenizer(prompt, return_tensors="pt")
        wanted = runner.model.generate(**encoded, max_new_tokens=8, do_sample=False)[0, encoded["input_ids"].shape[1] :]
        trace = runner.answer([prompt], Sampling(max_tokens=8, k=5), seed=0)[0]
        assert runner._tokenizer.convert_tokens_to_ids(trace.tokens) == wanted.tolist()
        assert (trace.finish_reason == "stop") == (wanted[-1] == 1)


def test_samples_follow_the_seed_and_the_temperature(folder):
    runner = HFRunner(folder, dtype="float32")
    draws = [runner.answer(PROMPTS, Sampling(1.0, max_tokens=8), seed=seed) for seed in (1, 1, 2)]
    tokens = [[trace.tokens for trace in traces] for traces in draws]
    assert tokens[0] == tokens[1] != tokens[2]
    cold = runner.answer(PROMPTS, Sampling(1e-4, max_tokens=8), seed=5)
    greedy = runner.answer(PROMPTS, Sampling(max_tokens=8), seed=5)
    assert [t.tokens for t in cold] == [t.tokens for t in greedy]


def test_sampled_first_tokens_have_the_model_frequencies(folder):
    runner = HFRunner(folder, dtype="float32")
    n = 2000
    traces = runner.answer(["a b"] * n, Sampling(1.0, max_tokens=1, k=12), seed=0)
    p = np.exp([trace.chosen_logprobs[0] for trace in traces])
    texts = [trace.tokens[0] for trace in traces]
    best = max(set(texts), key=texts.count)
    share, wanted = texts.count(best) / n, p[texts.index(best)]
    assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / n)


def test_stop_text_ends_an_answer(folder):
    runner = HFRunner(folder, dtype="float32")
    told = runner.answer(["a b c"], Sampling(max_tokens=8), seed=0)[0].tokens
    stopped = HFRunner(folder, dtype="float32", stop=told[1]).answer(["a b c"], Sampling(max_tokens=8), seed=0)[0]
    assert stopped.tokens == told[: told.index(told[1]) + 1]
    assert stopped.finish_reason == "stop"


def test_generate_output_of_a_real_model_becomes_traces(folder):
    from nilometer.traces import traces_from_generate

    runner = HFRunner(folder, dtype="float32")
    encoded = runner._tokenizer(PROMPTS, return_tensors="pt", padding=True)
    output = runner.model.generate(
        **encoded, max_new_tokens=8, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    rows = traces_from_generate(output, tokenizer=runner._tokenizer, k=5).to_pylist()
    for row, trace in zip(rows, runner.answer(PROMPTS, Sampling(max_tokens=8, k=5), seed=0), strict=True):
        assert row["tokens"] == trace.tokens
        assert row["top_logprobs"] == pytest.approx(trace.top_logprobs.ravel().tolist(), abs=1e-4)


def test_smollm2_is_converted_once_and_adds(smollm2):
    assert smollm2_folder(smollm2.parent) == smollm2
    trace = HFRunner(smollm2).answer(["What is 7 + 5?"], Sampling(max_tokens=24), seed=0)[0]
    assert "12" in trace.answer


def test_runner_keeps_attention_of_every_token_and_the_same_answers(folder):
    from nilometer.models import AttentionCapture

    plain = HFRunner(folder, dtype="float32").answer(PROMPTS, Sampling(max_tokens=8, k=5), seed=0)
    runner = HFRunner(folder, dtype="float32", attention=True)
    traces = runner.answer(PROMPTS, Sampling(max_tokens=8, k=5), seed=0)
    assert [t.tokens for t in traces] == [t.tokens for t in plain]
    assert [t.attention_prompt for t in traces] == [3, 1, 5]
    for prompt, trace in zip(PROMPTS, traces, strict=True):
        assert trace.attention.shape == (trace.n_tokens, 2, 4, 8)
        with AttentionCapture(runner.model) as capture:
            encoded = runner._tokenizer(prompt, return_tensors="pt")
            runner.model.generate(**encoded, max_new_tokens=8, do_sample=False)
        alone = np.stack(capture.statistics(0, n_steps=trace.n_tokens), -1)
        assert trace.attention == pytest.approx(alone, abs=1e-4)


def test_record_with_attention_then_profile(folder, tmp_path, capsys):
    import json

    import pyarrow.parquet as pq

    from nilometer.cli import main
    from nilometer.signals import ATTENTION_FEATURE_NAMES

    (tmp_path / "mine.jsonl").write_text('{"prompt": "a b c", "domain": "x"}\n{"prompt": "c", "domain": "x"}\n')
    out, profiles = tmp_path / "traces", tmp_path / "profiles.parquet"
    common = ["--model", f"hf:{folder}", "--suite", str(tmp_path / "mine.jsonl"), "--out", str(out), "--k", "5"]
    for arguments, code in (
        (["record", *common, "--max-tokens", "6", "--attention", "--json"], 0),
        (["record", *common, "--max-tokens", "6"], 2),
        (["profile", str(out), "--out", str(profiles)], 0),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
    said = capsys.readouterr()
    assert json.loads(said.out)["n_traces"] == 2
    assert "attention was True, is None" in said.err
    table = pq.read_table(profiles)
    assert all(np.isfinite(table[name].to_numpy()).all() for name in ATTENTION_FEATURE_NAMES)


def test_record_with_the_sampler_says_what_it_cost(folder, tmp_path, capsys):
    from nilometer.cli import main
    from nilometer.models import SamplerThresholds, write_thresholds
    from nilometer.traces import read_traces

    limits = tmp_path / "limits.json"
    write_thresholds(limits, SamplerThresholds(0.0, 1e9, -1.0, -1.0, None, None, 5, "tiny", 500))
    (tmp_path / "mine.jsonl").write_text('{"prompt": "a b c", "domain": "x"}\n')
    common = ["--model", f"hf:{folder}", "--suite", str(tmp_path / "mine.jsonl"), "--k", "5", "--max-tokens", "6"]
    with pytest.raises(SystemExit) as ended:
        main(["record", *common, "--out", str(tmp_path / "traces"), "--sampler", str(limits)])
    assert ended.value.code == 0
    row = read_traces(tmp_path / "traces").read_all().to_pylist()[0]
    attributes = dict(row["attributes"])
    assert attributes["decoding"] == "entropy_sampler"
    assert int(attributes["n_evaluated"]) >= row["n_tokens"]
    with pytest.raises(SystemExit) as ended:
        main(["record", *common, "--out", str(tmp_path / "t2"), "--sampler", str(limits), "--attention"])
    assert ended.value.code == 2
    assert "--attention cannot be kept of answers that branch" in capsys.readouterr().err


def test_a_prompt_beyond_the_positions_of_the_model_is_refused(folder):
    runner = HFRunner(folder, dtype="float32")
    limit = runner.model.config.max_position_embeddings
    with pytest.raises(ConfigError, match=rf"has {limit:,} positions, the longest prompt has {limit - 7:,} tokens"):
        runner.answer(["a " * (limit - 7)], Sampling(max_tokens=8, k=5), seed=0)


def test_a_batch_that_does_not_fit_into_memory_says_what_to_lower(folder):
    """The address space of a child process is cut, so that the allocator really fails."""
    script = """
import resource, sys
from nilometer.models import HFRunner, Sampling
runner = HFRunner(sys.argv[1], dtype="float32")
runner.answer(["a"], Sampling(max_tokens=2, k=5), seed=0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
runner.answer(["a " * 2000] * 200, Sampling(max_tokens=2, k=5, batch=200), seed=0)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc and RLIMIT_AS")
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=False)
    assert "ConfigError: 200 prompts of up to 2,000 tokens do not fit into memory. Lower `batch`" in done.stderr


def test_the_runner_follows_its_model_to_a_gpu(folder):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: the runner is not run on one")
    runner = HFRunner(folder, dtype="float32", attention=True)
    before = runner.answer(["a", "b c d"], Sampling(max_tokens=4, k=5), seed=0)
    runner.model.cuda()
    for one, other in zip(before, runner.answer(["a", "b c d"], Sampling(max_tokens=4, k=5), seed=0), strict=True):
        assert one.tokens == other.tokens
        np.testing.assert_allclose(one.attention, other.attention, atol=1e-3)
