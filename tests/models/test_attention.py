"""Attention captured while generating, against the weights that eager attention returns (extra hf)."""

import os
from pathlib import Path

import numpy as np
import pytest

from nilometer.errors import ConfigError, IncompatibleModelError
from nilometer.models import AttentionCapture
from nilometer.models.cache import cache_name, position_limit
from nilometer.signals import AttentionStatistics, attention_statistics, sink_mass

pytestmark = pytest.mark.hf
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NEW = 12
SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": None,
    "bos_token_id": 1,
    "initializer_range": 0.3,
    "max_position_embeddings": 128,
}
LOCAL, GLOBAL = "sliding_attention", "full_attention"
ARCHITECTURES = {
    "llama": ("LlamaForCausalLM", {}),
    "mistral, window 6": ("MistralForCausalLM", {"sliding_window": 6}),
    "qwen3": ("Qwen3ForCausalLM", {"head_dim": 8}),
    "gemma2, window 6, soft cap": (
        "Gemma2ForCausalLM",
        {"head_dim": 8, "sliding_window": 6, "attn_logit_softcapping": 2.0},
    ),
    "gemma3, window 6": (
        "Gemma3ForCausalLM",
        {"head_dim": 8, "sliding_window": 6, "layer_types": [LOCAL, LOCAL, GLOBAL]},
    ),
    "gpt-oss, sinks, window 6": (
        "GptOssForCausalLM",
        {
            "head_dim": 8,
            "sliding_window": 6,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "layer_types": [LOCAL, GLOBAL, LOCAL],
        },
    ),
    "gpt2": ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}),
    "gpt-neox": ("GPTNeoXForCausalLM", {}),
    "olmo2": ("Olmo2ForCausalLM", {}),
    "phi3": ("Phi3ForCausalLM", {}),
}


def _tiny(name):
    kind, more = ARCHITECTURES[name]
    torch.manual_seed(0)
    config = getattr(transformers, kind).config_class(**{**SMALL, **more})
    model = getattr(transformers, kind)(config).eval()
    for parameter_name, parameter in model.named_parameters():
        if "sinks" in parameter_name:
            torch.nn.init.normal_(parameter)
    return model


