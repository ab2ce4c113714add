"""The entropy-aware sampler on random models and on distributions given by hand (extra hf)."""

from types import SimpleNamespace

import numpy as np
import pytest

from nilometer.errors import ConfigError
from nilometer.models import AttentionCapture, EntropyProcessor, EntropySampler, SamplerOptions, SamplerThresholds
from nilometer.models.sampler.sampler import drawable

pytestmark = pytest.mark.hf
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NEVER = 1e9
ALWAYS_CERTAIN = SamplerThresholds(NEVER, NEVER, NEVER, NEVER, None, None, 20, "m", 500)
ALWAYS_ORDINARY = ALWAYS_CERTAIN._replace(entropy_low=-1.0)
ALWAYS_FORKED = ALWAYS_CERTAIN._replace(varentropy_high=-1.0)
ALWAYS_LOST = ALWAYS_FORKED._replace(entropy_high=-1.0)
PROMPT = torch.tensor([[5, 9, 3, 7]])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=None,
        pad_token_id=0,
        initializer_range=0.4,
    )
    return transformers.LlamaForCausalLM(config).eval()


def _tokens(answer):
    return [token.token for token in answer.tokens]


def _logprobs(model, tokens):
    """Log-probabilities of an answer in one pass without a cache."""
    with torch.inference_mode():
        logits = model(torch.cat([PROMPT, torch.tensor([tokens])], 1)).logits[0, PROMPT.shape[1] - 1 : -1]
    return torch.log_softmax(logits, -1)


def test_certain_everywhere_is_greedy_decoding(model):
    answer = EntropySampler(ALWAYS_CERTAIN).answer(model, PROMPT, max_tokens=12)
    wanted = model.generate(PROMPT, max_new_tokens=12, do_sample=False)[0, 4:].tolist()
    assert _tokens(answer) == wanted
    assert answer.n_evaluated == 12
    assert {token.state for token in answer.tokens} == {"certain"}


def test_logprobs_after_branching_equal_those_of_one_pass_without_a_cache(model):
    """entropix left one slot of its cache empty for ever; here the cache of the kept branch goes on unchanged."""
    for thresholds in (ALWAYS_FORKED, ALWAYS_LOST):
        answer = EntropySampler(thresholds).answer(model, PROMPT, max_tokens=15)
        whole = _logprobs(model, _tokens(answer))
        told = np.array([token.logprob for token in answer.tokens])
        assert told == pytest.approx(whole[torch.arange(15), torch.tensor(_tokens(answer))].numpy(), abs=1e-4)
        tops = np.stack([token.top_logprobs for token in answer.tokens])
        assert tops == pytest.approx(whole.topk(20)[0].numpy(), abs=1e-4)


def test_the_kept_continuation_is_the_most_probable_of_those_tried(model):
    """entropix added the same constant to every candidate, so its choice was the likeliest first token."""
    options = SamplerOptions(branches=4, lookahead=5, min_p=0.0)
    answer = EntropySampler(ALWAYS_FORKED, options).answer(model, PROMPT, max_tokens=5)
    first = _logprobs(model, [0])[0].topk(4)[1].tolist()
    scores = {}
    for token in first:
        tokens = [token]
        while len(tokens) < 5:
            tokens.append(int(_logprobs(model, [*tokens, 0])[-1].argmax()))
        scores[tuple(tokens)] = float(_logprobs(model, tokens)[torch.arange(5), torch.tensor(tokens)].mean())
    best = max(scores, key=scores.get)
    assert _tokens(answer) == list(best)
    assert answer.n_evaluated == 4 * 5


def test_branching_can_leave_the_greedy_token(model):
    changed = 0
    for start in range(10, 40):
        prompt = torch.tensor([[start, start + 1, 3]])
        options = SamplerOptions(branches=4, lookahead=6, min_p=0.0)
        branched = EntropySampler(ALWAYS_FORKED, options).answer(model, prompt, max_tokens=6)
        greedy = EntropySampler(ALWAYS_CERTAIN).answer(model, prompt, max_tokens=6)
        changed += branched.tokens[0].token != greedy.tokens[0].token
    assert changed > 0


def test_seeds_are_honoured_and_noise_differs_from_step_to_step():
    """entropix in JAX never passed a key: every step drew with the same noise."""
    answers = [
        EntropySampler(ALWAYS_ORDINARY, SamplerOptions(1.0, 0.0)).answer(_Flat(), PROMPT, max_tokens=40, seed=s)
        for s in (1, 1, 2)
    ]
    first, again, other = map(_tokens, answers)
    assert first == again != other
    assert len(set(first)) > 10


