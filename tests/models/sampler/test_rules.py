"""States, policies and thresholds of the entropy-aware sampler; each defect of its predecessors has a test here
or in test_sampler.py."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.models import (
    STATES,
    SamplerOptions,
    SamplerThresholds,
    StepSignals,
    classify_step,
    fit_thresholds,
    read_thresholds,
)
from nilometer.models.sampler.rules import policy_of
from nilometer.signals import ragged_from_batch, token_signals
from nilometer.traces import corpus_path, read_traces

LIMITS = SamplerThresholds(0.1, 1.0, 0.2, 2.0, 0.6, 0.7, 20, "m", 500)


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_state_is_decided_by_the_two_thresholds_alone(entropy, varentropy):
    state = classify_step(StepSignals(entropy, varentropy), LIMITS)
    assert (state in {"spread", "lost"}) == (entropy >= 1.0)
    assert (state in {"forked", "lost"}) == (varentropy >= 2.0)
    assert (state == "certain") == (entropy < 0.1 and varentropy < 0.2)


def test_no_state_hides_another():
    """entropix asked for high varentropy before it asked for both, so most of that quadrant never came."""
    grid = [StepSignals(h, v) for h in (0.0, 0.5, 5.0) for v in (0.0, 1.0, 9.0)]
    assert {classify_step(step, LIMITS) for step in grid} == set(STATES)
    assert classify_step(StepSignals(5.0, 9.0), LIMITS) == "lost"


def test_policies_by_state():
    options = SamplerOptions(temperature=0.8, branches=3, candidates=5)
    step = StepSignals(0.5, 0.5)
    policies = {state: policy_of(state, step, LIMITS, options=options) for state in STATES}
    assert policies["certain"].temperature == 0.0
    assert policies["ordinary"] == (0.8, 1, False)
    assert policies["forked"][1:] == (3, False)
    assert policies["lost"] == (0.8, 5, True)


def test_scattered_attention_warms_and_disagreement_branches_once_more():
    options = SamplerOptions(temperature=0.8, scatter_gain=0.5)
    warm = policy_of("spread", StepSignals(2, 0, scatter=0.9, agreement=0.8), LIMITS, options=options)
    assert warm.temperature == pytest.approx(0.8 * 1.15)
    cool = policy_of("spread", StepSignals(2, 0, scatter=0.3, agreement=0.8), LIMITS, options=options)
    assert cool.temperature == pytest.approx(0.8)
    hot = policy_of("spread", StepSignals(2, 0, scatter=0.9), LIMITS, options=options._replace(scatter_gain=99))
    assert hot.temperature == 1.5
    apart = policy_of("forked", StepSignals(0, 9, scatter=0.3, agreement=0.5), LIMITS, options=options)
    assert apart.n_paths == options.branches + 1


def test_thresholds_are_quantiles_of_the_models_own_tokens():
    """entropix carried thresholds in bits from one model to all; here there is no default."""
    batches = list(read_traces(corpus_path("specialist")))
    limits = fit_thresholds(batches, low=0.3, high=0.95)
    ragged = [ragged_from_batch(batch) for batch in batches]
    entropy = np.concatenate([token_signals(r.chosen, r.top).renormalized_entropy for r in ragged])
    assert np.mean(entropy < limits.entropy_high) == pytest.approx(0.95, abs=1e-3)
    assert limits.n_tokens == len(entropy)
    other = fit_thresholds(read_traces(corpus_path("gemma3")), low=0.3, high=0.95)
    assert other.entropy_high > 1.5 * limits.entropy_high
    assert limits.scatter_high is None


def test_mixed_or_too_few_traces_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="must share one `model`"):
        fit_thresholds([*read_traces(corpus_path("specialist")), *read_traces(corpus_path("gemma3"))])
    with pytest.raises(NotEnoughDataError, match="tokens with alternatives are not enough"):
        fit_thresholds([next(iter(read_traces(corpus_path("specialist")))).slice(0, 3)])
    with pytest.raises(NotEnoughDataError, match="there is no trace"):
        fit_thresholds([])
    with pytest.raises(ValueError, match=r"0 <= low <= high <= 1, got 0\.9 and 0\.1"):
        fit_thresholds([], low=0.9, high=0.1)
    for text in ("{", '{"a": 1}', "[]"):
        (tmp_path / "t.json").write_text(text)
        with pytest.raises(ConfigError, match="not a file of sampler thresholds"):
            read_thresholds(tmp_path / "t.json")