def _batch():
    """Two prompts of 9 and 5 tokens, the second padded on the left."""
    tokens = torch.randint(2, 64, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(tokens)
    tokens[1, :4], mask[1, :4] = 0, 0
    return {"input_ids": tokens, "attention_mask": mask}


def _generate(model, batch, **more):
    return model.generate(**batch, max_new_tokens=NEW, do_sample=False, return_dict_in_generate=True, **more)


def _from_weights(weights, row, n_padding, n_prompt):
    """Brute force from the weights of one step and layer: (heads, keys), windows cut at the left."""
    rows = weights[row, :, -1].double().numpy()
    hidden_left = np.arange(rows.shape[-1]) < n_padding
    rows = np.where(hidden_left, 0.0, rows)
    rows = rows / rows.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return attention_statistics(np.log(rows), first=n_padding, n_prompt=n_prompt)


def _check_step(got, wanted, atol):
    for name in ("entropy", "varentropy", "divergence"):
        assert getattr(got, name) == pytest.approx(getattr(wanted, name), abs=atol), name
    for name in ("first_logprob", "self_logprob", "prompt_logprob"):
        assert np.exp(getattr(got, name)) == pytest.approx(np.exp(getattr(wanted, name)), abs=atol), name


def _check_against_eager(model, batch, atol):
    own = _generate(model, batch)
    with AttentionCapture(model) as capture:
        captured = _generate(model, batch)
    assert torch.equal(own.sequences, captured.sequences)
    mode = model.config._attn_implementation
    model.set_attn_implementation("eager")
    eager = _generate(model, batch, output_attentions=True)
    model.set_attn_implementation(mode)
    n_prompt = batch["input_ids"].shape[1]
    pads = (1 - batch["attention_mask"]).sum(1).tolist()
    same = int((eager.sequences == own.sequences).all(0).int().cumprod(0).sum()) - n_prompt
    assert same == NEW
    for row, n_padding in enumerate(pads):
        found = capture.statistics(row)
        for step, layers in enumerate(eager.attentions):
            for layer, weights in enumerate(layers):
                offset = n_prompt + step - weights.shape[-1]
                wanted = _from_weights(weights, row, max(n_padding - offset, 0), n_prompt - offset)
                if offset > n_padding:
                    wanted = wanted._replace(first_logprob=np.full(weights.shape[1], -np.inf))
                _check_step(AttentionStatistics(*(field[step, layer] for field in found)), wanted, atol)
    return capture


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_statistics_equal_eager_weights_and_tokens_are_the_models_own(name):
    _check_against_eager(_tiny(name), _batch(), 1e-5)


def test_smollm2_equals_eager_and_gives_its_own_tokens(smollm2):
    model, tokenizer = _real(smollm2)
    _check_against_eager(model, tokenizer(["What is 7 + 5?", "Name the capital of France."], **PADDED), 1e-5)


def test_gemma3_equals_eager_and_gives_its_own_tokens():
    folder = os.environ.get("NILOMETER_GEMMA3", "")
    if not Path(folder, "config.json").is_file():
        pytest.skip("set NILOMETER_GEMMA3 to a folder of Gemma 3 270M; its licence keeps it out of the extra")
    model, tokenizer = _real(folder)
    _check_against_eager(model, tokenizer(["The capital of France is", "7 + 5 ="], **PADDED), 1e-5)


PADDED = {"return_tensors": "pt", "padding": True, "padding_side": "left", "return_token_type_ids": False}


def _real(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    return model, tokenizer


def test_the_model_attends_as_before_after_the_block():
    model = _tiny("llama")
    with AttentionCapture(model):
        assert model.config._attn_implementation == "nilometer_sdpa"
    assert model.config._attn_implementation == "sdpa"
    assert not any(hasattr(module, "_nilometer_capture") for module in model.modules())
    _generate(model, _batch())


def test_two_models_are_captured_side_by_side():
    one, other = _tiny("llama"), _tiny("qwen3")
    with AttentionCapture(one) as first, AttentionCapture(other) as second:
        _generate(one, _batch())
        _generate(other, _batch())
    with AttentionCapture(other) as alone:
        _generate(other, _batch())
    assert first.n_steps == second.n_steps == NEW
    assert np.array_equal(second.statistics(1).entropy, alone.statistics(1).entropy)


def test_a_row_has_the_numbers_it_has_alone_without_padding():
    model, batch = _tiny("mistral, window 6"), _batch()
    with AttentionCapture(model) as together:
        _generate(model, batch)
    alone = {"input_ids": batch["input_ids"][1:, 4:], "attention_mask": batch["attention_mask"][1:, 4:]}
    with AttentionCapture(model) as single:
        _generate(model, alone)
    for one, other in zip(together.statistics(1), single.statistics(0), strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_learned_sinks_take_the_rest_of_the_weight():
    model = _tiny("gpt-oss, sinks, window 6")
    with AttentionCapture(model) as capture:
        _generate(model, _batch())
    model.set_attn_implementation("eager")
    eager = _generate(model, _batch(), output_attentions=True)
    found = sink_mass(capture.statistics(0).lse, capture.sink_scores())
    for step, layers in enumerate(eager.attentions):
        for layer, weights in enumerate(layers):
            assert found[step, layer] == pytest.approx(1 - weights[0, :, -1].sum(-1).numpy(), abs=1e-5)
    with AttentionCapture(_tiny("llama")) as plain:
        pass
    assert plain.sink_scores() is None


def test_layers_without_softmax_attention_are_named_and_nan():
    config = transformers.Lfm2Config(**SMALL, layer_types=["conv", GLOBAL, "conv"], block_ff_dim=32)
    model = transformers.Lfm2ForCausalLM(config).eval()
    with AttentionCapture(model) as capture:
        _generate(model, {name: value[:1] for name, value in _batch().items()})
    assert capture.silent_layers == (0, 2)
    entropy = capture.statistics(0).entropy
    assert np.isnan(entropy[:, [0, 2]]).all()
    assert np.isfinite(entropy[:, 1]).all()


def test_layers_reduced_together_give_the_numbers_of_each_alone(monkeypatch):
    batch = {name: value[:1] for name, value in _batch().items()}
    batch = {name: value[:, batch["attention_mask"][0].argmax() :] for name, value in batch.items()}
    found = []
    for most in (0, 2**25):
        monkeypatch.setattr("nilometer.models.attention._MOST_WAITING", most)
        with AttentionCapture(_tiny("llama")) as capture:
            _generate(capture._model, batch)
        found.append(capture.statistics(0))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_numbers_need_little_memory():
    model = _tiny("llama")
    with AttentionCapture(model) as capture:
        model.generate(**_batch(), max_new_tokens=100, do_sample=False)
    assert capture.nbytes == 128 * 3 * 2 * 4 * 8 * 4


def test_encoder_decoder_and_other_modes_are_refused():
    t5 = transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=64, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    )
    with pytest.raises(IncompatibleModelError, match="T5ForConditionalGeneration is an encoder-decoder"):
        AttentionCapture(t5)
    model = _tiny("llama")
    model.config._attn_implementation_internal = "flex_attention"
    with pytest.raises(
        IncompatibleModelError, match="attends with 'flex_attention'; attention is captured in sdpa or eager"
    ):
        AttentionCapture(model)
    mamba = transformers.MambaForCausalLM(transformers.MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1))
    with pytest.raises(IncompatibleModelError, match="MambaForCausalLM"):
        AttentionCapture(mamba)


def test_calls_that_would_give_wrong_numbers_are_refused():
    model, batch = _tiny("llama"), _batch()
    with AttentionCapture(model) as capture, torch.inference_mode():
        with pytest.raises(ConfigError, match="no attention was captured"):
            capture.statistics(0)
        name = cache_name(model)
        cache = model(**batch, use_cache=True)[name]
        two = batch["input_ids"][:, :2]
        with pytest.raises(ConfigError, match="layer 0: one token at a time must follow the prompt, got 2"):
            model(two, use_cache=True, **{name: cache})
    with AttentionCapture(model), pytest.raises(ConfigError, match="layer 0: the first call must hold the whole"):
        model(two, use_cache=True, **{name: cache})
    with AttentionCapture(model), pytest.raises(ConfigError, match="captured already"):
        AttentionCapture(model)
    with AttentionCapture(model), torch.inference_mode():
        model(**batch, use_cache=False)
        with pytest.raises(ConfigError, match="the batch had 2 rows, now 1"):
            model(batch["input_ids"][:1, :1], use_cache=False)


@pytest.mark.parametrize("mode", ["sdpa", "eager"])
def test_a_batch_padded_on_the_right_or_with_an_empty_row_is_refused(mode):
    model, batch = _tiny("llama"), _batch()
    model.set_attn_implementation(mode)
    right = {name: value.flip(1) for name, value in batch.items()}
    empty = {**batch, "attention_mask": batch["attention_mask"] * torch.tensor([[1], [0]])}
    for bad in (right, empty):
        with AttentionCapture(model), torch.inference_mode(), pytest.raises(ConfigError, match="row 1 of the batch"):
            model(**bad)


def test_a_text_beyond_the_positions_of_the_model_is_refused():
    model, batch = _tiny("gpt2"), _batch()
    model.config.n_positions = 14
    with AttentionCapture(model), pytest.raises(ConfigError, match="layer 0: the model has 14 positions, and the text"):
        _generate(model, batch)
    with AttentionCapture(model) as capture:
        model.generate(**batch, max_new_tokens=6, do_sample=False)
    assert capture.n_steps == 6


def test_dynamic_positions_have_no_limit():
    model = _tiny("llama")
    assert position_limit(model) == 128
    model.config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert position_limit(model) is None


def test_overflow_of_half_precision_is_named_by_layer():
    model = _tiny("llama")
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "q_proj"):
                module.q_proj.weight.mul_(1e4)
                module.k_proj.weight.mul_(1e4)
    model = model.half()
    with AttentionCapture(model) as capture, torch.inference_mode():
        model(**_batch())
    with pytest.raises(
        ConfigError, match=r"layer 0: an attention score is not finite in torch.float16. Load the model in"
    ):
        capture.statistics(0)


def test_cuda_tensors_take_the_same_path():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: the plain path on CUDA tensors is not run")
    batch = {name: value.cuda() for name, value in _batch().items()}
    _check_against_eager(_tiny("llama").cuda(), batch, 1e-4)