def test_draws_have_the_softmax_frequencies():
    """entropix in torch divided by uniform instead of exponential noise, which draws another distribution."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    flat = _Flat(logits)
    answer = EntropySampler(ALWAYS_ORDINARY, SamplerOptions(1.0, 0.0)).answer(flat, PROMPT, max_tokens=4000)
    counts = np.bincount(_tokens(answer), minlength=4)
    wanted = 4000 * torch.softmax(logits, 0).numpy()
    assert ((counts - wanted) ** 2 / wanted).sum() < 16.27  # chi-square, 3 degrees of freedom, p = .001


def test_min_p_and_temperature_change_what_is_drawn():
    """entropix applied min_p to logits whose probabilities had been taken already: no effect."""
    logprobs = torch.log(torch.tensor([0.6, 0.3, 0.06, 0.04]))
    cut = drawable(logprobs, 1.0, 0.2).exp()
    assert cut.tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0], abs=1e-6)
    warm = drawable(logprobs, 2.0, 0.0).exp()
    assert warm.tolist() == pytest.approx((logprobs / 2).softmax(0).tolist(), abs=1e-6)
    assert drawable(logprobs, 0.0, 0.0).exp().tolist() == [1, 0, 0, 0]


def test_no_token_is_put_in_that_the_model_did_not_offer():
    """entropix inserted one token of its first model's vocabulary wherever entropy was high."""
    logits = torch.full((64,), -50.0)
    logits[[7, 8, 9]] = 0.0
    flat = _Flat(logits)
    for thresholds in (ALWAYS_LOST, ALWAYS_FORKED, ALWAYS_ORDINARY, ALWAYS_ORDINARY._replace(entropy_high=-1.0)):
        assert set(_tokens(EntropySampler(thresholds).answer(flat, PROMPT, max_tokens=30))) <= {7, 8, 9}


def test_attention_signals_come_from_visible_keys_only(model):
    """entropix took the entropy before the mask over the whole empty cache: 12 bits whatever the text."""
    limits = ALWAYS_ORDINARY._replace(scatter_high=0.5, agreement_low=0.5)
    answer = EntropySampler(limits, SamplerOptions(1.0)).answer(model, PROMPT, max_tokens=6, seed=3)
    assert len(answer.tokens) == 6
    with AttentionCapture(model) as capture:
        model.generate(PROMPT, max_new_tokens=3, do_sample=False)
        assert capture.last(0).n_keys.max() == 6
        assert (capture.last(0).entropy <= np.log(6) + 1e-6).all()


def test_attention_follows_the_kept_branch(model):
    limits = ALWAYS_FORKED._replace(scatter_high=0.5, agreement_low=0.0)
    with_attention = EntropySampler(limits).answer(model, PROMPT, max_tokens=15)
    without = EntropySampler(ALWAYS_FORKED).answer(model, PROMPT, max_tokens=15)
    assert _tokens(with_attention) == _tokens(without)
    assert model.config._attn_implementation == "sdpa"


def test_an_end_token_ends_the_answer_also_inside_a_branch(model):
    told = _tokens(EntropySampler(ALWAYS_FORKED).answer(model, PROMPT, max_tokens=12))
    ended = EntropySampler(ALWAYS_FORKED).answer(model, PROMPT, max_tokens=12, is_end=lambda token: token == told[2])
    assert ended.ended
    assert _tokens(ended)[-1] == told[2]
    assert told[2] not in _tokens(ended)[:-1]


def test_processor_makes_generate_greedy_where_certain_and_draws_elsewhere(model):
    processor = EntropyProcessor(ALWAYS_CERTAIN)
    told = model.generate(PROMPT, max_new_tokens=8, do_sample=True, top_k=0, logits_processor=[processor])
    assert torch.equal(told, model.generate(PROMPT, max_new_tokens=8, do_sample=False))
    assert processor.states == [["certain"]] * 8
    drawing = EntropyProcessor(ALWAYS_ORDINARY, options=SamplerOptions(1.3, 0.0))
    logits = torch.randn(3, 64)
    assert drawing(None, logits).exp().numpy() == pytest.approx(torch.softmax(logits / 1.3, -1).numpy(), abs=1e-5)
    seeded = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        seeded.append(
            model.generate(PROMPT, max_new_tokens=8, do_sample=True, top_k=0, logits_processor=[drawing]).tolist()
        )
    assert seeded[0] == seeded[1] != seeded[2]


def test_processor_uses_captured_attention(model):
    limits = ALWAYS_CERTAIN._replace(entropy_high=-1.0, scatter_high=0.0)
    with AttentionCapture(model) as capture:
        processor = EntropyProcessor(limits, options=SamplerOptions(1.0, 0.0, scatter_gain=0.5), capture=capture)
        model(PROMPT)
        logits = torch.randn(1, 64)
        warm = processor(None, logits)
    cool = EntropyProcessor(limits, options=SamplerOptions(1.0, 0.0))(None, logits)
    assert warm.max() < cool.max()


def test_several_prompts_at_once_are_refused(model):
    with pytest.raises(ConfigError, match="must hold one prompt, got 2"):
        EntropySampler(ALWAYS_CERTAIN).answer(model, PROMPT.expand(2, -1))


def test_an_answer_that_may_run_beyond_the_positions_is_refused(model):
    limit = model.config.max_position_embeddings
    with pytest.raises(ConfigError, match=rf"the model has {limit:,} positions, the longest prompt has 4 tokens"):
        EntropySampler(ALWAYS_CERTAIN).answer(model, PROMPT, max_tokens=limit)


class _Flat:
    """A model that gives the same logits at every step, and a cache that holds nothing."""

    device = torch.device("cpu")
    config = transformers.LlamaConfig(vocab_size=64, max_position_embeddings=10**6)
    generation_config = SimpleNamespace(eos_token_id=None)

    def __init__(self, logits=None):
        self._logits = torch.zeros(64) if logits is None else logits

    def forward(self, cache=None):
        """Only its signature is read."""

    def __call__(self, input_ids, **_):
        logits = self._logits.expand(*input_ids.shape, -1)
        return _Out(
            logits=logits,
            cache=SimpleNamespace(batch_repeat_interleave=lambda n: None, batch_select_indices=lambda rows: None),
        )


class _Out(dict):
    @property
    def logits(self):
        return self["logits"]
